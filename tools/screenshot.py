"""Take the picture of the site that README.md shows."""

import sys

from playwright.sync_api import sync_playwright

from tools.chromium import CHROMIUM_MISSING, find_chromium
from tools.project import ROOT, relative
from tools.static_server import serve_folder

PICTURE = ROOT / ".github" / "page.png"
PAGE, SECTION = "book/layers-without-parameters", "h2 >> nth=1"


def main():
    if (path := find_chromium()) is None:
        sys.exit(f"make screenshot: {CHROMIUM_MISSING}")
    with (
        serve_folder() as site,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path) as chromium,
    ):
        page = chromium.new_page(viewport={"width": 1340, "height": 860})
        page.goto(f"{site}/{PAGE}.html", wait_until="networkidle")
        page.locator(SECTION).evaluate("heading => heading.scrollIntoView()")
        page.screenshot(path=PICTURE)
    print(relative(PICTURE))


if __name__ == "__main__":
    main()
