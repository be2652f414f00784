"""Take the picture of the site that README.md shows."""

from tools.chromium import open_chromium
from tools.project import ROOT, SITE, relative

PICTURE = ROOT / ".github" / "page.png"
PAGE, SECTION = SITE / "book" / "layers-without-parameters.html", "h2 >> nth=1"


def main():
    with open_chromium("screenshot") as chromium:
        page = chromium.new_page(viewport={"width": 1340, "height": 860})
        page.goto(PAGE.as_uri(), wait_until="networkidle")
        page.locator(SECTION).evaluate("heading => heading.scrollIntoView({behavior: 'instant'})")
        page.screenshot(path=PICTURE)
    print(relative(PICTURE))


if __name__ == "__main__":
    main()
