"""Sphinx's configuration for the preview: what Jupyter Book makes of _config.yml."""

from jupyter_book.config import get_final_config

from tools.project import ROOT

settings, _ = get_final_config(
    user_yaml=ROOT / "_config.yml", sourcedir=ROOT, cli_config={"latex_individualpages": False}
)
globals().update(settings)
for name in "templates_path", "html_static_path":  # Sphinx looks for them next to this file
    globals()[name] = [str(ROOT / folder) for folder in settings[name]]
for name in "html_logo", "html_favicon":
    globals()[name] = str(ROOT / settings[name])
# What a failing cell raised has been printed already, with its line; the page shows it, too.
suppress_warnings = [*settings.get("suppress_warnings", []), "mystnb.exec"]
