"""The pages' sources and their recorded notebooks: in step, executed, and complete."""

import ast
import re

import jupytext
import pytest
from jupytext.config import load_jupytext_configuration_file

from tools.build.notebook import (
    code_cells,
    figures,
    pages_with_code,
    read_page,
    read_recorded,
    tags,
)
from tools.project import BOOK

SOURCES = sorted(BOOK.glob("*.md"))
PAGES = pages_with_code()
ALLOWED_TAGS = {
    "book-only",
    "hide-input",
    "nbval-ignore-output",
    "raises-exception",
    "solution",
    "timing",
}


def recorded(path):
    return read_recorded(path.stem)


def file_name(path):
    return path.name


each_page = pytest.mark.parametrize("path", PAGES, ids=file_name)


def test_every_page_with_code_is_recorded():
    recordings = [path.with_suffix(".ipynb") for path in PAGES]
    message = "run 'make notebooks', and delete recordings that have no page"
    assert recordings == sorted(BOOK.glob("*.ipynb")), message


def test_only_pages_without_code_switch_execution_off():
    for path in SOURCES:
        mode = read_page(path).metadata.get("mystnb", {}).get("execution_mode")
        assert mode == (None if path in PAGES else "off"), path


@pytest.mark.parametrize("path", SOURCES, ids=file_name)
def test_saving_in_jupyterlab_changes_nothing(path):
    config = load_jupytext_configuration_file(str(BOOK / "jupytext.toml"))
    text = path.read_text("utf-8")
    notebook = jupytext.reads(text, fmt="md:myst", config=config)
    assert jupytext.writes(notebook, fmt="md:myst", config=config) == text
    assert config.outdated_text_notebook_margin == float("inf")  # or a newer recording is an error


@each_page
def test_page_and_recording_have_the_same_cells(path):
    def cells(notebook):
        return [(cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]

    assert cells(recorded(path)) == cells(PAGES[path]), "run 'make notebooks'"


@each_page
def test_recorded_cells_ran_in_order(path):
    counts = [cell.execution_count for cell in code_cells(recorded(path))]
    assert counts == list(range(1, len(counts) + 1))


def test_repeated_definitions_are_identical():
    texts = {}
    for path, notebook in PAGES.items():
        for cell in code_cells(notebook):
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef):
                    text = ast.get_source_segment(cell.source, node)
                    texts.setdefault(node.name, {})[path.name] = text
    for name, by_page in texts.items():
        assert len(set(by_page.values())) == 1, f"{name} differs between {', '.join(by_page)}"
    assert len(texts["MyDense"]) > 3


def test_quoted_messages_are_those_that_the_page_provokes():
    path = BOOK / "troubleshooting.md"
    [provoked] = [
        [key.value for key in node.value.keys]
        for cell in code_cells(PAGES[path])
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MESSAGES"
    ]
    _, _installing, *tables = path.read_text("utf-8").split("| message |")
    first_columns = re.findall(r"^\| (.*?) \|", "".join(tables), re.MULTILINE)
    assert re.findall(r"`([^`]+)`", "\n".join(first_columns)) == provoked


@each_page
def test_every_cell_of_a_solution_is_tagged(path):
    inside = False
    for cell in PAGES[path].cells:
        inside = inside or "{solution-start}" in cell.source
        assert not inside or "solution" in tags(cell), cell.source
        inside = inside and "{solution-end}" not in cell.source
    assert not inside


@each_page
def test_only_timings_are_not_compared(path):
    for cell in code_cells(PAGES[path]):
        assert tags(cell) <= ALLOWED_TAGS, cell.source
        assert not re.search(r"#\s*(NBVAL|PYTEST)_", cell.source), cell.source
        assert ("nbval-ignore-output" in tags(cell)) == ("timing" in tags(cell)), cell.source
        if "timing" in tags(cell):  # it measures, or draws and labels what was measured
            assert re.search(r"milliseconds\(|label.*milliseconds", cell.source), cell.source


@each_page
def test_figure_has_alt_text_and_caption(path):
    for cell in [cell for cell in code_cells(recorded(path)) if figures(cell.outputs)]:
        settings = cell.metadata["mystnb"]
        assert settings["image"]["alt"] and settings["figure"]["caption"]


@each_page
def test_folded_code_says_what_it_is(path):
    for cell in code_cells(PAGES[path]):
        if "hide-input" in tags(cell):
            assert cell.metadata["mystnb"]["code_prompt_show"], cell.source


@each_page
def test_recorded_error_shows_its_message_only(path):
    for cell in code_cells(recorded(path)):
        for output in cell.outputs:
            if output.output_type == "error":
                shown = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
                assert shown.strip() == f"{output.ename}: {output.evalue}".strip()


@each_page
def test_recording_reveals_nothing_about_the_machine(path):
    assert "version" not in recorded(path).metadata.language_info
    for cell in code_cells(recorded(path)):
        for output in cell.outputs:
            assert output.get("name") != "stderr", output.text
            text = "".join(output.get("traceback", [])) + str(output.get("text", ""))
            assert not re.search(r"(^|[\s'\"(])/\w+/\w+", text), text
            assert "site-packages" not in text
