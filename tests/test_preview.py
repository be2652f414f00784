"""`make preview`: edits and errors show in the browser, and Ctrl-C ends everything."""

import os
import re
import signal
import subprocess
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect

from tests.conftest import wait_for
from tools.project import ROOT

pytestmark = pytest.mark.browser
SLOW = 60_000  # milliseconds that an edit may take on a busy machine


def address_in(log):
    """Return the address that the preview printed, or None."""
    found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
    return found and found.group()


def responds(log):
    """Return whether the preview answers, which it does after the first build."""
    try:
        return bool(address_in(log)) and urlopen(address_in(log)).status == 200
    except OSError:
        return False


@pytest.fixture
def preview(checkout):
    """Yield a book with a preview and the address of the preview."""
    checkout.write("1 + 2")
    (checkout.folder / "Makefile").symlink_to(ROOT / "Makefile")
    (checkout.folder / ".venv").symlink_to(ROOT / ".venv")
    command = ["make", "--old-file=.venv/installed", "preview"]
    environment = os.environ | {"BROWSER": "true", "MAKEFLAGS": ""}
    log = checkout.folder / "_build" / "log"  # where the preview doesn't watch
    log.parent.mkdir()
    with open(log, "w") as output:
        process = subprocess.Popen(
            command,
            cwd=checkout.folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: responds(log), process)
        yield checkout, address_in(log)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)


def test_edit_shows_in_the_browser(preview, browser):
    checkout, address = preview
    page = browser.new_page()
    page.goto(f"{address}/book/page.html")
    expect(page.locator(".cell_output")).to_have_text(["2", "3"], timeout=SLOW)
    path = checkout.folder / "book" / "page.md"
    path.write_text(path.read_text().replace("# A page", "# A better page"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("A better page", timeout=SLOW)
    checkout.write("1 / 0")
    expect(page.locator("article")).to_contain_text("division by zero", timeout=SLOW)
    checkout.write("1 + 3")
    expect(page.locator(".cell_output")).to_have_text(["2", "4"], timeout=SLOW)
    page.close()
    printed = (checkout.folder / "_build" / "log").read_text()
    assert printed.count("cell 2: ZeroDivisionError: division by zero") == 1
    assert "Executing notebook" not in printed  # by Sphinx, a second time
