"""An annotated table of contents, which replaces a `div` of class `chapter-list`.

It lists the parts of the book and, for each page, its number, title, reading time, and
the description from the page's header. JupyterLab, which would show a directive of our own as
an error, knows `div` and shows nothing.
"""

from docutils import nodes
from docutils.parsers.rst.directives.body import Container

WORDS_PER_MINUTE = 150  # slower than a novel, because of code and formulas


def fill_chapter_lists(app, doctree, docname):
    """Replace each `div` of class `chapter-list` by a heading and a list for each part."""
    for node in list(doctree.findall(nodes.container)):
        if "chapter-list" not in node["classes"]:
            continue
        lists = []
        for part in app.env.external_site_map.root.subtrees:
            lists.append(nodes.rubric("", part.caption))
            entries = [make_item(app, docname, str(item)) for item in part.items]
            lists.append(nodes.bullet_list("", *entries, classes=["chapters"]))
        node.replace_self(lists)


def make_item(app, docname, name):
    """Return the list item of a page."""
    doctree = app.env.get_doctree(name)
    number = "".join(f"{n}. " for n in app.env.toc_secnumbers.get(name, {}).get("", []))
    text = number + app.env.titles[name].astext()
    title = nodes.reference("", text, internal=True, classes=["chapter-title"])
    title["refuri"] = app.builder.get_relative_uri(docname, name)
    minutes = max(5, 5 * round(len(doctree.astext().split()) / WORDS_PER_MINUTE / 5))
    time = nodes.inline("", f"{minutes} minutes", classes=["reading-time"])
    metadata = {meta.get("name"): meta["content"] for meta in doctree.findall(nodes.meta)}
    heading = nodes.paragraph("", "", title, nodes.Text(" "), time)
    return nodes.list_item("", heading, nodes.paragraph("", metadata.get("description", "")))


def setup(app):
    app.add_directive("div", Container)  # docutils has it under a name that JupyterLab lacks
    app.connect("doctree-resolved", fill_chapter_lists)
