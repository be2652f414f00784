"""Proof that validation fails when a layer or a recorded output is wrong."""

import copy

import pytest
from conftest import Output, same_output
from tools.mutants import recorded, validate
from tools.pages import code_cells

WITHOUT = "layers-without-parameters"
WITH = "layers-with-parameters"
MANAGING = "managing-parameters"


# Beside the mutants of test_mutants.py:
BROKEN_CODE = {
    "centring each example": (WITHOUT, "x.mean()", "x.mean(-1, keepdims=True)"),
    "centring a little too much": (WITHOUT, "x - x.mean()", "1.00001 * (x - x.mean())"),
    "another seed": (WITHOUT, "seed(0)", "seed(1)"),
    "no ReLU": (WITH, "return npx.relu(linear)", "return linear"),
    "a transposed weight": (WITH, "(in_units, units))", "(units, in_units))"),
    "an unfrozen layer": (MANAGING, '"grad_req", "null")\n\nsgd', '"grad_req", "write")\n\nsgd'),
    "a wrong size": ("inferring-shapes", "(x.shape[-1],)\n\n\nscale", "(len(x),)\n\n\nscale"),
    "a wrong gradient": ("custom-gradients", "return dy\n", "return 2 * dy\n"),
    "no bias, compiled": ("speed", "F.np.dot(x, weight) + bias", "F.np.dot(x, weight)"),
}


@pytest.mark.parametrize("name, right, wrong", BROKEN_CODE.values(), ids=BROKEN_CODE)
def test_a_broken_layer_is_caught(name, right, wrong):
    notebook = recorded(name)
    cell = next(c for c in code_cells(notebook) if right in c.source)
    assert cell.source.count(right) == 1
    cell.source = cell.source.replace(right, wrong)
    assert validate(notebook, "-x")


BROKEN_OUTPUT = {
    WITHOUT: {
        "a sign": ("layer(np.array([1, 2, 3, 4, 5]))", "-2.", " 2."),
        "a word": ("net", "CenteredLayer", "CentredLayer"),
        "a shape": ("y.shape", "(4, 128)", "(128, 4)"),
        "the fourth digit": ("y.std()", "0.06583", "0.06584"),
        "a number less": ("y.mean(axis=1)", "-0.00064628,", ""),
        "a word for a word": ("nn.Block is gluon.Block", "True", "False"),
        "a small number": ("x.grad", "-0.2, -0.2]", "-0.2, -0.2001]"),
    },
    WITH: {
        "a type": ("dense(x)", "RuntimeError", "ValueError"),
        "a message": ("dense.initialize(mx.init.Xavier())", "2D", "3D"),
        "a name": ("dense.params", "mydense0_bias", "mydense0_bais"),
        "a count": ("total.backward()", "33", "34"),
        "a class": ("[type(block)", "'Skip', 'Skip'", "'Skip', 'Sequential'"),
    },
}


@pytest.mark.parametrize("name", BROKEN_OUTPUT)
def test_a_changed_and_a_missing_output_are_caught(name):
    notebook = recorded(name)
    cells = code_cells(notebook)
    changed = set()
    for start, right, wrong in BROKEN_OUTPUT[name].values():
        [number] = [
            number
            for number, cell in enumerate(cells)
            if any(line.startswith(start) for line in cell.source.splitlines()[-2:])
            and right in str(cell.outputs)
            and number not in changed
        ][:1]
        for output in cells[number].outputs:
            for place in (output, output.get("data", {})):
                for key, value in place.items():
                    if isinstance(value, str):
                        place[key] = value.replace(right, wrong)
        changed.add(number)
    others = [number for number in range(len(cells)) if number not in changed]
    shown = next(number for number in others if cells[number].outputs)
    silent = next(number for number in reversed(others) if not cells[number].outputs)
    cells[silent].outputs = copy.deepcopy(cells[shown].outputs)
    cells[shown].outputs = []
    assert validate(notebook) == changed | {shown, silent}


def test_a_changed_and_a_missing_exception_are_caught():
    notebook = recorded(MANAGING)
    cells = code_cells(notebook)
    raising = [
        number
        for number, cell in enumerate(cells)
        if "raises-exception" in cell.metadata.get("tags", [])
    ]
    another_type, another_message, *_, none, last = raising
    cells[another_type].outputs[0].ename = "KeyError"
    cells[another_message].outputs[0].evalue += " "
    cells[none].source = "None"
    unexpected = last + 1
    cells[unexpected].source = "raise ValueError"
    assert validate(notebook) == {another_type, another_message, none, unexpected}


SAME = [
    ("array(3.490e-10)", "array(-3.2e-10)"),
    ("array([1.0000001, 2.])", "array([1., 2.])"),
    ("[ 0.5       -0.25]", "[ 0.50000001 -0.25      ]"),
    ("[1. 2.\n 3.]", "[1.  2.  3.]"),
    ("(0.5+1.5j)", "(0.500001+1.5j)"),
    ("nan", "nan"),
]
DIFFERENT = [
    ("0.0009123", "0.0009129"),
    ("0.0009123", "-0.0009123"),
    ("1.234", "1.235"),
    ("9.998", "9.999"),
    ("-2.", "-2.00002"),
    ("0.5", "0.5 0.5"),
    ("[0.5]", "[[0.5]]"),
    ("0.", "2e-06"),
    ("0.0", "0"),
    ("3", "3.0"),
    ("(2, 3)", "(3, 2)"),
    ("int32 7", "int64 7"),
    ("1000000", "1000001"),
    ("1.9.1", "1.9.2"),
    ("dense0_weight", "dense1_weight"),
    ("nan", "0.0"),
    ("inf", "-inf"),
    ("(0.5+1.5j)", "(0.5-1.5j)"),
    ("two words", "twowords"),
    ("a\nb", "a b"),
]


@pytest.mark.parametrize("a, b", SAME)
def test_rounding_is_forgiven(a, b):
    assert same_output(a, b) and same_output(b, a)


@pytest.mark.parametrize("a, b", DIFFERENT)
def test_anything_else_is_not(a, b):
    assert not same_output(a, b) and not same_output(b, a)


def test_how_far_a_number_is_off_is_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr(Output, "deviations", tmp_path / "deviations")
    recorded = Output("[0.5 4.0]", "page")
    assert recorded == "[0.5 4.000004]" and recorded == "[0.5 4.0]"
    assert recorded != "[0.5 4.1]" and recorded != "[0.5 4.0 1.0]"
    lines = (tmp_path / "deviations").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["page"] * 2
    assert [float(line.split()[1]) for line in lines] == [pytest.approx(1e-6, rel=1e-3), 0]
