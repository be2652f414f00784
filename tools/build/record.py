"""Record the pages' outputs, and write the student edition of the exercises."""

from tools.build.execute import ExecutionCache, execute_pages
from tools.build.notebook import pages_with_code, read_page, tags, write_notebook
from tools.project import EXERCISES, STUDENT_EDITION


def record_pages():
    """Execute all pages and write book/NAME.ipynb for each.

    Raise PageError if a page fails; its recording stays as it was.
    """
    cache = ExecutionCache()

    def finish(path, notebook):
        cache.store(path, notebook)
        write_notebook(path.with_suffix(".ipynb"), notebook)

    execute_pages(pages_with_code(), finish)


def write_student_edition():
    """Write the exercises without their solutions, unless the file is up to date."""
    path = STUDENT_EDITION
    if path.exists() and path.stat().st_mtime > EXERCISES.stat().st_mtime:
        return
    notebook = read_page(EXERCISES)
    notebook.cells = [cell for cell in notebook.cells if not {"solution", "book-only"} & tags(cell)]
    write_notebook(path, notebook)
