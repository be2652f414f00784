"""A pytest plugin that reports a failing cell by its page, with the values that differ."""

from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, NbCellError

from tools.build.notebook import code_of, find_line, output_text, read_page, tags
from tools.project import BOOK, relative
from tools.quality.comparison import mark_differences

OUT_OF_STEP = pytest.StashKey[bool]()


def page_of(item):
    """Return the path of the Markdown page whose recording a cell belongs to, or None."""
    path = Path(item.path).with_suffix(".md")
    return path if path.parent == BOOK and path.exists() else None


def pytest_collection_modifyitems(items):
    """Count cells from 1, as the build and the live pages do, and find outdated recordings.

    Of a recording whose page has changed since, only the first cell stays, and it fails.
    """
    outdated = {}
    for item in [item for item in items if isinstance(item, IPyNbCell)]:
        number = item.cell_num + 1
        renamed = IPyNbCell.from_parent(
            item.parent,
            name=f"Cell {number}",
            cell_num=number,
            cell=item.cell,
            options=item.options,
        )
        page = page_of(item)
        if page not in outdated:
            outdated[page] = page is not None and code_of(read_page(page)) != code_of(
                item.parent.nb
            )
            renamed.stash[OUT_OF_STEP] = outdated[page]
        elif outdated[page]:
            items.remove(item)
            continue
        items[items.index(item)] = renamed


def pytest_runtest_setup(item):
    if item.stash.get(OUT_OF_STEP, False):
        page = page_of(item)
        pytest.fail(
            f"{relative(page)}: its code isn't what was recorded; "
            f"run 'make notebooks page={page.stem}' first",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and call.excinfo and isinstance(call.excinfo.value, NbCellError):
        report.longrepr = describe_failure(item, call.excinfo.value)
    return report


def describe_failure(item, error):
    """Return where a cell is, what was recorded, what came out, and what to do."""
    page = page_of(item) or Path(item.path)
    place = f"{page.name}: cell {item.cell_num}"
    if page.suffix == ".md":
        line = find_line(page, item.cell_num - 1)
        place = f"{relative(page)}:{line}: cell {item.cell_num}"
    last = item.test_outputs[-1] if item.test_outputs else None
    if last and last.output_type == "error" and "raises-exception" not in tags(item.cell):
        return f"{place}: {last.ename}: {last.evalue}"
    if not item.test_outputs and not item.cell.outputs:
        return f"{place}: {error}"
    texts = output_text(item.cell.outputs), output_text(item.test_outputs or [])
    recorded, new = mark_differences(*texts)
    return (
        f"{place}: the output isn't what was recorded\n\nrecorded:\n{recorded}\nnow:\n{new}\n"
        f"If you meant to change it, run 'make notebooks page={page.stem}' and read the diff."
    )
