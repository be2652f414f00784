"""Proof that validation fails for wrong layers, wrong outputs, and missing outputs."""

import json

import nbformat
import pytest

from tools.build.notebook import code_cells, read_recorded, tags
from tools.quality.nbval_plugin import Output, outputs_match
from tools.quality.validate import failing_cells

WITHOUT = "layers-without-parameters"
WITH = "layers-with-parameters"
MANAGING = "managing-parameters"

WRONG_CODE = {
    "mean of each example": (WITHOUT, "x.mean()", "x.mean(-1, keepdims=True)"),
    "slightly wrong scale": (WITHOUT, "x - x.mean()", "1.00001 * (x - x.mean())"),
    "different seed": (WITHOUT, "seed(0)", "seed(1)"),
    "missing ReLU": (WITH, "return npx.relu(linear)", "return linear"),
    "transposed weight": (WITH, "(in_units, units))", "(units, in_units))"),
    "unfrozen layer": (MANAGING, '"grad_req", "null")\n\nsgd', '"grad_req", "write")\n\nsgd'),
    "wrong shape": ("inferring-shapes", "(x.shape[-1],)\n\n\nscale", "(len(x),)\n\n\nscale"),
    "wrong gradient": ("custom-gradients", "return dy\n", "return 2 * dy\n"),
    "missing bias": ("speed", "F.np.dot(x, weight) + bias", "F.np.dot(x, weight)"),
}


@pytest.mark.parametrize("page, right, wrong", WRONG_CODE.values(), ids=WRONG_CODE)
def test_wrong_code_fails(page, right, wrong):
    notebook = read_recorded(page)
    cell = next(cell for cell in code_cells(notebook) if right in cell.source)
    assert cell.source.count(right) == 1
    cell.source = cell.source.replace(right, wrong)
    assert failing_cells(notebook)


# A part of a cell's code, a part of its output, and a wrong replacement for the latter.
WRONG_OUTPUTS = {
    WITHOUT: [
        ("layer(np.array([1, 2, 3, 4, 5]))", "-2.", " 2."),
        ("net", "CenteredLayer", "CentredLayer"),
        ("y.shape", "(4, 128)", "(128, 4)"),
        ("y.std()", "0.06583", "0.06584"),
        ("y.mean(axis=1)", "-0.00064628,", ""),
        ("nn.Block is gluon.Block", "True", "False"),
        ("x.grad", "-0.2, -0.2]", "-0.2, -0.2001]"),
    ],
    WITH: [
        ("dense(x)", "RuntimeError", "ValueError"),
        ("dense.initialize(mx.init.Xavier())", "2D", "3D"),
        ("dense.params", "mydense0_bias", "mydense0_bais"),
        ("total.backward()", "33", "34"),
        ("[type(block)", "'Skip', 'Skip'", "'Skip', 'Sequential'"),
    ],
}


@pytest.mark.parametrize("page", WRONG_OUTPUTS)
def test_wrong_missing_and_unexpected_outputs_fail(page):
    notebook = read_recorded(page)
    cells = code_cells(notebook)
    expected = set()
    for code, right, wrong in WRONG_OUTPUTS[page]:
        outputs = [json.dumps(cell.outputs) if code in cell.source else "" for cell in cells]
        index = next(index for index, output in enumerate(outputs) if right in output)
        cells[index].outputs = nbformat.from_dict(json.loads(outputs[index].replace(right, wrong)))
        expected.add(index)
    others = [index for index in range(len(cells)) if index not in expected]
    missing = next(index for index in others if cells[index].outputs)
    unexpected = next(index for index in reversed(others) if not cells[index].outputs)
    cells[unexpected].outputs, cells[missing].outputs = cells[missing].outputs, []
    assert failing_cells(notebook) == expected | {missing, unexpected}


def test_wrong_missing_and_unexpected_errors_fail():
    notebook = read_recorded(MANAGING)
    cells = code_cells(notebook)
    raising = [index for index, cell in enumerate(cells) if "raises-exception" in tags(cell)]
    wrong_type, wrong_message, *_, missing, last = raising
    unexpected = last + 1
    cells[wrong_type].outputs[0].ename = "KeyError"
    cells[wrong_message].outputs[0].evalue += " "
    cells[missing].source = "None"
    cells[unexpected].source = "raise ValueError"
    assert failing_cells(notebook) == {wrong_type, wrong_message, missing, unexpected}


EQUAL_UP_TO_ROUNDING = [
    ("array(3.490e-10)", "array(-3.2e-10)"),
    ("array([1.0000001, 2.])", "array([1., 2.])"),
    ("[ 0.5       -0.25]", "[ 0.50000001 -0.25      ]"),
    ("[1. 2.\n 3.]", "[1.  2.  3.]"),
    ("(0.5+1.5j)", "(0.500001+1.5j)"),
    ("nan", "nan"),
]
DIFFERENT = [
    ("0.0009123", "0.0009129"), ("0.0009123", "-0.0009123"), ("1.234", "1.235"),
    ("9.998", "9.999"), ("-2.", "-2.00002"), ("0.5", "0.5 0.5"), ("[0.5]", "[[0.5]]"),
    ("0.", "2e-06"), ("0.0", "0"), ("3", "3.0"), ("(2, 3)", "(3, 2)"), ("int32 7", "int64 7"),
    ("1000000", "1000001"), ("1.9.1", "1.9.2"), ("dense0_weight", "dense1_weight"),
    ("nan", "0.0"), ("inf", "-inf"), ("(0.5+1.5j)", "(0.5-1.5j)"), ("two words", "twowords"),
    ("a\nb", "a b"),
]  # fmt: skip


@pytest.mark.parametrize("a, b", EQUAL_UP_TO_ROUNDING)
def test_outputs_match_up_to_rounding(a, b):
    assert outputs_match(a, b) and outputs_match(b, a)


@pytest.mark.parametrize("a, b", DIFFERENT)
def test_different_outputs_do_not_match(a, b):
    assert not outputs_match(a, b) and not outputs_match(b, a)


def test_deviation_of_matching_outputs_is_logged(tmp_path, monkeypatch):
    log = tmp_path / "deviations"
    monkeypatch.setattr(Output, "deviation_log", log)
    output = Output("[0.5 4.0]")
    assert output == "[0.5 4.000004]" and output == "[0.5 4.0]"
    assert output != "[0.5 4.1]" and output != "[0.5 4.0 1.0]"
    deviations = list(map(float, log.read_text().split()))
    assert deviations == [pytest.approx(1e-6, rel=1e-3), 0]
