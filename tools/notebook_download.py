"""Sphinx extension: offer each page with code as the notebook that was executed.

The theme offers the .ipynb only beside a launch button. It builds its download menu
from the context's `ipynb_source`, so we set that.
"""

import shutil
from pathlib import Path

from docutils import nodes


def offer_notebook(app, pagename, templatename, context, doctree):
    if doctree is None or not any(node.get("nb_element") == "cell_code" for node in doctree.findall(nodes.container)):
        return
    executed = Path(app.outdir).parent / "jupyter_execute" / f"{pagename}.ipynb"
    target = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(executed, target)
    context["ipynb_source"] = f"{pagename}.ipynb"


def setup(app):
    # before the theme, at 501, makes the menu
    app.connect("html-page-context", offer_notebook, priority=500)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
