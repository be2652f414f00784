"""Write the whole book as one PDF: the built pages, printed by Chromium."""

import io
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from tools.browser import MISSING, chromium_path
from tools.serve import SITE, names

ROOT = Path(__file__).resolve().parent.parent
PDF = ROOT / "_build" / "book.pdf"
FOOTER = """<div style="width: 100%; text-align: center; font: 9px sans-serif">
<span class="pageNumber"></span></div>"""

FILL_IN = """numbers => {
  for (const data of document.querySelectorAll("nav data")) {
    data.textContent = numbers[data.value]
  }
}"""

STYLE = """
article + article, nav, nav + article { break-before: page }
nav ul { list-style: none; padding: 0 }
nav li { display: flex; margin: 0 }
nav li.page { margin-top: 0.8rem; font-weight: bold }
nav li.section { padding-left: 1.5rem }
nav span { flex: 1; margin: 0 0.4rem 0.3rem; border-bottom: 1px dotted }
"""


def place(page, anchor=""):
    """What an anchor of a page is called in the book."""
    return f"{page}--{anchor}"


def article(page, pages):
    """The text of a page, whose anchors are unique and whose links stay in the book."""
    path = SITE / f"{page}.html"
    body = BeautifulSoup(path.read_text("utf-8"), "html.parser").find("article")
    for tag in body.find_all(id=True):
        tag["id"] = place(page, tag["id"])
    for tag in body.find_all("a", href=True):
        parts = urlsplit(tag["href"])
        if parts.netloc or parts.scheme:
            continue
        there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        name = there.relative_to(SITE).with_suffix("").as_posix()
        if there.suffix == ".html" and name in pages:
            tag["href"] = f"#{place(name, unquote(parts.fragment))}"
        else:
            tag.unwrap()  # a file for download is not in the book
    for tag in body.find_all("img"):
        tag["src"] = (path.parent / unquote(tag["src"])).resolve().as_uri()
        tag["loading"] = "eager"
    for tag in body.find_all("details"):
        tag["open"] = ""
    for tag in body.select(".headerlink, .toctree-wrapper"):
        tag.decompose()
    body["id"] = place(page)
    return body


def contents(bodies):
    """The table of contents: each page and its sections, linked, still without numbers."""
    for name, body in bodies.items():
        places = {place(name): ("page", body.find("h1"))}
        for section in body.select("section > section"):
            if heading := section.find("h2", recursive=False):
                places[section["id"]] = ("section", heading)
        for anchor, (kind, heading) in places.items():
            yield f"""<li class="{kind}"><a href="#{anchor}">{heading.get_text()}</a>
<span></span><data value="{anchor}"></data></li>"""


def book():
    """The book as one page of HTML."""
    pages = names()
    bodies = {name: article(name, pages) for name in pages}
    front = bodies.pop(pages[0])
    title = front.find("h1").get_text()
    sheet = (SITE / "_static" / "site.css").as_uri()
    return f"""<!DOCTYPE html><html lang="en" data-theme="light"><head>
<meta charset="utf-8"><title>{title}</title><link rel="stylesheet" href="{sheet}">
<style>{STYLE}</style></head><body><div class="bd-content">{front}<nav><h2>Contents</h2>
<ul>{"".join(contents(bodies))}</ul></nav>{"".join(map(str, bodies.values()))}
</div></body></html>"""


def printed(page, **options):
    margin = dict.fromkeys(["top", "right", "bottom", "left"], "2cm")
    return page.pdf(
        format="A4",
        margin=margin,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        **options,
    )


def page_numbers(pdf):
    """On which page each anchor is."""
    reader = PdfReader(io.BytesIO(pdf))
    return {
        name.lstrip("/"): reader.get_destination_page_number(destination) + 1
        for name, destination in reader.named_destinations.items()
    }


def main():
    if (path := chromium_path()) is None:
        sys.exit(f"make pdf: {MISSING}")
    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=path) as browser:
            page = browser.new_page()
            with NamedTemporaryFile("w", encoding="utf-8", suffix=".html", dir=PDF.parent) as file:
                file.write(book())
                file.flush()
                page.goto(Path(file.name).as_uri())
            # First without ink, which is a quarter of the work: where is what?
            ink = page.add_style_tag(content="body { visibility: hidden } a { visibility: visible }")
            page.evaluate(FILL_IN, page_numbers(printed(page)))
            ink.evaluate("style => style.remove()")
            pdf = printed(page, tagged=True, outline=True)
    draft = PDF.with_suffix(".tmp")
    draft.write_bytes(pdf)
    draft.replace(PDF)
    print(PDF.relative_to(ROOT))


if __name__ == "__main__":
    main()
