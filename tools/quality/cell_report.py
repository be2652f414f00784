"""A pytest plugin that reports a failing cell by its page, with the values that differ."""

from base64 import b64encode
from functools import cache
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, NbCellError

from tools.build.failure import REQUEST, describe_error
from tools.build.notebook import (
    code_of,
    figures,
    name_cell,
    output_text,
    read_page,
    read_recorded,
    tags,
)
from tools.project import BOOK, BUILD, relative
from tools.quality.comparison import mark_differences, outputs_match
from tools.quality.svg_comparison import figure_differences

FIGURE_REPORT = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
  body {{ display: grid; grid-template-columns: repeat(3, 1fr); font-family: sans-serif }}
  img {{ width: 100% }}
  div {{ position: relative }}
  div img + img {{ position: absolute; inset: 0; mix-blend-mode: difference }}
</style>
<b>recorded</b><b>now</b><b>the difference, black where there is none</b>
{figures}
"""


def page_of(item):
    """Return the path of the Markdown page whose recording a cell belongs to, or None."""
    path = Path(item.path).with_suffix(".md")
    return path if path.parent == BOOK and path.exists() else None


@cache
def is_outdated(page):
    """Return whether a page's code has changed since its recording."""
    return code_of(read_page(page)) != code_of(read_recorded(page.stem))


def pytest_collection_modifyitems(items):
    """Count cells from 1, as the build and the live pages do."""
    for index, item in enumerate(items):
        if isinstance(item, IPyNbCell):
            number = item.cell_num + 1
            settings = {"cell_num": number, "cell": item.cell, "options": item.options}
            items[index] = IPyNbCell.from_parent(item.parent, name=f"Cell {number}", **settings)


def pytest_runtest_setup(item):
    """Fail the first cell of a page that has changed since its recording, and skip the others."""
    if isinstance(item, IPyNbCell) and (page := page_of(item)) and is_outdated(page):
        message = (
            f"{relative(page)}: its code has changed since it was recorded. 'make html' shows "
            f"which outputs differ; if that's meant, run 'make notebooks page={page.stem}'. "
            "It overwrites the .ipynb, so if you edited that, make the same edit in the .md first."
        )
        if item.cell_num > 1:
            pytest.skip(message)
        pytest.fail(message, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and call.excinfo and isinstance(call.excinfo.value, NbCellError):
        report.longrepr = describe_failure(item, call.excinfo.value)
    return report


def describe_failure(item, error):
    """Return where a cell is, what was recorded, what came out, and what to do."""
    page = page_of(item)
    name = Path(item.path).stem
    place = name_cell(Path(item.path).with_suffix(".md"), item.cell_num - 1)
    last = item.test_outputs[-1] if item.test_outputs else None
    if last and last.output_type == "error" and "raises-exception" not in tags(item.cell):
        if page and item.parent.kernel.is_alive():
            reply = item.parent.kernel.kc.execute(**REQUEST)
            return describe_error(page, item.cell_num - 1, last.ename, last.evalue, reply)
        return f"{place}: {last.ename}: {last.evalue}"
    if not item.test_outputs and not item.cell.outputs:
        return f"{place}: {error}"
    outputs = item.cell.outputs, item.test_outputs or []
    lines = [f"{place}: the output isn't what was recorded\n"]
    differences = figure_differences(*map(figures, outputs))
    if not differences or not outputs_match(*map(output_text, outputs)):
        recorded, new = mark_differences(*map(output_text, outputs))
        lines += [f"recorded:\n{recorded}", f"now:\n{new}"]
    if differences and page:
        path = write_figure_report(f"{name}-{item.cell_num}", *map(figures, outputs))
        differences += [f"Both figures are in {relative(path)}."]
    lines += [
        *differences,
        "The code hasn't changed since it was recorded. If the output differs from run to run, set "
        "a seed, or tag measured times 'timing' and 'nbval-ignore-output'. If something that it "
        f"depends on was meant to change, run 'make notebooks page={name}' and read the diff.",
    ]
    return "\n".join(lines)


def write_figure_report(name, recorded, new):
    """Write a page that shows two lists of figures side by side, and return its path."""
    rows = ""
    for pair in zip(recorded, new):
        urls = [f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}" for svg in pair]
        old, now = (f'<img src="{url}" alt="">' for url in urls)
        rows += f"{old}{now}<div>{old}{now}</div>\n"
    path = BUILD / "differences" / f"{name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FIGURE_REPORT.format(title=name, figures=rows), "utf-8")
    return path
