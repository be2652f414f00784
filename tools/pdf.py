"""Write the whole book as one PDF: the built pages, printed by Chromium."""

import io
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from pypdf import PdfReader

from tools.chromium import open_chromium
from tools.project import PDF, SITE, page_names, relative

FOOTER = """<div style="width: 100%; text-align: center; font: 9px sans-serif">
<span class="pageNumber"></span></div>"""

STYLE = """
article + article, nav, nav + article { break-before: page }
nav ul { list-style: none; padding: 0 }
nav li { display: flex; margin: 0 }
nav li.page { margin-top: 0.8rem; font-weight: bold }
nav li.section { padding-left: 1.5rem }
nav span { flex: 1; margin: 0 0.4rem 0.3rem; border-bottom: 1px dotted }
"""

FILL_IN_PAGE_NUMBERS = """numbers => {
  for (const data of document.querySelectorAll("nav data")) {
    data.textContent = numbers[data.value]
  }
}"""


def anchor_in_book(page, anchor=""):
    """Return the id that an anchor of a page has in the PDF."""
    return f"{page}--{anchor}"


def extract_article(page, pages):
    """Return a page's text, with unique ids and with links that stay inside the book."""
    path = SITE / f"{page}.html"
    article = BeautifulSoup(path.read_text("utf-8"), "html.parser").find("article")
    # Folded code draws figures or repeats what earlier pages define; the notebooks have it.
    for tag in article.select(".headerlink, .page-actions, .toctree-wrapper, details.hide"):
        tag.decompose()
    for tag in article.find_all(id=True):
        tag["id"] = anchor_in_book(page, tag["id"])
    for tag in article.find_all("a", href=True):
        parts = urlsplit(tag["href"])
        if parts.netloc or parts.scheme:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        name = target.relative_to(SITE).with_suffix("").as_posix()
        if target.suffix == ".html" and name in pages:
            tag["href"] = f"#{anchor_in_book(name, unquote(parts.fragment))}"
        else:
            tag.unwrap()  # a file for download isn't in the PDF
    for tag in article.find_all("img"):
        tag["src"] = (path.parent / unquote(tag["src"])).resolve().as_uri()
        tag["loading"] = "eager"
    for tag in article.find_all("details"):
        tag["open"] = ""
    article["id"] = anchor_in_book(page)
    return article


def table_of_contents(articles):
    """Yield a line for each page and section, linked, with its page number left empty."""
    for name, article in articles.items():
        entries = {anchor_in_book(name): ("page", article.find("h1"))}
        for section in article.select("section > section"):
            if heading := section.find("h2", recursive=False):
                entries[section["id"]] = ("section", heading)
        for anchor, (kind, heading) in entries.items():
            yield f"""<li class="{kind}"><a href="#{anchor}">{heading.get_text()}</a>
<span></span><data value="{anchor}"></data></li>"""


def render_book():
    """Return the book as a single page of HTML."""
    pages = page_names()
    landing_page = BeautifulSoup((SITE / f"{pages[0]}.html").read_text("utf-8"), "html.parser")
    articles = {name: extract_article(name, pages) for name in pages}
    front = articles.pop(pages[0])
    styles = [tag["href"] for tag in landing_page.find_all("link", rel="stylesheet")]
    urls = [(SITE / "book" / href.partition("?")[0]).resolve().as_uri() for href in styles]
    links = "".join(f'<link rel="stylesheet" href="{url}">' for url in urls)
    inline = "".join(map(str, landing_page.find_all("style")))
    return f"""<!DOCTYPE html><html lang="en"><head>
<meta charset="utf-8"><title>{front.find("h1").get_text()}</title>{links}{inline}
<style>{STYLE}</style></head><body data-theme="light">{front}<nav><h2>Contents</h2>
<ul>{"".join(table_of_contents(articles))}</ul></nav>{"".join(map(str, articles.values()))}
</body></html>"""


def print_page(page, **options):
    """Return the page as a PDF."""
    return page.pdf(
        format="A4",
        margin=dict.fromkeys(["top", "right", "bottom", "left"], "2cm"),
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        **options,
    )


def page_numbers(pdf):
    """Return the page number of each anchor."""
    reader = PdfReader(io.BytesIO(pdf))
    return {
        name.lstrip("/"): reader.get_destination_page_number(destination) + 1
        for name, destination in reader.named_destinations.items()
    }


def main():
    with open_chromium("pdf") as chromium:
        page = chromium.new_page()
        with NamedTemporaryFile("w", encoding="utf-8", suffix=".html", dir=PDF.parent) as file:
            file.write(render_book())
            file.flush()
            page.goto(Path(file.name).as_uri())
        # Print twice: the first time, invisibly and fast, to learn the page numbers.
        hidden = page.add_style_tag(content="body { visibility: hidden } a { visibility: visible }")
        page.evaluate(FILL_IN_PAGE_NUMBERS, page_numbers(print_page(page)))
        hidden.evaluate("style => style.remove()")
        draft = PDF.with_suffix(".draft")
        draft.write_bytes(print_page(page, tagged=True, outline=True))
    draft.replace(PDF)
    print(relative(PDF))


if __name__ == "__main__":
    main()
