"""Build, run, and check the book. Run each tool with `python -m tools.…`."""
