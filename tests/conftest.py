"""A headless browser for the tests: the machine's own Chromium, none downloaded."""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
IN_MACOS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def missing(what):
    """Skip a test whose tool the machine lacks; fail where CI promised to have it."""
    (pytest.fail if os.environ.get("BOOK_CI") == "1" else pytest.skip)(what)


def chromium_path():
    """The path of a Chromium: that of the variable CHROMIUM, or one that is installed."""
    names = [os.environ["CHROMIUM"]] if "CHROMIUM" in os.environ else [*NAMES, IN_MACOS]
    return next(filter(None, map(shutil.which, names)), None)


# For a module, not the session: Playwright's event loop runs in this thread, and
# the notebooks of other tests want one of their own.
@pytest.fixture(scope="module")
def browser():
    path = chromium_path()
    if path is None:
        missing("no Chromium or Chrome found: install one, or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=path) as browser:
            yield browser
