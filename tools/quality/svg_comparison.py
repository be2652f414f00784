"""Compare figures: SVG by Matplotlib, in which coordinates may differ by their rounding.

Elements, text, colors, styles, and pixels must be equal. Metadata and generated ids, which are
hashes of coordinates, aren't compared.
"""

import re
from base64 import b64decode
from io import BytesIO
from itertools import zip_longest
from math import inf
from xml.etree import ElementTree

from PIL import Image

POINT_TOLERANCE = 0.05  # a point is 1/72 inch
COORDINATES = {"d", "x", "y", "width", "height", "viewBox", "transform"}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
GENERATED_ID = re.compile(r'(?<=["#])\w*[0-9a-f]{10}(?=[")])')
PNG = "data:image/png;base64,"


def read_figure(svg):
    """Return the root element of a figure, with its generated ids numbered."""
    ids = {}
    svg = GENERATED_ID.sub(lambda match: ids.setdefault(match[0], f"generated_{len(ids)}"), svg)
    root = ElementTree.fromstring(svg)
    for metadata in root.findall("{*}metadata"):
        root.remove(metadata)
    return root


def flatten(element, place="", depth=0):
    """Yield an element's place, what must be equal, and coordinates; then those inside it."""
    place = f"{place} {element.get('id', '')}".strip()
    fixed, coordinates = {"depth": depth, "tag": element.tag, "text": element.text}, []
    for name, value in element.items():
        if name in COORDINATES:
            coordinates += map(float, NUMBER.findall(value))
            fixed[name] = NUMBER.sub("", value)
        elif name == "style":
            fixed |= dict(setting.split(": ", 1) for setting in value.split("; "))
        elif value.startswith(PNG):  # processors may compress differently
            fixed["pixels"] = Image.open(BytesIO(b64decode(value.removeprefix(PNG)))).tobytes()
        else:
            fixed[name] = value
    yield place, fixed, coordinates
    for child in element:
        yield from flatten(child, place, depth + 1)


def compare_figures(recorded, new):
    """Return how two figures differ, or "", and how far an element moved, in points."""
    elements = (flatten(read_figure(svg)) for svg in (recorded, new))
    moves = []
    for (place, a, old), (_, b, now) in zip_longest(*elements, fillvalue=("end", {}, [])):
        for name in (a | b).keys() if a != b else ():
            if a.get(name) != b.get(name):
                change = f"{name} {a.get(name)!r:.60} is now {b.get(name)!r:.60}"
                return f"{place}: {'other pixels' if name == 'pixels' else change}", inf
        moves.append((max((abs(x - y) for x, y in zip(old, now)), default=0.0), place))
    distance, place = max(moves)
    return f"{place}: moved by {distance:.2g} points" * (distance > POINT_TOLERANCE), distance


def figure_differences(recorded, new):
    """Return how two lists of figures differ, as a list of texts."""
    pairs = zip(recorded, new)  # nbval compares their counts
    return [difference for a, b in pairs if (difference := compare_figures(a, b)[0])]
