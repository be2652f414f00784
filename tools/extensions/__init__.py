"""The book's Sphinx extensions; _config.yml lists this package as one of them."""

from tools.extensions import (
    chapter_list,
    collapsible,
    forwards,
    mathml,
    page_actions,
    section_search,
)


def setup(app):
    # Furo registers the setting `pygments_dark_style` when Sphinx loads the theme. That's too
    # late here, because Jupyter Book passes _config.yml to Sphinx as overrides, which are
    # checked earlier. Listing Furo as an extension in _config.yml raises a ConfigError.
    app.setup_extension("furo")
    for module in (chapter_list, collapsible, forwards, mathml, page_actions, section_search):
        module.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
