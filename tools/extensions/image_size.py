"""Sphinx extension: load images lazily, and give them a size, so that nothing moves later.

docutils can load images lazily, but writes their size only where a page states it.
"""

import re
from pathlib import Path

from docutils import nodes


def svg_size(path):
    """Return the width and height that the viewBox of an SVG file states."""
    box = re.search(r'<svg\b[^>]*\bviewBox="([^"]*)"', path.read_text("utf-8"))[1]
    _, _, width, height = map(float, box.split())
    return width, height


def visit_image(self, node):
    node["loading"] = "lazy"
    path = Path(self.builder.srcdir, node["uri"])
    type(self).visit_image(self, node)
    if path.suffix == ".svg":
        # In CSS pixels, of which Matplotlib's points are three quarters.
        width, height = (round(length * 4 / 3) for length in svg_size(path))
        self.body[-1] = self.body[-1].replace("<img ", f'<img width="{width}" height="{height}" ')


def depart_image(self, node):
    type(self).depart_image(self, node)


def setup(app):
    app.add_node(nodes.image, override=True, html=(visit_image, depart_image))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
