"""Forward from an address to a page, as the setting `forwards` in _config.yml says."""


def make_forwards(app):
    """Yield each address that forwards, with what the template forward.html shows."""
    for name, target in app.config.forwards.items():
        yield name, {"forward_to": target}, "forward.html"


def setup(app):
    app.add_config_value("forwards", {}, "html")
    app.connect("html-collect-pages", make_forwards)
