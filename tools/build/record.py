"""Execute the pages and record their outputs in book/NAME.ipynb."""

from nbformat.reader import NotJSONError

from tools.build.execute import ExecutionCache, execute_pages
from tools.build.notebook import (
    PageError,
    code_cells,
    pages_with_code,
    read_recorded,
    tags,
    write_notebook,
)
from tools.project import BOOK


def read_old_recording(path):
    """Return the code cells of a page's recording, or an empty list if there is none."""
    try:
        return code_cells(read_recorded(path.stem))
    except (FileNotFoundError, NotJSONError):
        return []


def sources(cells):
    """Return what the outputs of cells depend on: their code and tags."""
    return [(cell.source, tags(cell)) for cell in cells]


def keep_outputs(notebook, old_cells):
    """Copy the outputs and execution counts of cells whose code is the same."""
    for cell, old in zip(code_cells(notebook), old_cells):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count


def keep_timings(notebook, old_cells):
    """Keep the recorded outputs of cells that aren't compared, unless their code changed.

    Otherwise each recording would change measured times that nobody touched.
    """
    old_outputs = {cell.source: cell.outputs for cell in old_cells}
    for cell in code_cells(notebook):
        if "nbval-ignore-output" in tags(cell):
            cell.outputs = old_outputs.get(cell.source, cell.outputs)


def record_pages(page=None):
    """Write book/NAME.ipynb for all pages, or for one page given by its name.

    A page is executed if its code has changed, or if it's given by its name; otherwise the
    outputs of its recording are kept.

    Raise PageError if a page doesn't exist or fails; its recording stays as it was.
    """
    pages = pages_with_code()
    if page:
        path = BOOK / f"{page}.md"
        if path not in pages:
            raise PageError(f"book/{page}.md: no page with code has this name")
        pages = {path: pages[path]}
    old_cells = {path: read_old_recording(path) for path in pages}
    unchanged = {
        path
        for path, notebook in pages.items()
        if not page and sources(code_cells(notebook)) == sources(old_cells[path])
    }
    for path in unchanged:
        keep_outputs(pages[path], old_cells[path])
        pages[path].metadata = read_recorded(path.stem).metadata | pages[path].metadata
        write_notebook(path.with_suffix(".ipynb"), pages[path])

    cache = ExecutionCache()

    def on_executed(path, notebook):
        cache.store(path, notebook)
        keep_timings(notebook, old_cells[path])
        write_notebook(path.with_suffix(".ipynb"), notebook)

    execute_pages({path: nb for path, nb in pages.items() if path not in unchanged}, on_executed)
