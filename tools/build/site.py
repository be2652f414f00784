"""Build the site with Jupyter Book, from pages that have been executed."""

import gc
import shutil

import yaml
from jupyter_book.cli.main import main as jupyter_book
from sphinx_external_toc.parsing import MalformedError

from tools.build.execute import ExecutionCache, execute_pages
from tools.build.notebook import PageError, pages_with_code
from tools.build.student import write_student_edition
from tools.project import BOOK, ROOT, SITE, page_names


def check_contents():
    """Raise PageError if _toc.yml and the pages in book/ don't agree."""
    try:
        listed = set(page_names())
    except (MalformedError, yaml.YAMLError) as error:
        raise PageError(f"_toc.yml: {error}") from error
    existing = {f"book/{path.stem}" for path in BOOK.glob("*.md")}
    errors = [f"_toc.yml: page {name}.md doesn't exist" for name in listed - existing]
    errors += [f"{name}.md: not listed in _toc.yml" for name in existing - listed]
    if errors:
        raise PageError("\n".join(sorted(errors)))


def build_site():
    """Execute the pages that have changed, then build the site.

    Raise PageError if a page fails. Exit with Jupyter Book's status if it finds a problem.
    """
    check_contents()
    write_student_edition()  # which the site offers for download
    cache = ExecutionCache()
    pages = pages_with_code()
    changed = {path: page for path, page in pages.items() if not cache.has_outputs_of(page)}
    execute_pages(changed, cache.store)

    before = cache.entries()
    run_jupyter_book()
    if repeated := cache.entries() - before:
        raise PageError(f"Jupyter Book executed a page again: {repeated}")


def run_jupyter_book():
    """Run `jupyter-book build`, strictly: any warning is an error."""
    shutil.rmtree(SITE, ignore_errors=True)  # Sphinx leaves the files of removed pages
    gc.disable()  # garbage collection takes a tenth of the build's time
    # Without --all, a second build forgets the warnings of the first.
    arguments = ["build", "--all", "--quiet", "-W", "-n", "--keep-going", str(ROOT)]
    jupyter_book(arguments, standalone_mode=False)
