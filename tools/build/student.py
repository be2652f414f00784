"""Write the student edition: the exercises as a notebook without their solutions."""

from tools.build.notebook import read_page, tags, write_notebook
from tools.project import EXERCISES, STUDENT_EDITION

OMITTED_TAGS = {"solution", "book-only"}


def student_edition():
    """Return the student edition."""
    notebook = read_page(EXERCISES)
    notebook.cells = [cell for cell in notebook.cells if not OMITTED_TAGS & tags(cell)]
    return notebook


def write_student_edition():
    """Write the student edition."""
    write_notebook(STUDENT_EDITION, student_edition())
