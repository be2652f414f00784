"""The tool that breaks the pages: what it changes, and that it can tell."""

import os
import re
import subprocess
import sys
from tempfile import TemporaryDirectory

import pytest
from tools import warm_pytest
from tools.mutants import (
    Mutant,
    caught,
    equivalents,
    judge,
    listed,
    mutants,
    mutated,
    recorded,
    stale,
    written,
)
from tools.pages import ROOT, code_cells

SOURCE = '''
%matplotlib inline
alone = 1 + 1


class Layer:
    """Not to be changed."""

    def forward(self, x, axis=-1):
        if x is None and axis < 2:
            return np.dot(x, x) * 0.5
        y = x.mean(axis, keepdims=True)
        return np.relu(x - y)
'''
CHANGES = {
    "an operator": "return np.dot(x, x) / 0.5",
    "a term": "return np.dot(x, x)\n",
    "the other term": "return 0.5",
    "a constant": "* 1.0",
    "a whole number": "axis < 3",
    "an axis": "axis=1)",
    "a keyword": "x.mean(axis)\n",
    "a truth value": "keepdims=False",
    "a neighbour": "x.max(axis",
    "another neighbour": "x.sum(axis",
    "a comparison": "axis >= 2",
    "an identity": "x is not None",
    "a condition": "x is None or axis",
    "a transpose": "np.dot(x, x.T)",
    "an activation": "np.sigmoid(x - y)",
    "a line": "pass\n        return np.relu",
}


@pytest.mark.parametrize("new", CHANGES.values(), ids=CHANGES)
def test_a_cell_is_changed_in_each_way(new):
    found = [source for _, source in mutated(SOURCE)]
    assert any(new in source and new not in SOURCE for source in found)


def test_nothing_else_is_changed():
    for definition, source in mutated(SOURCE):
        assert definition == "Layer"
        assert source != SOURCE
        assert "%matplotlib inline\nalone = 1 + 1\n" in source
        assert '"""Not to be changed."""' in source


DOZEN = {
    "layers-without-parameters": ["return x - x.max()"],
    "layers-with-parameters": [
        "linear = np.dot(x, self.weight.data(x.ctx))",
        "linear = np.dot(x, self.weight.data(x.ctx).T) + self.bias.data(x.ctx)",
        "return npx.sigmoid(linear)",
    ],
    "managing-parameters": [
        "super().__init__()",
        "arr[:] = np.where(draw >= 0, -self.scale, self.scale)",
    ],
    "inferring-shapes": ["return x / scale", "self.scale.shape = (x.shape[1],)"],
    "custom-gradients": ["result[place] = (above - below) / step"],
    "speed": ["return F.npx.sigmoid(F.np.dot(x, weight) + bias)"],
    "exercises": ["return result / step"],
    "when-it-fails": ["if line.startswith(traceback):"],
}


@pytest.mark.parametrize("page, new", [(p, new) for p in DOZEN for new in DOZEN[p]])
def test_a_mutant_is_caught(page, new):
    mutant = next(mutant for mutant in mutants(page) if mutant.new == new)
    assert not listed(mutant, equivalents())
    assert caught(mutant)


def test_the_exercises_as_they_are_survive():
    assert not judge(recorded("exercises"))


def test_a_fork_is_judged_as_a_process_of_its_own():
    notebook = recorded("layers-without-parameters")
    notebook.cells = code_cells(notebook)[:3]
    notebook.cells[1].source = "1 / 0"
    notebook.cells[2].source = "import tempfile\nfolder = tempfile.TemporaryDirectory()"
    verdicts = []
    for run in (warm_pytest.warm, warm_pytest.cold):
        with written(notebook) as path, TemporaryDirectory() as folder:
            arguments = ["--nbval", path, "-rA", "-p", "no:xdist"]
            code, printed = run(arguments, os.environ | {"TMPDIR": folder})
            assert os.listdir(folder) == []
        verdicts.append((code, re.findall(r"^([A-Z]+) .*(Cell \d+)", printed, re.M)))
    assert verdicts[0] == verdicts[1]
    assert verdicts[0][0] == 1 and len(verdicts[0][1]) == 3


def test_what_changes_nothing_survives():
    first = next(mutants("layers-without-parameters"))
    source = first.source.replace("pass", "return x - x.mean()  # the same")
    assert source != first.source
    assert not caught(Mutant(first.page, first.cell, first.definition, "", "", source))


def test_every_equivalent_mutant_exists_and_has_a_reason():
    for entry in equivalents():
        assert len(entry["why"]) > 20
        assert (ROOT / "book" / f"{entry['page']}.ipynb").exists()
        assert set(entry) <= {"page", "cell", "definition", "old", "new", "why"}
        assert len(entry) > 2, "a whole page is not equivalent"
    pages = {entry["page"] for entry in equivalents()}
    assert stale(equivalents(), [mutant for page in pages for mutant in mutants(page)]) == []


def test_an_entry_without_a_mutant_is_stale():
    [page, *_] = DOZEN
    found = list(mutants(page))
    there, nowhere = {"page": page, "new": found[0].new}, {"page": page, "new": "nothing"}
    assert stale([there, nowhere], found) == [nowhere]


def test_a_page_that_is_not_there_is_named():
    run = subprocess.run(
        [sys.executable, "-m", "tools.mutants", "nowhere"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode != 0 and "no recorded page: nowhere" in run.stderr
