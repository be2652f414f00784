"""Find the Chromium or Chrome that is installed; none is downloaded."""

import os
import shutil

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
