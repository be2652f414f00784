"""Sphinx extension: load Furo early enough for Jupyter Book.

Furo registers `pygments_dark_style` when Sphinx loads the theme, which is too late for
Jupyter Book: it passes _config.yml to Sphinx as overrides, and these are checked before.
"""


def setup(app):
    app.setup_extension("furo")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
