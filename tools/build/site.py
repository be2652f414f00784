"""Build the site with Jupyter Book, from pages that have been executed."""

import gc
import io
import shutil
from contextlib import redirect_stdout

from jupyter_book.cli.main import main as jupyter_book

from tools.build.execute import ExecutionCache, execute_pages
from tools.build.notebook import PageError, pages_with_code
from tools.build.pages import check_pages
from tools.build.record import list_differences
from tools.build.student import write_student_edition
from tools.project import ROOT, SITE, relative


def prepare_preview():
    """Execute the pages whose outputs the cache lacks; print what went wrong and what changed.

    A page that failed is stored, too, so that Sphinx shows its error instead of executing it
    once more.
    """
    write_student_edition()
    cache = ExecutionCache()
    problems, changed = [], []

    def on_executed(path, notebook):
        cache.store(path, notebook)
        changed.extend(list_differences(path, notebook))

    pages = pages_with_code()
    for task in check_pages, lambda: execute_changed_pages(cache, pages, on_executed, cache.store):
        try:
            task()
        except PageError as error:
            problems.append(str(error))
    for line in changed + problems:
        print(line)


def execute_changed_pages(cache, pages, on_executed, on_failed=None):
    """Execute the pages whose outputs the cache lacks."""
    changed = {path: page for path, page in pages.items() if not cache.has_outputs_of(page)}
    execute_pages(changed, on_executed, on_failed)


def build_site():
    """Execute the pages that have changed, then build the site.

    Raise PageError if a page fails. Exit with Jupyter Book's status if it finds a problem.
    """
    check_pages()
    write_student_edition()  # which the site offers for download
    cache = ExecutionCache()
    pages = pages_with_code()
    execute_changed_pages(cache, pages, cache.store)

    before = cache.entries()
    run_jupyter_book()
    if repeated := cache.entries() - before:
        names = ", ".join(sorted(uri for uri, _ in repeated))
        raise PageError(f"Jupyter Book didn't find the outputs of {names} in its cache")
    lists = [list_differences(path, cache.add_outputs(page)) for path, page in pages.items()]
    if differences := [line for lines in lists for line in lines]:
        print(*differences, "If you meant these changes, run 'make notebooks'.", sep="\n")
    print(f"Open {relative(SITE)}/index.html")


def run_jupyter_book():
    """Run `jupyter-book build`, strictly: any warning is an error."""
    shutil.rmtree(SITE, ignore_errors=True)  # Sphinx leaves the files of removed pages
    gc.disable()  # garbage collection takes a tenth of the build's time
    # Without --all, a second build forgets the warnings of the first.
    arguments = ["build", "--all", "--quiet", "-W", "-n", "--keep-going", str(ROOT)]
    with redirect_stdout(io.StringIO()):  # a dozen lines; warnings go to the standard error
        jupyter_book(arguments, standalone_mode=False)
