"""A search index of sections, for search.html and search.js.

Sphinx's own search finds sections by their titles only, and shows excerpts only if it can
fetch them from a server. This index is a script with the text of every section, so that
search shows the section and an excerpt even when the site is opened from a folder.
"""

import json
from pathlib import Path

from docutils import nodes


def write_index(app, exception):
    """Write _static/search-index.js, which defines the array `SECTIONS`."""
    if exception or app.builder.format != "html":
        return
    sections = [
        section for name in sorted(app.env.found_docs) for section in read_sections(app, name)
    ]
    text = f"const SECTIONS = {json.dumps(sections, ensure_ascii=False)};\n"
    Path(app.outdir, "_static", "search-index.js").write_text(text, "utf-8")


def read_sections(app, name):
    """Yield [URL, page title, section title, prose, code] for each section of a page."""
    url = app.builder.get_target_uri(name)
    page = app.env.titles[name].astext()
    doctree = app.env.get_doctree(name)
    # The innermost sections first, so that what is left of the outer ones is their own.
    for section in reversed(list(doctree.findall(has_title))):
        section.parent.remove(section)
        title = section.pop(0)
        for cell in list(section.findall(is_folded_cell)):
            cell.parent.remove(cell)  # it draws a figure or repeats what a different page explains
        blocks = list(section.findall(nodes.literal_block))
        code = join_text(blocks)
        for block in blocks:
            block.parent.remove(block)
        yield [
            f"{url}#{section['ids'][0]}",
            page,
            title.astext(),
            join_text(section.findall(nodes.paragraph)),
            code,
        ]


def has_title(node):
    """Return whether a node is a section with a title; sphinx-exercise makes some without."""
    return isinstance(node, nodes.section) and isinstance(node.next_node(), nodes.title)


def is_folded_cell(node):
    """Return whether a node is a code cell whose code is folded."""
    return isinstance(node, nodes.Element) and "tag_hide-input" in node.get("classes", [])


def join_text(parts):
    """Return the text of nodes on a single line."""
    return " ".join(" ".join(part.astext() for part in parts).split())


def setup(app):
    app.connect("build-finished", write_index)
