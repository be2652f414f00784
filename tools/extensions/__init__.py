"""Sphinx extensions, listed in _config.yml."""
