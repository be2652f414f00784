"""Run mutation testing on the pages: change their code and see whether validation fails.

A mutant is a recorded page with one change in a class or function. It is killed if validation
of the page fails. A mutant that survives shows what the page doesn't prove, unless it is
equivalent: no output can tell it from the original. equivalent_mutants.yml lists those.
"""

import argparse
import copy
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m
import yaml
from libcst.metadata import MetadataWrapper, ParentNodeProvider

from tools.build.notebook import code_cells, name_cell, read_recorded
from tools.project import BOOK, ROOT, page_names
from tools.quality.validate import run_pytest, temporary_notebook

EQUIVALENT_MUTANTS = Path(__file__).with_name("equivalent_mutants.yml")
# Tests that judge a mutant together with the validation of its page.
PAGE_TESTS = {
    "exercises": "tests/test_exercises.py",
    "a-network-of-your-own-layers": "tests/test_check_layer.py",
    "managing-parameters": "tests/test_formulas.py",
    "inferring-shapes": "tests/test_formulas.py",
    "custom-gradients": "tests/test_formulas.py",
    "speed": "tests/test_formulas.py",
    "troubleshooting": "tests/test_formulas.py",
}
CELL_TIMEOUT = 30  # seconds; a cell of the pages takes three at most
EVERY_NODE = m.MatchIfTrue(lambda node: True)

# The mutation operators are these two tables and the cases of `replacements`.
OPPOSITE_OPERATORS = [
    (cst.Add, cst.Subtract), (cst.AddAssign, cst.SubtractAssign), (cst.Multiply, cst.Divide),
    (cst.MultiplyAssign, cst.DivideAssign), (cst.LessThan, cst.GreaterThanEqual),
    (cst.GreaterThan, cst.LessThanEqual), (cst.Equal, cst.NotEqual), (cst.Is, cst.IsNot),
    (cst.In, cst.NotIn), (cst.And, cst.Or),
]  # fmt: skip
SWAPPED_OPERATORS = dict(OPPOSITE_OPERATORS) | {new: old for old, new in OPPOSITE_OPERATORS}
SWAPPED_OPERATORS |= dict.fromkeys([cst.FloorDivide, cst.Modulo, cst.Power], cst.Multiply)
SWAPPED_NAMES = {
    "mean": ["max", "sum"], "sum": ["mean"], "max": ["min"], "min": ["max"],
    "argmax": ["argmin"], "argmin": ["argmax"], "any": ["all"], "all": ["any"],
    "relu": ["sigmoid"], "sigmoid": ["relu"], "tanh": ["sin"], "exp": ["sin"],
    "cos": ["sin"], "sin": ["cos"], "round": ["floor"], "floor": ["ceil"],
    "zeros": ["ones"], "ones": ["zeros"], "zeros_like": ["ones_like"], "empty": ["zeros"],
    "ones_like": ["zeros_like"], "normal": ["uniform"], "uniform": ["normal"],
    "real": ["imag"], "imag": ["real"], "True": ["False"], "False": ["True"],
    "Xavier": ["Zero"], "Uniform": ["Zero"], "Constant": ["Zero"], "Zero": ["One"], "One": ["Zero"],
}  # fmt: skip


def replacements(node):
    """Yield each change of a node: the part of it to replace, and the replacement."""
    if operator := SWAPPED_OPERATORS.get(type(getattr(node, "operator", None))):
        yield node, node.with_changes(operator=operator())
    match node:
        case cst.BinaryOperation() | cst.BooleanOperation():
            for operand in (node.left, node.right):  # in the operation's parentheses
                lpar, rpar = [*node.lpar, *operand.lpar], [*operand.rpar, *node.rpar]
                yield node, operand.with_changes(lpar=lpar, rpar=rpar)
        case cst.UnaryOperation(operator=cst.Minus() | cst.Not()):
            yield node, node.expression
        case cst.If(test=test) | cst.IfExp(test=test) if not isinstance(test, cst.Comparison):
            inner = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
            yield test, cst.UnaryOperation(cst.Not(), inner)
        case cst.Integer():
            yield node, cst.Integer(str(node.evaluated_value + 1))
        case cst.Float():
            yield node, cst.Float(str(2 * node.evaluated_value or 1.0))
        case cst.SimpleString() if not node.prefix and " " not in node.raw_value:  # no prose
            yield node, node.with_changes(value=f"{node.quote}x{node.raw_value}{node.quote}")
        case cst.Name():
            for name in SWAPPED_NAMES.get(node.value, []):
                yield node, node.with_changes(value=name)
        case cst.Call():
            args = [arg.with_changes(comma=cst.MaybeSentinel.DEFAULT) for arg in node.args]
            for i, arg in enumerate(args):
                if arg.keyword or arg.star:  # drop it
                    yield node, node.with_changes(args=args[:i] + args[i + 1 :])
            if m.matches(node.func, m.Attribute(attr=m.Name("dot"))):  # transpose a factor
                factor = node.args[-1].value
                yield factor, cst.Attribute(factor, cst.Name("T"))
        case cst.SimpleStatementLine(body=[statement]):  # drop it, unless it's a docstring
            if not m.matches(statement, m.Expr(m.SimpleString()) | m.Pass()):
                yield statement, cst.Pass()


