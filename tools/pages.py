"""Run the pages: `build` for the site, `record` for validation; write `student`s'.

The first two run each page in a kernel of its own, as many at a time as there are cores, and
end a page at its first failing cell. `build` runs those that Jupyter Book's cache does
not hold yet, then builds the site with it; `record` runs them all and writes their
outputs to book/NAME.ipynb.

(jupyter-cache has a parallel executor of its own. It does not say which cell failed,
and its processes race for the kernels' ports.)
"""

import argparse
import ast
import asyncio
import fcntl
import gc
import hashlib
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "_build" / ".jupyter_cache"
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
CELL_SECONDS = CONFIG["execute"]["timeout"]
# What an output depends on beside its page; the kernel's folder is book/.
WORLD = [ROOT / "requirements.txt", ROOT / "book" / "matplotlibrc"]


class PageFailed(Exception):
    """A page did not run to its end; the message names page, line, cell and cause."""


def do_without_home():
    """Let kernels keep Matplotlib's cache with us if they have no home.

    It would complain in the output of a page.
    """
    if not os.access(os.path.expanduser("~"), os.W_OK):
        os.environ.setdefault("MPLCONFIGDIR", str(ROOT / "_build" / "matplotlib"))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read(page):
    """The page as a notebook without outputs, as it is recorded."""
    try:
        notebook = jupytext.read(page, fmt="md:myst")
    except Exception as error:  # from YAML, from jupytext, from the file system
        raise PageFailed(f"{page.relative_to(ROOT)}: no MyST notebook: {error}")
    # Only the Markdown file is paired; a copy of the notebook stands alone.
    notebook.metadata.pop("jupytext", None)
    taken = set()
    for cell in notebook.cells:
        # An id made from the text stays the same until the cell changes.
        name = cell.cell_type + cell.source
        while (digest := hashlib.sha1(name.encode()).hexdigest()[:8]) in taken:
            name += " "
        taken.add(digest)
        cell.id = digest
    return notebook


def pages():
    """The pages that have code, by path."""
    found = {page: read(page) for page in sorted(ROOT.glob("book/*.md"))}
    return {page: notebook for page, notebook in found.items() if code_cells(notebook)}


def check_contents():
    """Raise PageFailed where _toc.yml names what is no page, or does not name one."""
    # Imported late, as only the build needs it.
    from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

    try:
        named = {name.removesuffix(".md") for name in parse_toc_yaml(ROOT / "_toc.yml")}
    except (MalformedError, yaml.YAMLError) as error:
        raise PageFailed(f"_toc.yml: {error}")
    there = {str(page.relative_to(ROOT).with_suffix("")) for page in ROOT.glob("book/*.md")}
    wrong = [f"_toc.yml: there is no page {name}.md" for name in named - there]
    wrong += [f"{name}.md: not in _toc.yml" for name in there - named]
    if wrong:
        raise PageFailed("\n".join(sorted(wrong)))


def write_student(page):
    """Write a page's notebook without its solutions to _build/student, if it is older."""
    path = ROOT / "_build" / "student" / f"{page.stem}.ipynb"
    if path.exists() and path.stat().st_mtime > page.stat().st_mtime:
        return
    student = read(page)
    student.cells = [
        cell
        for cell in student.cells
        if not {"solution", "book-only"} & set(cell.metadata.get("tags", []))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, nbformat.writes(student) + "\n")


def definitions(notebook):
    """What the code of a page defines, by name: its imports, functions and classes.

    For who needs a page's layers and not its results; runs nothing else but
    `npx.set_np()`.
    """
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    body = []
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line[:1] not in ("%", "!")]
        for node in ast.parse("\n".join(lines)).body:
            if isinstance(node, kinds) or ast.unparse(node) == "npx.set_np()":
                body.append(node)
    names = {}
    exec(compile(ast.Module(body, []), "page", "exec"), names)
    return names


