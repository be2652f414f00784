"""What tests share: a headless browser, a small book, and how to wait."""

import os
import shutil
import subprocess
import sys
import time

import pytest
import yaml
from playwright.sync_api import sync_playwright
from tools.browser import MISSING, chromium_path
from tools.pages import ROOT


def missing(what):
    """Skip a test whose tool the machine lacks; fail where CI promised to have it."""
    (pytest.fail if os.environ.get("BOOK_CI") == "1" else pytest.skip)(what)


def wait_for(happened, process):
    """Wait until something has happened that a running process does."""
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


# For a module, not the session: Playwright's event loop runs in this thread, and
# the notebooks of other tests want one of their own.
@pytest.fixture(scope="module")
def browser():
    path = chromium_path()
    if path is None:
        missing(MISSING)
    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=path) as browser:
            yield browser


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

    def builds(self, **settings):
        """Build, which must succeed; returns the site's folder."""
        _, errors = (process := self.start("build", **settings)).communicate()
        assert process.returncode == 0, errors
        return self.folder / "_build" / "html"

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
