"""Write formulas as MathML when the site is built.

Browsers display MathML without a script, and screen readers can read it. docutils
translates the TeX; a formula that it can't translate fails the build.
"""

import re

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

# docutils 0.21 reads \frac12 as \frac{12}{...}.
UNBRACED = re.compile(r"\\([dt]?frac|[dt]?binom)\s*(?:\{[^{}]*\}\s*)?[^\s{]")
# docutils 0.21 writes a function name, as in "n log n", without the spaces around it.
NAME = r"<mi[^>]*>\w{2,}</mi>\s*"
BEFORE_NAME = re.compile(rf"(?<=</m[in]>)(?=\s*{NAME}<mo[^>]*>&ApplyFunction;)")
AFTER_NAME = re.compile(rf"({NAME}<mo)(>&ApplyFunction;</mo>\s*)(?!\s*<mo[^>]*>[(\[])")


def mathml(tex, as_block=False):
    """Return a formula as MathML.

    Raise MathError if the formula can't be translated, or if docutils would misread it.
    """
    if found := UNBRACED.search(tex):
        raise MathError(f"write both arguments of \\{found[1]} in braces")
    braces = re.sub(r"\\[{}]", "", tex)
    if braces.count("{") != braces.count("}"):
        raise MathError("unbalanced braces")
    text = tex2mathml(tex, as_block=as_block)
    text = AFTER_NAME.sub(r'\1 rspace="0.17em"\2', text)
    text = BEFORE_NAME.sub('<mspace width="0.17em"></mspace>', text)
    return re.sub(r"\n\s*", "", text)


def convert(node):
    """Return the MathML of a node; log a warning, which fails the build, if it has none."""
    try:
        return mathml(node.astext(), as_block=node.tagname == "math_block")
    except MathError as error:
        logger = logging.getLogger(__name__)
        logger.warning("no MathML for %r: %s", node.astext(), error, location=node)
        return ""


def visit_math(self, node):
    self.body.append(self.starttag(node, "span", "", CLASS="math"))
    self.body.append(convert(node) + "</span>")
    raise SkipNode


def visit_math_block(self, node):
    self.body.append(self.starttag(node, "div", "", CLASS="math"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(convert(node) + "</div>\n")
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
