"""What can go wrong while the pages run: each time a clear end, and nothing half-written."""

import os
import re
import resource
import signal
import subprocess
import sys

import psutil
import pytest
from tests.conftest import PAGE, wait_for
from tools.pages import CELL_SECONDS, ROOT


def test_without_a_network_it_is_built_all_the_same(checkout):
    checkout.write("2 + 2")
    nowhere = dict.fromkeys(["http_proxy", "https_proxy", "all_proxy"], "http://127.0.0.1:9")
    site = checkout.builds(env=os.environ | nowhere)
    assert (site / "book" / "page.html").exists()


PLACE = "book/page.md:19: code cell 2: "
BAD_CELLS = {
    "kills its kernel": ("import os; os.kill(os.getpid(), 9)", "the kernel died"),
    "runs out of memory": (
        "import resource as r\nr.setrlimit(r.RLIMIT_AS, (2**30, 2**30))\nbytes(2**40)",
        "MemoryError: ",
    ),
}


@pytest.mark.parametrize("code, cause", BAD_CELLS.values(), ids=BAD_CELLS)
def test_a_bad_cell_is_named(checkout, code, cause):
    checkout.write(code)
    assert checkout.fails().strip().endswith(f"{PLACE}{cause}".strip())


def test_a_cell_that_never_ends_is_named(checkout):
    checkout.limit_cells(seconds=3)
    checkout.write("while True: pass")
    assert checkout.fails().strip().endswith(f"{PLACE}no end after 3 s")


def test_a_bad_cell_ends_every_build(checkout):
    checkout.write("1 / 0")
    said = checkout.fails("build")
    assert said == f"{PLACE}ZeroDivisionError: division by zero\n"
    assert checkout.fails("build") == said


def test_the_book_has_such_a_limit():
    assert 0 < CELL_SECONDS <= 120


BAD_PAGES = {
    "a merge conflict": (
        "page.md",
        PAGE.replace("kernelspec:", "<<<<<<< HEAD\nkernelspec:\n=======\n>>>>>>> theirs"),
    ),
    "a header that is no YAML": ("exercises.md", PAGE.replace("jupytext:", "jupytext: [")),
}


@pytest.mark.parametrize("name, page", BAD_PAGES.values(), ids=BAD_PAGES)
def test_a_broken_page_is_named(checkout, name, page):
    checkout.write("2 + 2")
    (checkout.folder / "book" / name).write_text(page)
    assert f"book/{name}: no MyST notebook: " in checkout.fails()


def test_a_full_disk_is_named(checkout):
    checkout.write("'x' * 300_000")
    limit = 200_000  # of a file's size: what a page writes is more

    def full():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    assert re.search("too large|No space|full", checkout.fails(preexec_fn=full))


def test_ctrl_c_leaves_nothing(checkout):
    checkout.write("open('begun', 'w').close(); import time; time.sleep(60)")
    process = checkout.start(start_new_session=True)
    begun = checkout.folder / "book" / "begun"
    wait_for(begun.exists, process)
    begun.unlink()
    kernels = psutil.Process(process.pid).children(recursive=True)
    assert kernels
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode not in (0, None)
    assert errors.splitlines()[-1].startswith("stopped"), errors
    assert checkout.left()
    assert not any(kernel.is_running() for kernel in kernels)


def test_two_at_once_take_turns(checkout):
    checkout.write("2 + 2")
    both = [checkout.start() for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("waiting for another make" in out for out, errors in said) == 1
    assert not checkout.left()


def test_a_recorded_notebook_that_is_broken_is_named(tmp_path):
    for name, text in {"json": "{", "conflict": '{\n<<<<<<< HEAD\n"cells": []}'}.items():
        (tmp_path / f"{name}.ipynb").write_text(text)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", tmp_path, "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode not in (0, 5)
    for name in ("json", "conflict"):
        assert re.search(rf"^ERROR .*/{name}\.ipynb", run.stdout, re.MULTILINE)


BAD_CONTENTS = {
    "a page that is not there": (
        "root: book/page\nchapters: [file: book/exercises, file: book/nowhere]",
        "_toc.yml: there is no page book/nowhere.md\n",
    ),
    "a page that is not named": ("root: book/page", "book/exercises.md: not in _toc.yml\n"),
    "no file": ("root: book/page\nchapters: [book/exercises]", "_toc.yml: entry not a mapping"),
    "no YAML": ("root: [", "_toc.yml: while parsing a flow node"),
}


@pytest.mark.parametrize("contents, message", BAD_CONTENTS.values(), ids=BAD_CONTENTS)
def test_a_wrong_table_of_contents_is_named_before_a_page_runs(checkout, contents, message):
    checkout.write("open('ran', 'w').close()")
    (checkout.folder / "_toc.yml").write_text(f"format: jb-book\n{contents}\n")
    assert checkout.fails("build").startswith(message)
