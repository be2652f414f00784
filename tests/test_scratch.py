"""The copy of the pages for `make lab`: complete, linked, trusted, and the reader's own."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from tools.build import scratch
from tools.project import BUILD, page_names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Yield a folder with a fresh copy."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    BUILD.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=BUILD) as folder:  # notebooks are moved from there
        monkeypatch.setattr(scratch, "SCRATCH", Path(folder))
        scratch.copy_pages()
        yield Path(folder)


def test_copy_has_every_page_once(folder):
    pages = [path.stem for path in folder.iterdir() if path.suffix in (".md", ".ipynb")]
    expected = [name.removeprefix("book/") for name in page_names()]
    assert sorted(pages) == sorted([*expected, "exercises-unsolved"])


def test_links_lead_to_files(folder):
    targets = []
    for path in [*folder.glob("*.md"), *folder.glob("*.ipynb")]:
        text = path.read_text("utf-8")
        if path.suffix == ".ipynb":
            text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
        assert "{download}" not in text
        targets += re.findall(r"\]\(([\w-]+\.(?:md|ipynb))", text)
    assert "exercises-unsolved.ipynb" in targets and "coming-from-pytorch.md" in targets
    assert [name for name in targets if not (folder / name).exists()] == []


def test_notebooks_are_trusted(folder):
    notary = NotebookNotary()
    for path in folder.glob("*.ipynb"):
        assert notary.check_signature(nbformat.read(path, as_version=4)), path


def test_edits_stay(folder):
    names = ("speed.ipynb", "index.md", "matplotlibrc")
    for name in names:
        (folder / name).write_text("edited")
    (folder / "exercises.ipynb").unlink()
    scratch.copy_pages()
    assert {(folder / name).read_text() for name in names} == {"edited"}
    assert (folder / "exercises.ipynb").exists()
