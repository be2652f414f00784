"""Proof that the comparison of figures notices what a reader would, and no rounding."""

import io
import re

import numpy as np
import pytest
from matplotlib import pyplot as plt

from tools.project import BOOK
from tools.quality.svg_comparison import compare_figures

FIGURE = """
curve = np.exp(-np.arange(10) / 3)
values = np.sqrt(np.arange(100))
figure, (left, middle, right) = plt.subplots(1, 3)
left.plot(curve, "o-", label="loss")
left.plot(1 - curve, "--", label="accuracy")
left.set(title="Training", xlabel="epoch", ylim=(-0.05, 1.1))
left.legend(loc="center")
middle.hist(values, bins=10)
middle.scatter([1, 2], [9, 12], s=20)
middle.axvline(5, linewidth=1)
right.bar([0, 1], [0.25, 0.5], width=0.8)
right.imshow([[0, 1], [2, 3]], alpha=0.5)
right.text(0.5, 0.5, "here", fontsize=9)
"""
MUTANTS = {
    "a curve scaled by two percent": ("plot(curve", "plot(1.02 * curve"),
    "a curve shifted by two percent": ("plot(1 - curve", "plot(1.02 - curve"),
    "one point of a curve": ("(10) / 3)", "(10) / 3)\ncurve[4] += 0.02"),
    "a shorter curve": ("plot(1 - curve", "plot(1 - curve[:9]"),
    "curves drawn in the other order": ("left.plot(curve", "left.plot(1 - curve"),
    "marker": ("o-", "s-"),
    "line style": ("--", ":"),
    "line width": ("linewidth=1", "linewidth=1.1"),
    "color": ('"--"', '"--", color="C2"'),
    "label": ("loss", "cost"),
    "labels swapped": ('loss")\nleft.plot(1 -', 'accuracy")\nleft.plot(1 -'),
    "title": ("Training", "training"),
    "no axis label": (', xlabel="epoch"', ""),
    "axis limit": ("1.1)", "1.12)"),
    "legend's place": ("center", "upper right"),
    "number of bins": ("bins=10", "bins=11"),
    "bin width": ("bins=10", "bins=10, rwidth=0.98"),
    "one value in a different bin": ("(100))", "(100))\nvalues[0] = 5"),
    "a scattered point": ("[9, 12]", "[9, 12.3]"),
    "size of the points": ("s=20", "s=22"),
    "bar width": ("width=0.8", "width=0.82"),
    "height of a bar": ("[0.25, 0.5]", "[0.26, 0.5]"),
    "a pixel": ("[2, 3]", "[2.1, 3]"),
    "transparency": ("alpha=0.5", "alpha=0.6"),
    "font size": ("fontsize=9", "fontsize=10"),
    "rotated text": ("fontsize=9", "fontsize=9, rotation=1"),
}


def draw(code):
    """Return the figure that code draws, as SVG."""
    file = io.StringIO()
    with plt.rc_context(fname=BOOK / "matplotlibrc"):
        exec(code, {"np": np, "plt": plt})
        plt.savefig(file, format="svg")
        plt.close()
    return file.getvalue()


@pytest.fixture(scope="module")
def figure():
    return draw(FIGURE)


@pytest.mark.parametrize("right, wrong", MUTANTS.values(), ids=MUTANTS)
def test_changed_figure_differs(figure, right, wrong):
    assert FIGURE.count(right) == 1
    assert compare_figures(figure, draw(FIGURE.replace(right, wrong)))[0]


def test_rounding_dates_and_generated_ids_make_no_difference(figure):
    rounded = draw(FIGURE.replace("/ 3)", "/ 3.00001)"))
    rounded = re.sub("<dc:date>.*?<", "<dc:date>1970-01-01T00:00:00<", rounded)
    rounded = re.sub(
        r'(?<=["#])(\w+)([0-9a-f]{10})(?=[")])', lambda match: match[1] + match[2][::-1], rounded
    )
    difference, distance = compare_figures(figure, rounded)
    assert difference == "" and 0 < distance < 0.01


@pytest.mark.parametrize("part", ["axis limit", "label"])
def test_difference_names_the_part(figure, part):
    right, wrong = MUTANTS[part]
    difference, _ = compare_figures(figure, draw(FIGURE.replace(right, wrong)))
    assert re.search(r"axes_1 .*(moved by \d.*points|'loss' is now 'cost')", difference)


def test_failure_names_a_report_of_both_figures(checkout):
    checkout.write(f"import numpy as np\nfrom matplotlib import pyplot as plt\n{FIGURE}plt.show()")
    assert checkout.start().wait() == 0
    assert checkout.validate()[0] == 0
    recording = checkout.folder / "book" / "page.ipynb"
    recording.write_text(recording.read_text().replace(">loss<", ">cost<"))
    _, printed = checkout.validate()
    assert "book/page.md:22: cell 2" in printed and "text 'cost' is now 'loss'" in printed
    assert "Both figures are in _build/differences/page-2.html." in printed
    report = (checkout.folder / "_build" / "differences" / "page-2.html").read_text()
    assert report.count("data:image/svg+xml;base64,") == 4
    assert not re.search("https?:", report)