async def run(page, notebook):
    """Execute the page's notebook in place.

    Raises PageFailed where a cell raises without the tag `raises-exception`, takes
    longer than CELL_SECONDS, or kills its kernel.
    """
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(page.parent)}},
        extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
    )
    running = None

    def started(cell, cell_index):
        nonlocal running
        running = cell

    client.on_cell_execute = started
    try:
        # matplotlib dates a figure by the clock, if not by this.
        await client.async_execute(env=os.environ | {"SOURCE_DATE_EPOCH": "0"})
        notebook.metadata.language_info.pop("version", None)  # this machine's
        return
    except CellExecutionError as error:
        cause = f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        cause = f"no end after {CELL_SECONDS} s"
    except DeadKernelError:
        cause = "the kernel died"
    except RuntimeError as error:
        cause = str(error)

    where = page.relative_to(ROOT)
    if running is None:
        raise PageFailed(f"{where}: {cause}")
    number = [cell is running for cell in code_cells(notebook)].index(True)
    lines = page.read_text("utf-8").splitlines()
    starts = [i for i, text in enumerate(lines, 1) if text.startswith("```{code-cell}")]
    raise PageFailed(f"{where}:{starts[number]}: code cell {number + 1}: {cause}")


def cached(cache, notebook):
    """Whether the cache holds this notebook's outputs, with no error it must not have."""
    try:
        _, merged = cache.merge_match_into_notebook(notebook)
    except KeyError:
        return False
    return not any(
        output.output_type == "error"
        for cell in code_cells(merged)
        if "raises-exception" not in cell.metadata.get("tags", [])
        for output in cell.outputs
    )


def write(path, text):
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}", delete=False
    ) as file:
        try:
            file.write(text)
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def refuse(*_):
    """Keep nbclient from taking Ctrl-C for one of its notebooks alone."""
    raise RuntimeError("not here")


async def run_pages(task):
    """Run what `task` needs; raises PageFailed for all that failed, a line each."""
    # Imported late: its database takes half a second, and validation needs none.
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    cache = get_cache(str(CACHE))
    database = CACHE / "global.db"
    if database.exists():
        filled = database.stat().st_mtime
        if any(path.stat().st_mtime > filled for path in WORLD):
            cache.clear_cache()
    todo = pages()
    if task == "build":
        todo = {page: nb for page, nb in todo.items() if not cached(cache, nb)}
    core = asyncio.Semaphore(os.cpu_count())
    asyncio.get_running_loop().add_signal_handler = refuse

    async def one(page, notebook):
        async with core:
            await run(page, notebook)
        bundle = CacheBundleIn(notebook, str(page))
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        if task == "record":
            write(page.with_suffix(".ipynb"), nbformat.writes(notebook) + "\n")
        print(page.relative_to(ROOT), "ran", flush=True)

    # The longest first, so that no core waits for it in the end.
    longest = sorted(todo, key=lambda page: -page.stat().st_size)
    results = await asyncio.gather(
        *(one(page, todo[page]) for page in longest),
        return_exceptions=True,
    )
    failures = [result for result in results if result]
    for failure in failures:
        if not isinstance(failure, PageFailed):
            raise failure
    if failures:
        raise PageFailed("\n".join(map(str, failures)))


def build_site():
    # Imported late, for a second; in this process, for what is imported already.
    from jupyter_book.cli.main import main as jupyter_book

    gc.disable()  # looking for garbage takes a tenth of the build and finds little
    # `--all`, or a second build would not repeat the warnings of the first.
    jupyter_book(["build", "--all", "--quiet", "-W", "-n", "--keep-going", str(ROOT)])


@contextmanager
def alone():
    """Wait until no other process runs the pages of this checkout."""
    (ROOT / "_build").mkdir(exist_ok=True)
    with open(ROOT / "_build" / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another make in this folder", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=["build", "record", "student"])
    task = parser.parse_args().task
    do_without_home()
    try:
        with alone():
            write_student(ROOT / "book" / "exercises.md")
            if task == "student":
                return
            if task == "build":
                check_contents()
            asyncio.run(run_pages(task))
            if task == "build":
                build_site()
    except PageFailed as failure:
        sys.exit(str(failure))
    except KeyboardInterrupt:
        sys.exit("stopped; what was finished is kept, and nothing else")
    except OSError as error:  # a full disk, above all
        sys.exit(str(error))


if __name__ == "__main__":
    main()
