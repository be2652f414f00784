"""Sphinx extension: a search index of sections, for search.html and search.js.

Sphinx's own search lists pages, and shows excerpts only if it can fetch them from a
server. This index is a script with the text of every section, so that search shows the
section and an excerpt even when the site is opened from a folder.
"""

import json
from pathlib import Path

from docutils import nodes
from sphinx.util.nodes import clean_astext


def write_index(app, exception):
    """Write _static/search-index.js, which defines the array `SECTIONS`."""
    if exception or app.builder.format != "html":
        return
    sections = [section for name in sorted(app.env.found_docs) for section in read(app, name)]
    text = f"const SECTIONS = {json.dumps(sections, ensure_ascii=False)};\n"
    Path(app.outdir, "_static", "search-index.js").write_text(text, "utf-8")


def read(app, name):
    """Yield [address, page title, section title, text] for each section of a page."""
    doctree = app.env.get_doctree(name)
    address = app.builder.get_target_uri(name)
    page = app.env.titles[name].astext()
    for node in doctree.findall(nodes.section):
        own = [child for child in node.children if not isinstance(child, nodes.section)]
        title, *body = own
        text = " ".join(" ".join(clean_astext(child).split()) for child in body)
        yield [f"{address}#{node['ids'][0]}", page, title.astext(), text]


def setup(app):
    app.connect("build-finished", write_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
