"""What the tests share: a browser, a small book, and a way to wait."""

import os
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest
import yaml

from tests.live import Reader, make_live
from tools.build.notebook import load_definitions, pages_with_code
from tools.build.pages import HEADER
from tools.chromium import CHROMIUM_MISSING, find_chromium, open_chromium
from tools.project import ROOT

# A shell's background job ignores Ctrl-C, and so would whatever the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The notebook that takes the place of its page while tools/quality/mutants.py tests it
MUTANT = nbformat.read(os.environ["MUTANT"], as_version=4) if "MUTANT" in os.environ else None


@pytest.fixture(scope="module")
def book():
    """Return what the pages define, by name, or what a mutant defines in their place."""
    names = {}
    for notebook in [MUTANT] if MUTANT else pages_with_code().values():
        names |= load_definitions(notebook)
    return names


def skip_or_fail(reason):
    """Skip a test whose tool this machine lacks; fail in CI, which promises to have it."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def wait_for(condition, process=None):
    """Wait until a condition holds, while the process that brings it about is running."""
    deadline = time.monotonic() + 60
    while not condition():
        assert (process is None or process.poll() is None) and time.monotonic() < deadline
        time.sleep(0.01)


# One for each module rather than the session: Playwright's event loop runs in this thread,
# and nbclient needs one of its own.
@pytest.fixture(scope="module")
def browser():
    if find_chromium() is None:
        skip_or_fail(CHROMIUM_MISSING)
    with open_chromium("test") as chromium:
        yield chromium


@pytest.fixture(scope="module")
def live():
    """Yield the `make live` of the tests that don't stop it."""
    command = ["make", "--silent", ".venv/live/installed"]
    installation = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if installation.returncode:
        skip_or_fail(installation.stderr)
    with make_live() as server:
        yield server


@pytest.fixture
def reader(browser):
    with browser.new_context(reduced_motion="reduce") as context:
        reader = Reader(context)
        yield reader
        assert reader.errors == []


PAGE = f"""{HEADER}A small page that tests build, with a description of the length that's needed.
---

# A page

```{{code-cell}} ipython3
1 + 1
```

```{{code-cell}} ipython3
CODE
```
"""
PROSE = """---
myst:
  html_meta:
    description: A page without code that tests build, with a description of the right length.
---

# Exercises
"""
FORWARDS = {"index": "book/page"}
RECORDED = "the existing recording\n"


class Checkout:
    """A book with one page of code. The page's second code cell starts at line 22."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "tools", folder / "tools")
        for name in ("_static", "_templates"):
            shutil.copytree(ROOT / "book" / name, folder / "book" / name)
        (folder / "binder").mkdir()
        shared = ("book/matplotlibrc", "binder/runtime.txt", "requirements.txt", "_config.yml")
        for name in shared:
            shutil.copy(ROOT / name, folder / name)
        self.configure(lambda config: config["sphinx"]["config"].update(forwards=FORWARDS))
        (folder / "_toc.yml").write_text(
            "format: jb-book\nroot: book/page\nchapters: [file: book/exercises]\n"
        )
        (folder / "book" / "exercises.md").write_text(PROSE)
        (folder / "book" / "page.ipynb").write_text(RECORDED)

    def write(self, code):
        """Write the page with this code in its second cell."""
        (self.folder / "book" / "page.md").write_text(PAGE.replace("CODE", code))

    def configure(self, change):
        """Change the content of _config.yml."""
        path = self.folder / "_config.yml"
        config = yaml.safe_load(path.read_text("utf-8"))
        change(config)
        path.write_text(yaml.safe_dump(config))

    def start(self, task="record", *arguments, **options):
        """Start a build task; return its process."""
        return subprocess.Popen(
            [sys.executable, "-m", "tools.build", task, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def build(self, **options):
        """Build the site, which must succeed; return its folder."""
        process = self.start("site", **options)
        output, errors = process.communicate()
        assert process.returncode == 0, output + errors
        return self.folder / "_build" / "html"

    def validate(self):
        """Compare the page with its recording; return pytest's exit code and its output."""
        command = [sys.executable, "-m", "pytest", "--nbval", "book/page.ipynb"]
        command += ["-p", "tools.quality.nbval_plugin", "-p", "tools.quality.cell_report"]
        run = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        return run.returncode, run.stdout

    def fail(self, task="record", **options):
        """Run a task, which must fail and leave everything as it was; return its error."""
        process = self.start(task, **options)
        output, errors = process.communicate()
        assert process.returncode != 0, output
        assert "tools/build" not in errors, errors  # no traceback of ours
        assert self.is_unchanged()
        assert not list(self.folder.glob("_build/html/**/*.html"))
        return errors

    def is_unchanged(self):
        """Return whether book/ holds exactly what was there before the task."""
        expected = {
            "_static",
            "_templates",
            "exercises.md",
            "matplotlibrc",
            "page.md",
            "page.ipynb",
        }
        names = {path.name for path in (self.folder / "book").iterdir()}
        return names == expected and (self.folder / "book" / "page.ipynb").read_text() == RECORDED


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)
