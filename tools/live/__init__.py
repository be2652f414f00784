"""Serve the site with running code cells (`make live`)."""