@dataclass
class Mutant:
    """A page with one change."""

    cell: int  # the index of the changed code cell
    source: str  # the new source of this cell
    names: list[str]  # in equivalent_mutants.yml; the last one describes the change in full


def definitions(module):
    """Return the classes and functions of a module by their code."""
    nodes = [node for node in module.body if isinstance(node, cst.ClassDef | cst.FunctionDef)]
    return {module.code_for_node(node).strip(): node for node in nodes}


def mutant_names(definition, old, new, parents):
    """Return the names of the mutant that replaces a node of a definition."""
    names, node = [definition], old
    while not isinstance(node, cst.BaseCompoundStatement | cst.SimpleStatementLine):
        if isinstance(node, cst.BaseExpression | cst.BaseSmallStatement):
            codes = map(cst.Module([]).code_for_node, (node, node.deep_replace(old, new)))
            before, after = (" ".join(code.split()) for code in codes)
            names += [f"{definition}: {before}", f"{definition}: {before} -> {after}"]
        node = parents[node]
    return names


def generate_mutants(notebook, excluded=frozenset()):
    """Yield the mutants of a page, except in definitions whose code is in `excluded`."""
    for index, cell in enumerate(code_cells(notebook)):
        wrapper = MetadataWrapper(cst.parse_module(cell.source))
        module, parents = wrapper.module, wrapper.resolve(ParentNodeProvider)
        seen = {cell.source}
        for code, definition in definitions(module).items():
            nodes = m.findall(definition.body, EVERY_NODE) if code not in excluded else []
            for old, new in (change for node in nodes for change in replacements(node)):
                source = module.deep_replace(old, new).code
                if source not in seen:
                    seen.add(source)
                    names = mutant_names(definition.name.value, old, new, parents)
                    yield Mutant(index, source, names)


def validation_fails(page, notebook):
    """Return whether validation of a page fails with this notebook in its place."""
    with temporary_notebook(notebook) as path:
        arguments = ["--nbval", path, "-x", f"--nbval-cell-timeout={CELL_TIMEOUT}"]
        if page in PAGE_TESTS:
            arguments += [PAGE_TESTS[page], "-k", "not student"]
        exit_code, _ = run_pytest(*arguments, MUTANT=path)
    return exit_code != 0


def mutant_is_killed(page, notebook, mutant):
    """Return whether validation of a page fails for a mutant of its notebook."""
    mutated = copy.deepcopy(notebook)
    code_cells(mutated)[mutant.cell].source = mutant.source
    return validation_fails(page, mutated)


def run_mutants(page, notebook, equivalent=frozenset(), excluded=frozenset()):
    """Run the mutants of a page, print a report, and return whether nothing is wrong.

    `equivalent` is the set of the page's names in equivalent_mutants.yml.
    """
    if validation_fails(page, notebook):
        print(f"{page}: validation fails without a mutant; `make check page={page}` shows where")
        return False
    mutants = list(generate_mutants(notebook, excluded))
    tested = [mutant for mutant in mutants if equivalent.isdisjoint(mutant.names)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        killed = list(pool.map(lambda mutant: mutant_is_killed(page, notebook, mutant), tested))
    survivors = [mutant for mutant, is_killed in zip(tested, killed) if not is_killed]
    stale = equivalent.difference(*(mutant.names for mutant in mutants))
    counts = f"{len(mutants) - len(tested)} equivalent, {sum(killed)} killed"
    print(f"{page}: {counts}, {len(survivors)} survived", flush=True)
    for mutant in survivors:
        place = name_cell(BOOK / f"{page}.md", mutant.cell)
        print(f"  survived: {mutant.names[-1]} ({place})")
    for name in sorted(stale):
        print(f"  stale entry in {EQUIVALENT_MUTANTS.name}: {name}")
    return not survivors and not stale


def main():
    recorded = [Path(path).name for path in page_names() if (ROOT / f"{path}.ipynb").exists()]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    # Python 3.11 rejects an empty list if `choices` is given.
    parser.add_argument("page", nargs="*", help=", ".join(recorded))
    chosen = parser.parse_args().page or recorded
    if unknown := set(chosen) - set(recorded):
        parser.error(f"no recorded page: {', '.join(sorted(unknown))}")
    reasons = yaml.safe_load(EQUIVALENT_MUTANTS.read_text("utf-8"))
    passed, earlier = True, set()
    for page in recorded:
        notebook = read_recorded(page)
        if page in chosen:
            entries = "".join(reasons.get(page, {}).values()).replace("\n  ->", " ->")
            passed &= run_mutants(page, notebook, set(entries.splitlines()), earlier)
        # A definition that a later page repeats is mutated only once.
        for cell in code_cells(notebook):
            earlier |= definitions(cst.parse_module(cell.source)).keys()
    sys.exit(not passed)


if __name__ == "__main__":
    main()
