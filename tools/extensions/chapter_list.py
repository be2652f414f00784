"""The directive `chapter-list`, an annotated table of contents.

It lists the parts of the book and, for each page, its number, title, reading time, and
the description from the page's header.
"""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

WORDS_PER_MINUTE = 150  # slower than a novel, because of code and formulas


class chapter_list(nodes.General, nodes.Element):
    """Where the list goes; replaced when all pages have been read."""


class ChapterList(SphinxDirective):
    def run(self):
        return [chapter_list()]


def fill_chapter_lists(app, doctree, docname):
    """Replace `chapter_list` nodes by a heading and a list for each part."""
    for node in list(doctree.findall(chapter_list)):
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
    return nodes.list_item("", heading, nodes.paragraph("", metadata["description"]))


def setup(app):
    app.add_node(chapter_list)
    app.add_directive("chapter-list", ChapterList)
    app.connect("doctree-resolved", fill_chapter_lists)
