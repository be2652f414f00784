"""What tests share: a headless browser, and how to wait."""

import os
import time

import pytest
from playwright.sync_api import sync_playwright
from tools.browser import MISSING, chromium_path


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
