"""Execute the pages and record their outputs in book/NAME.ipynb."""

from tools.build.execute import ExecutionCache, execute_pages
from tools.build.notebook import pages_with_code, write_notebook


def record_pages():
    """Execute all pages and write book/NAME.ipynb for each.

    Raise PageError if a page fails; its recording stays as it was.
    """
    cache = ExecutionCache()

    def on_executed(path, notebook):
        cache.store(path, notebook)
        write_notebook(path.with_suffix(".ipynb"), notebook)

    execute_pages(pages_with_code(), on_executed)
