"""Sphinx extension: offer each page with code as its recorded notebook.

The theme offers an .ipynb only beside a launch button. It builds its download menu
from the context's `ipynb_source`, so we set that.
"""

import shutil
from pathlib import Path


def offer_notebook(app, pagename, templatename, context, doctree):
    notebook = Path(app.srcdir, f"{pagename}.ipynb")
    if notebook.is_file():
        target = Path(app.outdir, "_sources", f"{pagename}.ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, target)
        context["ipynb_source"] = f"{pagename}.ipynb"


def setup(app):
    # before the theme, at 501, makes the menu, and after it: beside a launch button
    # it offers a notebook of its own
    for priority in (500, 502):
        app.connect("html-page-context", offer_notebook, priority=priority)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
