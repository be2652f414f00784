"""The machine's own Chromium: none is downloaded."""

import os
import shutil

NAMES = [
    "chromium-headless-shell",  # no window: starts and draws faster
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
]
IN_MACOS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
MISSING = "no Chromium or Chrome found: install one, or set CHROMIUM to its path"


def chromium_path():
    """The path of a Chromium: that of the variable CHROMIUM, or one that is installed."""
    names = [os.environ["CHROMIUM"]] if "CHROMIUM" in os.environ else [*NAMES, IN_MACOS]
    return next(filter(None, map(shutil.which, names)), None)
