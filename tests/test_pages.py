"""The pages' sources and their recorded notebooks: in step, executed, and complete."""

import ast
import re
from difflib import unified_diff
from itertools import zip_longest

import pytest
from jupytext.config import load_jupytext_configuration_file

from tools.build.notebook import (
    code_cells,
    code_of,
    figures,
    find_line,
    name_cell,
    pages_with_code,
    read_page,
    read_recorded,
    tags,
)
from tools.build.pages import formatted
from tools.project import BOOK, relative

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
RECORDED = [path for path in PAGES if path.with_suffix(".ipynb").exists()]
each_recorded_page = pytest.mark.parametrize("path", RECORDED, ids=file_name)


def report(problems):
    """Fail with these lines and nothing else, if there are any."""
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def test_every_page_with_code_is_recorded():
    pages, recordings = {path.stem for path in PAGES}, {path.stem for path in BOOK.glob("*.ipynb")}
    problems = [
        f"book/{name}.md has no recording; run 'make notebooks'" for name in pages - recordings
    ]
    problems += [f"book/{name}.ipynb has no page; delete it" for name in recordings - pages]
    report(problems)


def test_only_pages_without_code_switch_execution_off():
    for path in SOURCES:
        mode = read_page(path).metadata.get("mystnb", {}).get("execution_mode")
        assert mode == (None if path in PAGES else "off"), path


@pytest.mark.parametrize("path", SOURCES, ids=file_name)
def test_saving_in_jupyterlab_changes_nothing(path):
    if formatted(path) != path.read_text("utf-8"):
        report([f"{relative(path)}: JupyterLab would write it differently; run 'make format'"])


def test_page_opens_in_jupyterlab_if_its_recording_is_newer():
    config = load_jupytext_configuration_file(str(BOOK / "jupytext.toml"))
    assert config.outdated_text_notebook_margin == float("inf")


@each_recorded_page
def test_page_and_recording_have_the_same_cells(path):
    def cells(notebook):
        return [(cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]

    page, recording = PAGES[path], recorded(path)
    if cells(page) != cells(recording):
        pairs = enumerate(zip_longest(code_of(page), code_of(recording)))
        changed = [index for index, (now, old) in pairs if now != old]
        if not changed:
            differ = "differ in text only"
        elif changed[0] < len(code_cells(page)):
            line = find_line(path, changed[0])
            differ = f"differ in code, first at line {line}; 'make html' shows changed outputs"
        else:
            differ = "differ in code"
        report(
            [
                f"{relative(path)} and its recording {differ}. If that's meant, run 'make "
                "notebooks'. It overwrites the .ipynb, so edit only the .md."
            ]
        )


@each_recorded_page
def test_recorded_cells_ran_in_order(path):
    counts = [cell.execution_count for cell in code_cells(recorded(path))]
    assert counts == list(range(1, len(counts) + 1))


def test_repeated_definitions_are_identical():
    texts, problems = {}, []
    for path, notebook in PAGES.items():
        for index, cell in enumerate(code_cells(notebook)):
            try:
                nodes = ast.parse(cell.source).body
            except SyntaxError as error:
                problems.append(f"{name_cell(path, index)}: SyntaxError: {error}")
                continue
            for node in nodes:
                if isinstance(node, ast.ClassDef | ast.FunctionDef):
                    text = ast.get_source_segment(cell.source, node)
                    texts.setdefault(node.name, {})[path] = text
    for name, by_page in texts.items():
        first, *others = by_page
        for page in others:
            if by_page[page] != by_page[first]:
                places = f"{relative(first)} and {relative(page)}"
                problems.append(f"{places} define {name} differently; make them equal:")
                lines = (by_page[path].splitlines() for path in (first, page))
                problems += unified_diff(*lines, first.name, page.name, lineterm="", n=0)
    report(problems)
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
def test_tags_are_known(path):
    problems = []
    for index, cell in enumerate(code_cells(PAGES[path])):
        for tag in tags(cell) - ALLOWED_TAGS:
            problems.append(f"{name_cell(path, index)}: unknown tag {tag!r}")
    if problems:
        problems.append(f"These tags are known: {', '.join(sorted(ALLOWED_TAGS))}.")
    report(problems)


@each_recorded_page
def test_cells_that_should_raise_an_error_do(path):
    problems = []
    for index, cell in enumerate(code_cells(recorded(path))):
        raised = any(output.output_type == "error" for output in cell.outputs)
        if "raises-exception" in tags(cell) and not raised:
            place = name_cell(path, index)
            problems.append(f"{place}: tagged raises-exception, but it didn't raise an error")
    report(problems)


@each_page
def test_only_timings_are_not_compared(path):
    for cell in code_cells(PAGES[path]):
        assert not re.search(r"#\s*(NBVAL|PYTEST)_", cell.source), cell.source
        assert ("nbval-ignore-output" in tags(cell)) == ("timing" in tags(cell)), cell.source
        if "timing" in tags(cell):  # it measures, or draws and labels what was measured
            assert re.search(r"milliseconds\(|label.*milliseconds", cell.source), cell.source


@each_recorded_page
def test_figure_has_alt_text_and_caption(path):
    problems = []
    for index, cell in enumerate(code_cells(recorded(path))):
        settings = cell.metadata.get("mystnb", {})
        caption = settings.get("figure", {}).get("caption", "")
        if figures(cell.outputs) and not (
            settings.get("image", {}).get("alt") and len(caption) > 30
        ):
            problems.append(
                f"{name_cell(path, index)}: its figure needs a caption of more than 30 characters "
                "(mystnb: figure: caption) and a description for the blind (mystnb: image: alt)"
            )
    report(problems)


@each_page
def test_folded_code_says_what_it_is(path):
    problems = []
    for index, cell in enumerate(code_cells(PAGES[path])):
        prompt = cell.metadata.get("mystnb", {}).get("code_prompt_show")
        if "hide-input" in tags(cell) and not prompt:
            place = name_cell(path, index)
            problems.append(f"{place}: folded; say what it is (mystnb: code_prompt_show)")
    report(problems)


@each_recorded_page
def test_recorded_error_shows_its_message_only(path):
    for cell in code_cells(recorded(path)):
        for output in cell.outputs:
            if output.output_type == "error":
                shown = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
                assert shown.strip() == f"{output.ename}: {output.evalue}".strip()


@each_recorded_page
def test_recording_reveals_nothing_about_the_machine(path):
    assert "version" not in recorded(path).metadata.language_info
    for cell in code_cells(recorded(path)):
        for output in cell.outputs:
            assert output.get("name") != "stderr", output.text
            text = "".join(output.get("traceback", [])) + str(output.get("text", ""))
            assert not re.search(r"(^|[\s'\"(])/\w+/\w+", text), text
            assert "site-packages" not in text
