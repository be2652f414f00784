"""Offer what a reader can do with a page besides reading it.

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
    """Set what the template shows: `download_url`, and `page_actions`, pairs of label and URL."""
    actions = context["page_actions"] = []
    notebook = Path(app.srcdir, f"{pagename}.ipynb")
    if notebook.is_file():
        target = Path(app.outdir, "_sources", f"{pagename}.ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, target)
        context["download_url"] = context["pathto"](f"_sources/{pagename}.ipynb", resource=True)
        if hub_url := make_hub_url(f"{pagename}.ipynb"):
            actions.append(("Open on the Hub", hub_url))
    url, branch = repository()
    if doctree is not None and url:
        issue = urlencode({"title": f"{pagename}.md: "})
        actions.append(("Edit this page", f"{url}/edit/{branch}/{pagename}.md"))
        actions.append(("Report a problem", f"{url}/issues/new?{issue}"))


def repository():
    """Return the URL of the configured repository, "" if there is none, and its branch."""
    settings = configuration().get("repository", {})
    return settings.get("url", "").rstrip("/"), settings.get("branch", "main")


def make_hub_url(notebook):
    """Return the URL that opens a notebook on the configured Hub, or None.

    The formats are BinderHub's and nbgitpuller's:
    https://mybinder.readthedocs.io/en/latest/howto/ and
    https://nbgitpuller.readthedocs.io/en/latest/topic/url-options.html
    """
    url, branch = repository()
    hubs = configuration().get("launch_buttons", {})
    if not url or not hubs:
        return None
    owner, name = url.split("/")[-2:]
    if binder := hubs.get("binderhub_url", "").rstrip("/"):
        return f"{binder}/v2/gh/{owner}/{name}/{branch}?urlpath=lab/tree/{quote(notebook)}"
    hub = hubs.get("jupyterhub_url", "").rstrip("/")
    if not hub:
        return None
    query = {"repo": url, "branch": branch, "urlpath": f"lab/tree/{name}/{notebook}"}
    return f"{hub}/hub/user-redirect/git-pull?{urlencode(query)}"


def setup(app):
    app.connect("html-page-context", add_page_actions)
