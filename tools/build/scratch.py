"""Copy the pages for readers who run them with `make lab`, where their edits stay."""

import re
import shutil

from nbformat.sign import NotebookNotary

from tools.build.notebook import pages_with_code, read_recorded, write_notebook
from tools.build.student import student_edition
from tools.project import BOOK, SCRATCH

UNSOLVED = "exercises-unsolved.ipynb"


def copy_pages():
    """Copy the pages, and what they show, to scratch/; leave alone what is there already.

    Pages with code become notebooks, and links in the copies lead to these. JupyterLab shows the
    figures of a notebook only if it's trusted.
    """
    SCRATCH.mkdir(exist_ok=True)
    with_code = {path.stem for path in pages_with_code()}
    if not (SCRATCH / "matplotlibrc").exists():
        shutil.copy(BOOK / "matplotlibrc", SCRATCH)
    shutil.copytree(BOOK / "_static", SCRATCH / "_static", dirs_exist_ok=True)
    for path in BOOK.glob("*.md"):
        if path.stem not in with_code and not (copy := SCRATCH / path.name).exists():
            copy.write_text(link_notebooks(path.read_text("utf-8"), with_code), "utf-8")
    notebooks = {f"{name}.ipynb": read_recorded(name) for name in sorted(with_code)}
    notebooks[UNSOLVED] = student_edition()
    notary = NotebookNotary()
    for name, notebook in notebooks.items():
        if not (copy := SCRATCH / name).exists():
            for cell in notebook.cells:
                cell.source = link_notebooks(cell.source, with_code)
            write_notebook(copy, notebook)
            notary.sign(notebook)


def link_notebooks(text, names):
    """Return a text whose links to the pages of these names lead to notebooks."""
    text = re.sub(r"\{download\}`([^<]*) <[^>]*>`", rf"[\1]({UNSOLVED})", text)
    pattern = rf"\]\(({'|'.join(map(re.escape, names))})\.md\b"
    return re.sub(pattern, r"](\1.ipynb", text)
