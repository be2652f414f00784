"""Render admonitions and solutions of class `dropdown` as `<details>`.

`<details>` opens by mouse and keyboard, tells screen readers its state, and needs no
script. Sphinx 8.2 has this built in as the option `collapsible`; delete this extension
once Jupyter Book supports that version.

A choice of a question is marked as right or wrong by the first character of its text.
"""

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_exercise.nodes import solution_node

VERDICTS = {"✓": "right", "✗": "wrong"}


class details(nodes.General, nodes.Element):
    """A part of a page that opens and closes."""


class summary(nodes.General, nodes.TextElement):
    """The line of a `details` node that is always visible."""


class CollapseAdmonitions(SphinxPostTransform):
    """Replace admonition nodes of class `dropdown` by `details` nodes."""

    formats = ("html",)
    default_priority = 600  # after sphinx-exercise has resolved its titles and references

    def run(self, **kwargs):
        for kind in (nodes.admonition, solution_node):
            for node in list(self.document.findall(kind)):
                if "dropdown" in node["classes"]:
                    node.replace_self(collapse(node))


def collapse(admonition):
    """Return the `details` node that shows the same as an admonition."""
    title, *body = admonition.children
    for link in list(title.findall(nodes.reference)):
        link.replace_self(link.children)  # a click on the title only opens and closes
    heading = summary("", "", *title.children, classes=["admonition-title"])
    folded = details("", heading, *body, ids=admonition["ids"], classes=admonition["classes"])
    folded["classes"].append("admonition")
    if "choice" in folded["classes"]:
        folded["classes"].append(VERDICTS.get(admonition.astext().split("\n\n")[1][0], ""))
    return folded


def visit(self, node):
    self.body.append(self.starttag(node, type(node).__name__))


def depart(self, node):
    self.body.append(f"</{type(node).__name__}>\n")


def setup(app):
    app.add_node(details, html=(visit, depart))
    app.add_node(summary, html=(visit, depart))
    app.add_post_transform(CollapseAdmonitions)
