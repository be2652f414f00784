"""Readers run cells again, in any order: pages and sections run repeatedly in one kernel."""

import re

import pytest

from tools.build.execute import execute_page
from tools.build.notebook import pages_with_code

PAGES = pages_with_code()


def split_sections(cells):
    """Return the cells of each section, the page's introduction included."""
    sections = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE):
            sections.append([])
        sections[-1].append(cell)
    return sections


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_and_each_section_run_again(path):
    notebook = PAGES[path]
    backwards = [cell for section in reversed(split_sections(notebook.cells)) for cell in section]
    notebook.cells += notebook.cells + backwards
    execute_page(path, notebook)
