"""Break every layer and function of the pages, one change at a time, and see who notices.

A mutant is a recorded page with one change in a class or function. The page's own
validation has to fail for it. One that survives either shows what the page does not
prove, or is equivalent: it changes nothing that a page could show. Those stand, each with
its reason, in equivalent_mutants.yml.

What a page recalls from one before it is broken there alone: a test holds the two texts
to be the same.
"""

import argparse
import ast
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, takewhile
from pathlib import Path
from tempfile import NamedTemporaryFile

import libcst as cst
import nbformat
import yaml
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider

from tools import warm_pytest
from tools.pages import ROOT, code_cells
from tools.serve import names

FOLDER = ROOT / "_build" / "mutants"  # below conftest.py, so that it compares
EQUIVALENT = ROOT / "tools" / "equivalent_mutants.yml"
# A mutant that runs this long is caught; a cell of the book takes three seconds at most.
CELL_SECONDS = 30

OTHER_OPERATOR = {
    cst.Add: cst.Subtract, cst.Subtract: cst.Add,
    cst.Multiply: cst.Divide, cst.Divide: cst.Multiply,
    cst.FloorDivide: cst.Multiply, cst.Modulo: cst.Multiply, cst.Power: cst.Multiply,
    cst.AddAssign: cst.SubtractAssign, cst.SubtractAssign: cst.AddAssign,
    cst.MultiplyAssign: cst.DivideAssign, cst.DivideAssign: cst.MultiplyAssign,
    cst.LessThan: cst.GreaterThanEqual, cst.GreaterThanEqual: cst.LessThan,
    cst.GreaterThan: cst.LessThanEqual, cst.LessThanEqual: cst.GreaterThan,
    cst.Equal: cst.NotEqual, cst.NotEqual: cst.Equal,
    cst.Is: cst.IsNot, cst.IsNot: cst.Is, cst.In: cst.NotIn, cst.NotIn: cst.In,
    cst.And: cst.Or, cst.Or: cst.And,
}  # fmt: skip
NEIGHBOURS = {
    "mean": ["max", "sum"], "sum": ["mean"], "max": ["min"], "min": ["max"],
    "argmax": ["argmin"], "argmin": ["argmax"], "any": ["all"], "all": ["any"],
    "relu": ["sigmoid"], "sigmoid": ["relu"], "tanh": ["sin"], "exp": ["sin"],
    "cos": ["sin"], "sin": ["cos"], "round": ["floor"], "floor": ["ceil"],
    "zeros": ["ones"], "ones": ["zeros"], "empty": ["zeros"],
    "zeros_like": ["ones_like"], "ones_like": ["zeros_like"],
    "normal": ["uniform"], "uniform": ["normal"],
    "real": ["imag"], "imag": ["real"], "True": ["False"], "False": ["True"],
    "Xavier": ["Zero"], "Constant": ["Zero"], "Zero": ["One"], "One": ["Zero"],
    "Uniform": ["Zero"],
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    page: str
    cell: int  # among the page's code cells, from 1
    definition: str
    old: str
    new: str
    source: str

    def __str__(self):
        return f"{self.page}: cell {self.cell}: {self.old or '(nothing)'} -> {self.new or '(nothing)'}"


def replacements(node):
    """What can stand in a node's place: a part of it, or itself, and another node."""
    if operator := getattr(node, "operator", None):
        if other := OTHER_OPERATOR.get(type(operator)):
            yield node, node.with_changes(operator=other())
    match node:
        case cst.BinaryOperation() | cst.BooleanOperation():
            yield node, node.left
            yield node, node.right
        case cst.UnaryOperation(operator=cst.Minus() | cst.Not()):
            yield node, node.expression
        case cst.Comparison(comparisons=[target]):
            if other := OTHER_OPERATOR.get(type(target.operator)):
                yield node, node.with_changes(comparisons=[target.with_changes(operator=other())])
        case cst.If(test=test) | cst.IfExp(test=test) if not isinstance(test, cst.Comparison):
            inner = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
            yield test, cst.UnaryOperation(cst.Not(), inner)
        case cst.Integer():
            yield node, cst.Integer(str(node.evaluated_value + 1))
        case cst.Float():
            yield node, cst.Float(str(2 * node.evaluated_value or 1.0))
        # (With a space in it, a string is prose: a person reads it.)
        case cst.SimpleString() if not node.prefix and " " not in node.raw_value:
            yield node, node.with_changes(value=f"{node.quote}x{node.raw_value}{node.quote}")
        case cst.Name():
            for name in NEIGHBOURS.get(node.value, []):
                yield node, node.with_changes(value=name)
        case cst.Call():
            for left_out, argument in enumerate(node.args):
                if argument.keyword or argument.star:
                    rest = [a for i, a in enumerate(node.args) if i != left_out]
                    if rest:  # no comma after the last
                        rest[-1] = rest[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
                    yield node, node.with_changes(args=rest)
            if isinstance(node.func, cst.Attribute) and node.func.attr.value == "dot":
                *first, last = node.args
                turned = cst.Attribute(last.value, cst.Name("T"))
                yield node, node.with_changes(args=[*first, last.with_changes(value=turned)])
        case cst.SimpleStatementLine(body=[statement]):
            documents = isinstance(statement, cst.Expr) and isinstance(
                statement.value, cst.SimpleString
            )
            if not documents and not isinstance(statement, cst.Pass):
                yield statement, cst.Pass()


def nodes(node):
    yield node
    for child in node.children:
        yield from nodes(child)


def parsed(source):
    """A cell's tree, in which a magic command is a comment, and its definitions."""
    lines = [f"#{line}" if line.startswith(("%", "!")) else line for line in source.split("\n")]
    module = cst.parse_module("\n".join(lines) + "\n")
    kinds = (cst.ClassDef, cst.FunctionDef)
    return module, [node for node in module.body if isinstance(node, kinds)]


def text(definition):
    return cst.Module([definition]).code.strip()


def mutated(source, recalled=()):
    """Each mutant of a cell: the definition that it is in and its source.

    The definitions whose texts are recalled from elsewhere are left as they are.
    """
    module, definitions = parsed(source)
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    places = wrapper.resolve(WhitespaceInclusivePositionProvider)
    whole = module.code
    starts = [0, *accumulate(map(len, whole.splitlines(keepends=True)))]

    def offset(position):
        return starts[position.line - 1] + position.column

    seen = {ast.dump(ast.parse(whole))}
    for definition in definitions:
        if text(definition) in recalled:
            continue
        for node in nodes(definition.body):
            for old, new in replacements(node):
                start, end = offset(places[old].start), offset(places[old].end)
                code = whole[:start] + module.code_for_node(new) + whole[end:]
                try:
                    meaning = ast.dump(ast.parse(code))
                except SyntaxError:
                    continue
                if meaning not in seen:
                    seen.add(meaning)
                    code = re.sub(r"(?m)^#(?=[%!])", "", code)
                    yield definition.name.value, code.rstrip("\n")


def difference(old, new):
    """The lines of two texts between what they begin and end with in common."""
    old, new = old.split("\n"), new.split("\n")
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return " ".join(map(str.strip, old)), " ".join(map(str.strip, new))


def recorded(page):
    return nbformat.read(ROOT / "book" / f"{page}.ipynb", as_version=4)


def in_order():
    """The names of the recorded pages, in the order of the book."""
    _, *pages = names()
    return [Path(page).name for page in pages]


@cache
def definitions(page):
    """The texts of what a page defines."""
    cells = code_cells(recorded(page))
    return {text(definition) for cell in cells for definition in parsed(cell.source)[1]}


def mutants(page):
    """All mutants of a page, in the order of its code."""
    earlier = takewhile(lambda name: name != page, in_order())
    recalled = set().union(*map(definitions, earlier))
    for number, cell in enumerate(code_cells(recorded(page)), 1):
        for definition, source in mutated(cell.source, recalled):
            old, new = difference(cell.source, source)
            yield Mutant(page, number, definition, old, new, source)


@contextmanager
def written(notebook):
    """The path of a file with a notebook, for as long as it is needed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", suffix=".ipynb", dir=FOLDER) as file:
        nbformat.write(notebook, file)
        file.flush()
        yield file.name


def tested(*arguments, **environment):
    """What a run of pytest printed, and whether a test failed in it."""
    code, printed = warm_pytest.run(*arguments, "-p", "no:xdist", "-p", "no:cacheprovider", **environment)
    if code not in (0, 1):
        raise RuntimeError(printed)
    return printed, bool(code)


def validate(notebook, *options):
    """The code cells, counted from 0, at which nbval fails, as it does for the pages."""
    with written(notebook) as path:
        printed, _ = tested("--nbval", path, "-rfE", *options)
    if " passed" not in printed:
        raise RuntimeError(printed)
    return {int(cell) for cell in re.findall(r"^FAILED .*Cell (\d+)", printed, re.M)}


def judge(notebook):
    """Whether the tests of the exercises' checks fail with this notebook."""
    with written(notebook) as path:
        _, failed = tested("tests/test_exercises.py", "-x", "-k", "not student", EXERCISES=path)
    return failed


def fails(page, notebook):
    """Whether the page's validation fails with this notebook in its place.

    That of the exercises goes on: what the page does not show of its checks, the tests
    of these checks do.
    """
    cells = validate(notebook, "-x", f"--nbval-cell-timeout={CELL_SECONDS}")
    return bool(cells) or page == "exercises" and judge(notebook)


def caught(mutant):
    """Whether the page's validation fails with the mutant in it."""
    notebook = recorded(mutant.page)
    code_cells(notebook)[mutant.cell - 1].source = mutant.source
    return fails(mutant.page, notebook)


def equivalents():
    """The list of those that no page can catch."""
    return yaml.safe_load(EQUIVALENT.read_text("utf-8")) or []


def listed(mutant, entries):
    """The entry of the list that a mutant is in, if any."""
    for entry in entries:
        wanted = {key: entry[key] for key in entry if key != "why"}
        if all(getattr(mutant, key) == value for key, value in wanted.items()):
            return entry


def stale(entries, found):
    """The entries that none of the mutants found is in."""
    return [entry for entry in entries if not any(listed(m, [entry]) for m in found)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = in_order()
    parser.add_argument("page", nargs="*", help=", ".join(known))
    pages = parser.parse_args().page or known
    if unknown := set(pages) - set(known):
        parser.error(f"no recorded page: {', '.join(sorted(unknown))}")
    failed = False
    print(f"{'':28}{'caught':>10}{'equivalent':>12}{'survived':>10}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for page in pages:
            if pool.submit(fails, page, recorded(page)).result():
                sys.exit(f"{page} fails as it is: make test says where")
            entries = [entry for entry in equivalents() if entry["page"] == page]
            found = list(mutants(page))
            todo = [mutant for mutant in found if not listed(mutant, entries)]
            survived = [m for m, noticed in zip(todo, pool.map(caught, todo)) if not noticed]
            counts = [len(todo) - len(survived), len(found) - len(todo), len(survived)]
            print(f"{page:28}{counts[0]:>10}{counts[1]:>12}{counts[2]:>10}", flush=True)
            for mutant in survived:
                print(f"  {mutant}", flush=True)
            for entry in (unused := stale(entries, found)):
                print(f"  {EQUIVALENT.name}: no such mutant: {entry}", flush=True)
            failed |= bool(survived or unused)
    sys.exit(failed)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped")
