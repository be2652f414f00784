"""Check the book: validation, mutation testing, benchmarks, and Lighthouse."""
