"""Read pages as notebooks, and write notebooks."""

import ast
import hashlib
import warnings

import jupytext
import nbformat
from jupytext.myst import myst_to_notebook
from nbformat.reader import NotJSONError
from nbformat.v4 import new_notebook

from tools.project import BOOK, BUILD, relative


class PageError(Exception):
    """A page or _toc.yml is wrong; the message says where and how."""


def read_page(path):
    """Return the notebook of a MyST Markdown file, without outputs.

    Cell ids are derived from the cells' text, so that an id stays the same until its cell
    changes and a diff of two recordings shows changed outputs only.

    Raise PageError if the file isn't a MyST notebook.
    """
    try:
        notebook = jupytext.read(path, fmt="md:myst")
    except Exception as error:  # YAML, jupytext, and the file system each have their own
        raise PageError(f"{relative(path)}: not a MyST notebook: {error}") from error
    # A downloaded notebook isn't paired with a Markdown file.
    notebook.metadata.pop("jupytext", None)
    used = set()
    for cell in notebook.cells:
        text = cell.cell_type + cell.source
        while (digest := hashlib.sha1(text.encode()).hexdigest()[:8]) in used:
            text += " "
        used.add(digest)
        cell.id = digest
    return notebook


def code_cells(notebook):
    """Return the code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    """Return the set of a cell's tags."""
    return set(cell.metadata.get("tags", []))


def output_text(outputs):
    """Return the outputs of a cell as text, one below the other."""
    texts = []
    for output in outputs:
        if output.output_type == "error":
            texts.append(f"{output.ename}: {output.evalue}")
        else:
            texts.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(texts)


def figures(outputs):
    """Return the figures among the outputs of a cell, as SVG."""
    data = (output.get("data", {}) for output in outputs)
    return [formats["image/svg+xml"] for formats in data if "image/svg+xml" in formats]


def code_of(notebook):
    """Return what the outputs of a notebook depend on: the code and the tags of its cells."""
    return [(cell.source, tags(cell)) for cell in code_cells(notebook)]


def find_line(path, index):
    """Return the line at which a code cell of a page, given by its index, starts."""
    notebook = myst_to_notebook(path.read_text("utf-8"), add_source_map=True)
    lines = zip(notebook.cells, notebook.metadata.source_map)
    return [line for cell, line in lines if cell.cell_type == "code"][index]


def name_cell(path, index):
    """Return how messages name a code cell of a page: by its line and its number, from 1.

    If the notebook doesn't belong to a page, return its number only.
    """
    place = f"{relative(path)}:{find_line(path, index)}" if path.exists() else path.stem
    return f"{place}: cell {index + 1}"


def pages_with_code():
    """Return the notebooks of the pages that contain code, by path."""
    notebooks = {path: read_page(path) for path in sorted(BOOK.glob("*.md"))}
    return {path: notebook for path, notebook in notebooks.items() if code_cells(notebook)}


def read_recorded(name):
    """Return the recorded notebook book/NAME.ipynb."""
    return nbformat.read(BOOK / f"{name}.ipynb", as_version=4)


def read_old_recording(path):
    """Return a page's recording, or an empty notebook if there is none or it's incomplete."""
    try:
        return read_recorded(path.stem)
    except (FileNotFoundError, NotJSONError):
        return new_notebook()


def load_definitions(notebook):
    """Return what a page imports and defines, by name.

    Execute the page's imports, functions, and classes, and `npx.set_np()`; nothing else.
    """
    body = []
    for cell in code_cells(notebook):
        for node in ast.parse(cell.source).body:
            if (
                isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
                or ast.unparse(node) == "npx.set_np()"
            ):
                body.append(node)
    namespace = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MXNet uses deprecated names of NumPy
        exec(compile(ast.Module(body, []), "page", "exec"), namespace)
    return namespace


def write_notebook(path, notebook):
    """Write a notebook completely, or leave the existing file as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    BUILD.mkdir(exist_ok=True)
    draft = BUILD / f"{path.name}.draft"
    draft.write_text(nbformat.writes(notebook) + "\n", "utf-8")
    draft.replace(path)
