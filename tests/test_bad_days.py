"""What can go wrong while the pages run: each time a clear end, and nothing half-written."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
import yaml
from tests.conftest import wait_for
from tools.pages import CELL_SECONDS, ROOT

PAGE = """---
jupytext:
  formats: md:myst,ipynb
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
---

# A page

```{code-cell} ipython3
1 + 1
```

```{code-cell} ipython3
CODE
```
"""
RECORDED = "what was recorded before\n"


class Checkout:
    """A book of one page, whose second cell is on line 19."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "tools", folder / "tools")
        shutil.copytree(ROOT / "book" / "_static", folder / "book" / "_static")
        shutil.copy(ROOT / "book" / "matplotlibrc", folder / "book")
        shutil.copy(ROOT / "requirements.txt", folder)
        shutil.copy(ROOT / "_config.yml", folder)
        contents = "format: jb-book\nroot: book/page\nchapters: [file: book/exercises]\n"
        (folder / "_toc.yml").write_text(contents)
        (folder / "book" / "exercises.md").write_text("# Exercises\n")
        (folder / "book" / "page.ipynb").write_text(RECORDED)

    def write(self, code):
        (self.folder / "book" / "page.md").write_text(PAGE.replace("CODE", code))

    def limit_cells(self, seconds):
        config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
        config["execute"]["timeout"] = seconds
        (self.folder / "_config.yml").write_text(yaml.safe_dump(config))

    def start(self, task="record", **settings):
        return subprocess.Popen(
            [sys.executable, "tools/pages.py", task],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **settings,
        )

    def left(self):
        """Whether nothing is there but what was, and that is as it was."""
        names = {path.name for path in (self.folder / "book").iterdir()}
        recorded = (self.folder / "book" / "page.ipynb").read_text()
        expected = {"_static", "exercises.md", "matplotlibrc", "page.md", "page.ipynb"}
        return names == expected and recorded == RECORDED

    def fails(self, task="record", **settings):
        """What is said by a task that must fail."""
        out, errors = (process := self.start(task, **settings)).communicate()
        assert process.returncode not in (0, None), out
        # (A kernel that is shot down may leave a trace of its own.)
        assert "tools/pages.py" not in errors, errors
        assert self.left()
        assert not list(self.folder.glob("_build/html/**/*.html"))
        return errors


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_without_a_network_it_is_built_all_the_same(checkout):
    checkout.write("2 + 2")
    nowhere = dict.fromkeys(["http_proxy", "https_proxy", "all_proxy"], "http://127.0.0.1:9")
    process = checkout.start("build", env=os.environ | nowhere)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert (checkout.folder / "_build" / "html" / "book" / "page.html").exists()


PLACE = "book/page.md:19: code cell 2: "
BAD_CELLS = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
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
    assert checkout.fails("build") == checkout.fails("build") != ""


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
        path = tmp_path / f"{name}.ipynb"
        path.write_text(text)
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "--nbval", path, "-p", "no:cacheprovider"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert run.returncode not in (0, 5)
        assert path.name in run.stdout


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
