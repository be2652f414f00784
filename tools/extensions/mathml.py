"""Sphinx extension: write formulas as MathML when the site is built.

Browsers show MathML by themselves: no script, nothing that moves the text later, and
screen readers can read it. docutils translates; what it cannot, fails the build.
"""

import re

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

# docutils takes \frac12 for \frac{12}{...}.
UNBRACED = re.compile(r"\\([dt]?frac|[dt]?binom)\s*(?:\{[^{}]*\}\s*)?[^\s{]")
# It writes the function in "n log n" without the space around its name.
NAME = r"<mi[^>]*>\w{2,}</mi>\s*"
BEFORE = re.compile(rf"(?<=</m[in]>)(?=\s*{NAME}<mo[^>]*>&ApplyFunction;)")
AFTER = re.compile(rf"({NAME}<mo)(>&ApplyFunction;</mo>\s*)(?!\s*<mo[^>]*>[(\[])")


def mathml(tex, as_block=False):
    if found := UNBRACED.search(tex):
        raise MathError(f"write both arguments of \\{found[1]} in braces")
    braces = re.sub(r"\\[{}]", "", tex)
    if braces.count("{") != braces.count("}"):
        raise MathError("a brace too many or too few")
    text = tex2mathml(tex, as_block=as_block)
    text = AFTER.sub(r'\1 rspace="0.17em"\2', text)
    text = BEFORE.sub('<mspace width="0.17em"></mspace>', text)
    return re.sub(r"\n\s*", "", text)


def formula(self, node):
    try:
        return mathml(node.astext(), as_block=node.tagname == "math_block")
    except MathError as error:
        logging.getLogger(__name__).warning(
            "no MathML for %r: %s", node.astext(), error, location=node
        )
        return ""


def visit_inline(self, node):
    self.body.append(self.starttag(node, "span", "", CLASS="math"))
    self.body.append(formula(self, node) + "</span>")
    raise SkipNode


def visit_block(self, node):
    self.body.append(self.starttag(node, "div", "", CLASS="math"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(formula(self, node) + "</div>\n")
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
