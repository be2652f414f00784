"""The pages and their recorded notebooks: in step, run, and nothing left out."""

import ast
import re

import jupytext
import nbformat
import pytest
from jupytext.config import load_jupytext_configuration_file
from tools.pages import ROOT, code_cells, pages, read

ALL = sorted(ROOT.glob("book/*.md"))
PAGES = pages()
RECORDED = sorted(ROOT.glob("book/*.ipynb"))
ALLOWED_TAGS = {
    "book-only",
    "hide-input",
    "nbval-ignore-output",
    "raises-exception",
    "remove-stdout",
    "solution",
}


def recorded(page):
    return nbformat.read(page.with_suffix(".ipynb"), as_version=4)


def name(page):
    return page.name


each_page = pytest.mark.parametrize("page", PAGES, ids=name)


def test_every_page_with_code_is_recorded():
    assert [page.with_suffix(".ipynb") for page in PAGES] == RECORDED


def test_only_pages_without_code_are_not_executed():
    for page in ALL:
        mode = read(page).metadata.get("mystnb", {}).get("execution_mode")
        assert mode == (None if page in PAGES else "off"), page


@pytest.mark.parametrize("page", ALL, ids=name)
def test_saving_a_page_in_jupyterlab_changes_nothing_else(page):
    config = load_jupytext_configuration_file(str(ROOT / "book" / "jupytext.toml"))
    text = page.read_text("utf-8")
    notebook = jupytext.reads(text, fmt="md:myst", config=config)
    assert jupytext.writes(notebook, fmt="md:myst", config=config) == text


@each_page
def test_page_and_recording_have_the_same_cells(page):
    def content(notebook):
        return [
            (cell.cell_type, cell.source, cell.metadata)
            for cell in notebook.cells
        ]

    assert content(recorded(page)) == content(PAGES[page]), "run 'make notebooks'"


@each_page
def test_every_cell_was_run_in_order(page):
    counts = [cell.execution_count for cell in code_cells(recorded(page))]
    assert counts == list(range(1, len(counts) + 1))


def test_what_pages_share_is_word_for_word_the_same():
    texts = {}
    for page, notebook in PAGES.items():
        for cell in code_cells(notebook):
            source = re.sub(r"^%.*", "", cell.source, flags=re.MULTILINE)
            for node in ast.parse(source).body:
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                    text = ast.get_source_segment(source, node)
                    texts.setdefault(node.name, {})[page.name] = text
    for name, by_page in texts.items():
        assert len(set(by_page.values())) == 1, f"{name} on {', '.join(by_page)}"
    assert len(texts["MyDense"]) > 3


@each_page
def test_everything_between_the_gates_is_tagged(page):
    inside = False
    for cell in PAGES[page].cells:
        inside = inside or "{solution-start}" in cell.source
        assert not inside or "solution" in cell.metadata.get("tags", []), cell.source
        inside = inside and "{solution-end}" not in cell.source
    assert not inside


@each_page
def test_nothing_hides_an_output_but_figures_and_timings(page):
    for cell in code_cells(recorded(page)):
        tags = set(cell.metadata.get("tags", []))
        assert tags <= ALLOWED_TAGS, cell.source
        assert not re.search(r"#\s*(NBVAL|PYTEST)_", cell.source), cell.source
        if "nbval-ignore-output" in tags and "milliseconds(" not in cell.source:
            data = [output.get("data", {}) for output in cell.outputs]
            assert any("image/svg+xml" in mimetypes for mimetypes in data), cell.source
            for mimetypes in data:
                assert re.fullmatch(r"<Figure size .*>", mimetypes["text/plain"])


@each_page
def test_every_figure_has_alt_text(page):
    for cell in code_cells(recorded(page)):
        if any("image/svg+xml" in output.get("data", {}) for output in cell.outputs):
            assert cell.metadata.get("mystnb", {}).get("image", {}).get("alt")


@each_page
def test_a_recorded_error_shows_what_is_compared(page):
    for cell in code_cells(recorded(page)):
        for output in cell.outputs:
            if output.output_type == "error":
                shown = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
                assert shown.strip() == f"{output.ename}: {output.evalue}".strip()


@each_page
def test_recording_speaks_of_no_machine(page):
    assert "version" not in recorded(page).metadata.language_info
    for cell in code_cells(recorded(page)):
        for output in cell.outputs:
            assert output.get("name") != "stderr", output.text
            text = "".join(output.get("traceback", [])) + str(output.get("text", ""))
            assert not re.search(r"(^|[\s'\"(])/\w+/\w+", text), text
            assert "site-packages" not in text
