"""Execute the pages and record their outputs in book/NAME.ipynb."""

from nbformat.reader import NotJSONError
from nbformat.v4 import new_notebook

from tools.build.execute import ExecutionCache, execute_pages
from tools.build.notebook import (
    PageError,
    code_cells,
    code_of,
    pages_with_code,
    read_recorded,
    tags,
    write_notebook,
)
from tools.project import BOOK


def read_old_recording(path):
    """Return a page's recording, or an empty notebook if there is none."""
    try:
        return read_recorded(path.stem)
    except (FileNotFoundError, NotJSONError):
        return new_notebook()


def keep_outputs(notebook, old):
    """Take all outputs from a recording of the same code."""
    for cell, old_cell in zip(code_cells(notebook), code_cells(old)):
        cell.outputs, cell.execution_count = old_cell.outputs, old_cell.execution_count
    notebook.metadata = old.metadata | notebook.metadata


def keep_timings(notebook, old):
    """Keep the recorded outputs of cells that aren't compared, unless their code changed.

    Otherwise each recording would change measured times that nobody touched.
    """
    old_outputs = {cell.source: cell.outputs for cell in code_cells(old)}
    for cell in code_cells(notebook):
        if "nbval-ignore-output" in tags(cell):
            cell.outputs = old_outputs.get(cell.source, cell.outputs)


def record_pages(page=None):
    """Write book/NAME.ipynb for all pages, or for one page given by its name.

    A page is executed if its code has changed, if JupyterLab saved its recording, if it's given
    by its name, or if the name is "all"; otherwise the outputs of its recording are kept.

    Raise PageError if a page doesn't exist or fails; its recording stays as it was.
    """
    pages = pages_with_code()
    if page and page != "all":
        path = BOOK / f"{page}.md"
        if path not in pages:
            raise PageError(f"book/{page}.md: no page with code has this name")
        pages = {path: pages[path]}
    old = {path: read_old_recording(path) for path in pages}
    cache = ExecutionCache()

    def on_executed(path, notebook):
        cache.store(path, notebook)
        keep_timings(notebook, old[path])
        write_notebook(path.with_suffix(".ipynb"), notebook)

    changed = {}
    for path, notebook in pages.items():
        by_jupyterlab = "jupytext" in old[path].metadata  # with whatever outputs it showed
        if page or by_jupyterlab or code_of(notebook) != code_of(old[path]):
            changed[path] = notebook
        else:
            keep_outputs(notebook, old[path])
            write_notebook(path.with_suffix(".ipynb"), notebook)
    execute_pages(changed, on_executed)
