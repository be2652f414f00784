"""The tool for mutation testing, tried on a small page."""

import libcst as cst
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools.project import BOOK
from tools.quality import mutants
from tools.quality.mutants import generate_mutants, run_mutants

CHANGES = {
    "x * 0.5": {"x / 0.5", "x", "0.5", "x * 1.0"},
    "(x - y).T": {"(x + y).T", "(x).T", "(y).T"},
    "-x < 2": {"-x >= 2", "x < 2", "-x < 3"},
    "x and not y": {"x or not y", "x", "not y", "x and y"},
    "x if y else True": {"x if not (y) else True", "x if y else False"},
    "x.mean(axis=1)": {"x.mean()", "x.max(axis=1)", "x.sum(axis=1)", "x.mean(axis=2)"},
    "np.dot(x, y)": {"np.dot(x, y.T)"},
    '("word", "two words")': {'("xword", "two words")'},
}


@pytest.mark.parametrize("code", CHANGES)
def test_mutation_operators_change_code(code):
    start = '1 + 1\n\n\ndef change(x, y):\n    """Change x."""\n    '
    cell = new_code_cell(f"{start}return {code}")
    sources = [mutant.source for mutant in generate_mutants(new_notebook(cells=[cell]))]
    expected = [f"{start}pass", *(f"{start}return {change}" for change in CHANGES[code])]
    assert sorted(sources) == sorted(expected)


@pytest.fixture
def notebook():
    """Return a page with five mutants; two of them don't change its output."""
    definition = new_code_cell("def scale(x):\n    return 2.0 * x", execution_count=1)
    outputs = [new_output("execute_result", {"text/plain": "2.0"}, execution_count=2)]
    call = new_code_cell("scale(1.0)", execution_count=2, outputs=outputs)
    return new_notebook(cells=[definition, call])


def test_report_lists_survivors_and_stale_entries(notebook, capsys):
    assert not run_mutants("page", notebook, {"scale: 2.0 * x -> 2.0", "scale: 3.0"})
    assert capsys.readouterr().out == (
        "page: 1 equivalent, 3 killed, 1 survived\n"
        "  survived: scale: return 2.0 * x -> return 2.0 / x (page: cell 1)\n"
        "  stale entry in equivalent_mutants.yml: scale: 3.0\n"
    )


@pytest.mark.parametrize("entry", ["scale", "scale: return 2.0 * x"])
def test_equivalent_mutants_are_not_run(notebook, entry, capsys):
    assert run_mutants("page", notebook, {entry})
    assert "page: 5 equivalent, 0 killed, 0 survived" in capsys.readouterr().out


def test_page_that_fails_unmodified_is_reported(notebook, capsys):
    notebook.cells[1].source = "scale(2.0)"
    assert not run_mutants("page", notebook)
    assert "page: validation fails without a mutant" in capsys.readouterr().out


def test_mutant_that_changes_nothing_survives(notebook):
    mutant = mutants.Mutant(cell=0, source="scale = lambda x: x + x", names=[])
    assert not mutants.mutant_is_killed("page", notebook, mutant)


def test_repeated_definition_is_not_mutated(notebook):
    repeated = mutants.definitions(cst.parse_module(notebook.cells[0].source))
    assert not list(generate_mutants(notebook, excluded=repeated))


def test_equivalent_mutants_belong_to_recorded_pages():
    pages = yaml.safe_load(mutants.EQUIVALENT_MUTANTS.read_text("utf-8"))
    assert [page for page in pages if not (BOOK / f"{page}.ipynb").exists()] == []


@pytest.mark.parametrize("chosen", [[], ["speed"]])
def test_command_runs_the_chosen_pages_or_all(chosen, monkeypatch):
    run = []
    monkeypatch.setattr(mutants, "run_mutants", lambda page, *_: run.append(page) or True)
    monkeypatch.setattr("sys.argv", ["mutants", *chosen])
    with pytest.raises(SystemExit) as exit:
        mutants.main()
    assert exit.value.code == 0
    assert sorted(run) == (chosen or sorted(path.stem for path in BOOK.glob("*.ipynb")))


def test_command_rejects_an_unknown_page(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mutants", "nowhere"])
    with pytest.raises(SystemExit):
        mutants.main()
    assert "no recorded page: nowhere" in capsys.readouterr().err
