"""Sphinx extension: what a reader can do with a page besides reading it.

Each page with code offers its recorded notebook for download. If `repository` in
_config.yml names a URL, each page links to its source and to a new issue; if
`launch_buttons` names a Hub, it also links to its notebook there. The template page.html
shows these links.
"""

import shutil
from pathlib import Path
from urllib.parse import quote, urlencode

from tools.project import configuration


def add_page_actions(app, pagename, templatename, context, doctree):
    """Set `page_actions` for the template: a list of pairs of a label and an address."""
    actions = []
    notebook = Path(app.srcdir, f"{pagename}.ipynb")
    if notebook.is_file():
        target = Path(app.outdir, "_sources", f"{pagename}.ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, target)
        address = context["pathto"](f"_sources/{pagename}.ipynb", resource=True)
        actions.append(("Download notebook", address))
        if hub := hub_address(f"{pagename}.ipynb"):
            actions.append(("Open on the Hub", hub))
    repository = configuration().get("repository", {})
    if doctree is not None and (url := repository.get("url")):
        source = f"{pagename}.md"
        issue = urlencode({"title": f"{source}: "})
        actions.append(
            ("Edit this page", f"{url}/edit/{repository.get('branch', 'main')}/{source}")
        )
        actions.append(("Report a problem", f"{url}/issues/new?{issue}"))
    context["page_actions"] = actions


def hub_address(notebook):
    """Return the address that opens a notebook on the configured Hub, or None.

    The formats are BinderHub's and nbgitpuller's:
    https://mybinder.readthedocs.io/en/latest/howto/ and
    https://nbgitpuller.readthedocs.io/en/latest/topic/url-options.html
    """
    settings = configuration()
    repository = settings.get("repository", {})
    hubs = settings.get("launch_buttons", {})
    branch = repository.get("branch", "main")
    if binder := hubs.get("binderhub_url"):
        owner, name = repository["url"].rstrip("/").split("/")[-2:]
        return f"{binder}/v2/gh/{owner}/{name}/{branch}?urlpath=lab/tree/{quote(notebook)}"
    if hub := hubs.get("jupyterhub_url"):
        folder = repository["url"].rstrip("/").split("/")[-1]
        urlpath = f"lab/tree/{folder}/{notebook}"
        query = {"repo": repository["url"], "branch": branch, "urlpath": urlpath}
        return f"{hub}/hub/user-redirect/git-pull?{urlencode(query)}"
    return None


def setup(app):
    app.connect("html-page-context", add_page_actions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
