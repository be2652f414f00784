"""Sphinx extension: fold an admonition of class `dropdown` with the element for it.

`<details>` opens by mouse and keyboard, tells screen readers its state, and needs no
script; Sphinx 8.2 has this built in as `:collapsible:`.
"""

from docutils import nodes
from sphinx_exercise.nodes import (
    depart_solution_node,
    solution_node,
    visit_solution_node,
)


def is_folded(node):
    return "dropdown" in node.get("classes", [])


def retag(self, node, write, old, new):
    """Let `write` write a tag of `node`, with another name if the node is folded."""
    place = len(self.body)
    write(self, node)
    if is_folded(node):
        assert old in self.body[place], self.body[place]
        self.body[place] = self.body[place].replace(old, new, 1)


def folding(visit, depart):
    return (
        lambda self, node: retag(self, node, visit, "<div", "<details"),
        lambda self, node: retag(self, node, depart, "</div>", "</details>"),
    )


def visit_title(self, node):
    folded = isinstance(node.parent, nodes.Admonition) and is_folded(node.parent)
    if folded:  # a click must do one thing
        for link in list(node.findall(nodes.reference)):
            link.replace_self(link.children)
    place = len(self.body)
    type(self).visit_title(self, node)
    if folded:
        self.body[place] = self.body[place].replace("<p", "<summary", 1)
        self.context[-1] = "</summary>\n"


def depart_title(self, node):
    type(self).depart_title(self, node)


def setup(app):
    admonition = folding(
        lambda self, node: type(self).visit_admonition(self, node),
        lambda self, node: type(self).depart_admonition(self, node),
    )
    solution = folding(visit_solution_node, depart_solution_node)
    app.add_node(nodes.admonition, override=True, html=admonition)
    app.add_node(solution_node, override=True, html=solution)
    app.add_node(nodes.title, override=True, html=(visit_title, depart_title))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
