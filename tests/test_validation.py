"""Proof that validation fails for wrong layers, wrong outputs, and missing outputs."""

import re

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools.build.notebook import code_cells, read_recorded
from tools.quality.comparison import mark_differences, outputs_match
from tools.quality.nbval_plugin import Output
from tools.quality.validate import failing_cells, run_pytest, temporary_notebook

WITHOUT = "layers-without-parameters"
WITH = "layers-with-parameters"
MANAGING = "managing-parameters"

WRONG_CODE = {
    "mean of each example": (WITHOUT, "x.mean()", "x.mean(-1, keepdims=True)"),
    "slightly wrong scale": (WITHOUT, "x - x.mean()", "1.00001 * (x - x.mean())"),
    "different seed": (MANAGING, "seed(89)", "seed(1)"),
    "missing ReLU": (WITH, "return npx.relu(linear)", "return linear"),
    "transposed weight": (WITH, "(in_units, units))", "(units, in_units))"),
    "unfrozen layer": (MANAGING, '"grad_req", "null")', '"grad_req", "write")'),
    "wrong shape": ("inferring-shapes", "(x.shape[-1],)\n\n\nscale", "(len(x),)\n\n\nscale"),
    "wrong gradient": ("custom-gradients", "return dy\n", "return 2 * dy\n"),
    "missing bias": ("inferring-shapes", "F.np.dot(x, weight) + bias", "F.np.dot(x, weight)"),
}


@pytest.mark.parametrize("page, right, wrong", WRONG_CODE.values(), ids=WRONG_CODE)
def test_wrong_code_fails(page, right, wrong):
    notebook = read_recorded(page)
    cells = [cell for cell in code_cells(notebook) if right in cell.source]
    assert cells, f"{page} no longer contains {right!r}; choose different code to break"
    cell = cells[0]
    assert cell.source.count(right) == 1
    cell.source = cell.source.replace(right, wrong)
    assert failing_cells(notebook)


# A cell's code, its recorded output, and whether validation should pass.
OUTPUTS = [
    ("0.1 + 0.2", "0.3", True),
    ("-2.0", "2.0", False),
    ("'centered'", "'centred'", False),
    ("(4, 128)", "(128, 4)", False),
    ("0.06583", "0.06584", False),
    ("[0.5, 0.25]", "[0.5]", False),
    ("[0.8, -0.2]", "[0.8, -0.2001]", False),
    ("1 + 1", None, False),
    ("None", "2", False),
]
# A cell's code, its recorded error, and whether validation should pass.
ERRORS = [
    ("1 / 0", ("ZeroDivisionError", "division by zero"), True),
    ("1 / 0", ("ZeroDivisionError", "division by one"), False),
    ("1 / 0", ("ValueError", "division by zero"), False),
    ("1", ("ZeroDivisionError", "division by zero"), False),
]


def test_wrong_missing_and_unexpected_outputs_fail():
    cells = []
    for code, text, _ in OUTPUTS:
        data = {"text/plain": text}
        outputs = [new_output("execute_result", data, execution_count=1)] if text else []
        cells.append(new_code_cell(code, outputs=outputs))
    for code, (ename, evalue), _ in ERRORS:
        outputs = [new_output("error", ename=ename, evalue=evalue)]
        metadata = {"tags": ["raises-exception"]}
        cells.append(new_code_cell(code, outputs=outputs, metadata=metadata))
    cells.append(new_code_cell("raise ValueError"))  # an error that isn't expected at all
    for cell in cells:
        cell.execution_count = 1  # nbval compares only cells that were run
    passes = [passed for *_, passed in OUTPUTS + ERRORS] + [False]
    wrong = {index for index, passed in enumerate(passes) if not passed}
    assert failing_cells(new_notebook(cells=cells)) == wrong


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
    deviations = list(map(float, log.read_text().split()[1::2]))
    assert deviations == [pytest.approx(1e-6, rel=1e-3), 0]


def test_failure_names_the_place_and_the_values():
    recorded, new = mark_differences("[0.5 4.0]", "[0.5 4.1]")
    assert recorded.split() == ["[", "0.5", "»4.0«", "]"]
    assert "»4.1« (differs by 0.02" in new
    assert mark_differences("(2, 3)", "(3, 2)") == ("(2, 3)", "(3, 2)")
    notebook = new_notebook(cells=[new_code_cell("1 + 1", execution_count=1)])
    notebook.cells[0].outputs = [new_output("execute_result", {"text/plain": "3"})]
    with temporary_notebook(notebook) as path:
        _, printed = run_pytest("--nbval", path)
    assert re.search(
        r"cell 1: the output isn't what was recorded\n\nrecorded:\n3\nnow:\n2", printed
    )


def test_recording_of_an_older_page_fails(checkout):
    checkout.write("2")
    assert checkout.start().wait() == 0
    assert checkout.validate()[0] == 0
    checkout.write("1 + 1")
    exit_code, printed = checkout.validate()
    assert exit_code == 1
    assert "book/page.md: its code has changed since it was recorded. 'make html' shows" in printed


def test_statement_that_fails_only_in_validation_is_located(checkout):
    checkout.write(
        "path = '../once'\nassert open(path, 'a').tell() == 0\nopen(path, 'w').write('x')"
    )
    assert checkout.start().wait() == 0
    assert (
        "book/page.md:24: cell 2: AssertionError: assert open(path, 'a').tell() == 0"
        in checkout.validate()[1]
    )
