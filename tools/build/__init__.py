"""Turn the pages into a site, recorded notebooks, and the student edition."""
