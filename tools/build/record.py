"""Execute the pages and record their outputs in book/NAME.ipynb."""

from textwrap import shorten

from tools.build.execute import ExecutionCache, execute_pages
from tools.build.notebook import (
    code_cells,
    code_of,
    figures,
    find_line,
    output_text,
    pages_with_code,
    read_old_recording,
    tags,
    write_notebook,
)
from tools.build.pages import check_pages, find_page
from tools.project import relative
from tools.quality.comparison import outputs_match
from tools.quality.svg_comparison import figure_differences


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


def list_differences(path, notebook):
    """Return a line for each output of a page that differs from its recording."""
    old_cells, new_cells = code_cells(read_old_recording(path)), code_cells(notebook)
    if not old_cells:
        return [f"{relative(path)}: has no recording"]
    if len(old_cells) != len(new_cells):
        return [f"{relative(path)}: has {len(new_cells)} code cells (recorded: {len(old_cells)})"]
    lines = []
    for index, (old, new) in enumerate(zip(old_cells, new_cells)):
        if "nbval-ignore-output" in tags(new):
            continue
        place = f"{relative(path)}:{find_line(path, index)}"
        recorded, now = output_text(old.outputs), output_text(new.outputs)
        if not outputs_match(recorded, now):
            recorded, now = (shorten(text, 60, placeholder=" ...") for text in (recorded, now))
            lines.append(f"{place}: {now} (recorded: {recorded})")
        differences = figure_differences(figures(old.outputs), figures(new.outputs))
        lines += [f"{place}: the figure has changed: {text}" for text in differences]
    return lines


def needs_execution(path, notebook, old, cache):
    """Return whether a page has to be executed to be recorded.

    It has to if its code has changed, if JupyterLab has saved its recording, with whatever
    outputs it showed, or if the last build listed outputs that differ from the recorded ones.
    """
    if code_of(notebook) != code_of(old) or "jupytext" in old.metadata:
        return True
    built = cache.has_outputs_of(notebook)
    return built and bool(list_differences(path, cache.add_outputs(notebook)))


def record_pages(page=None):
    """Write book/NAME.ipynb for all pages, or for one page given by its name.

    A page is executed if it needs to be, if it's given by its name, or if the name is "all";
    otherwise the outputs of its recording are kept.

    Raise PageError if a page doesn't exist, is incomplete, or fails; its recording stays as it was.
    """
    check_pages()
    pages = pages_with_code()
    if page and page != "all":
        path = find_page(page, pages)
        pages = {path: pages[path]}
    old = {path: read_old_recording(path) for path in pages}
    cache = ExecutionCache()

    changed, differences = {}, []

    def on_executed(path, notebook):
        cache.store(path, notebook)
        keep_timings(notebook, old[path])
        if old[path].cells:
            differences.extend(list_differences(path, notebook))
        write_notebook(path.with_suffix(".ipynb"), notebook)

    for path, notebook in pages.items():
        if page or needs_execution(path, notebook, old[path], cache):
            changed[path] = notebook
        else:
            keep_outputs(notebook, old[path])
            if notebook != old[path]:
                write_notebook(path.with_suffix(".ipynb"), notebook)
                print(f"{relative(path)}: copied its text into the recording")
    try:
        execute_pages(changed, on_executed)
    finally:
        if differences:
            print("Recorded these changes. Is what the pages say about them still true?")
            print("If a change isn't meant, correct the page and record again:")
            print(*differences, sep="\n")
    if not changed:
        print("No outputs to record: no code has changed.")
