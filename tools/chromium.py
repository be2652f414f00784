"""Start the Chromium or Chrome that is installed; none is downloaded."""

import os
import shutil
import sys
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

NAMES = [
    "chromium-headless-shell",  # has no window, so it starts and draws faster
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
]
CHROMIUM_MISSING = "no Chromium or Chrome found: install one, or set CHROMIUM to its path"


def find_chromium():
    """Return the browser's path, from the variable CHROMIUM if it is set, or None."""
    names = [os.environ["CHROMIUM"]] if "CHROMIUM" in os.environ else NAMES
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def open_chromium(task):
    """Yield a Playwright browser, or exit with a message that names the `make` task."""
    if (path := find_chromium()) is None:
        sys.exit(f"make {task}: {CHROMIUM_MISSING}")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path) as browser,
    ):
        yield browser
