"""The built site, read as HTML: complete, self-contained, and readable."""

import re
from textwrap import shorten
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from docutils.utils.math import MathError

from tests.conftest import RECORDED
from tools.build.notebook import pages_with_code
from tools.extensions import page_actions
from tools.extensions.mathml import mathml
from tools.project import ROOT, SITE, STUDENT_EDITION, configuration, page_names, relative

NAMES = page_names()
NAMES_WITH_CODE = [relative(path).removesuffix(".md") for path in pages_with_code()]

# What a browser loads to show a page.
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
    "object": "data",
    "embed": "src",
}
UNRENDERED = re.compile(r"```|:::|\{[a-z-]+\}`|\{code-cell\}|^:\w+:", re.MULTILINE)
TEX = re.compile(r"\\[a-zA-Z(\[]|\$|\^\{|_\{")

each_page = pytest.mark.parametrize("name", NAMES)
each_page_with_code = pytest.mark.parametrize("name", NAMES_WITH_CODE)


def read_html(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def page(name):
    return read_html(SITE / f"{name}.html")


def resolve(path, address):
    """Return the file and the anchor that an address on a page refers to."""
    parts = urlsplit(address)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    return target, unquote(parts.fragment)


def find_problems(path, soup):
    """Yield a line for each problem of a page."""
    for tag in soup.find_all(list(LOADED)):
        if urlsplit(tag.get(LOADED[tag.name], "")).netloc:
            yield f"loads from another host: {tag}"
    for tag in soup.find_all(["a", "link", "img", "script", "source"]):
        address = tag.get("href") or tag.get("src")
        if not address or urlsplit(address).netloc or urlsplit(address).scheme:
            continue
        target, anchor = resolve(path, address)
        if not target.is_file():
            yield f"broken link: {tag}"
        elif anchor and target.suffix == ".html":
            there = soup if target == path else read_html(target)
            if not there.find(id=anchor):
                yield f"missing anchor: {tag}"
    for image in soup.find_all("img"):
        if not image.get("alt", "").strip() or image["alt"] == image.get("src"):
            yield f"no alt text: {image}"

    article = soup.find("article")
    if article is None:
        yield "no article"
        return
    for part in article.select(".math, pre, code, script, style"):
        part.extract()
    text = article.get_text(" ")
    for pattern, kind in [(UNRENDERED, "unrendered directive"), (TEX, "bare TeX")]:
        for found in pattern.finditer(text):
            yield f"{kind}: ...{text[max(0, found.start() - 30) : found.end() + 30]}..."


@pytest.mark.parametrize("name", [*NAMES, "search", "index"])
def test_page_is_complete(name):
    path = SITE / f"{name}.html"
    problems = list(find_problems(path, read_html(path)))
    assert problems == (["no article"] if name == "index" else [])


BROKEN = {
    "loads from another host": "<script src='https://example.org/a.js'></script>",
    "broken link": "<a href='missing.html'>x</a>",
    "missing anchor": "<a href='#missing'>x</a>",
    "no alt text": "<img src='index.html' alt=''>",
    "unrendered directive": "<p>:::{note}</p>",
    "bare TeX": "<p>the sum \\sum x</p>",
    "no article": None,
}


@pytest.mark.parametrize("problem, html", BROKEN.items(), ids=BROKEN)
def test_problem_of_a_page_is_found(problem, html):
    body = f"<article>{html}</article>" if html else "<p>nothing</p>"
    soup = BeautifulSoup(body, "html.parser")
    [found] = find_problems(SITE / "book" / "index.html", soup)
    assert found.startswith(problem)


@pytest.mark.parametrize("name, target", configuration()["sphinx"]["config"]["forwards"].items())
def test_address_forwards(name, target):
    path = SITE / f"{name}.html"
    content = read_html(path).find("meta", attrs={"http-equiv": "refresh"})["content"]
    assert resolve(path, content.removeprefix("0; url="))[0] == SITE / f"{target}.html"


@each_page
def test_page_has_title_description_and_license(name):
    soup = page(name)
    heading = soup.find("h1").get_text().rstrip("#").strip()
    titles = [heading] if name == NAMES[0] else [heading, configuration()["title"]]
    assert soup.title.get_text() == " - ".join(titles)
    assert soup.html["lang"] == "en"
    footer = soup.find("footer").get_text()
    assert configuration()["copyright"] in footer
    assert "CC BY-SA 4.0" in footer and "MIT" in footer


def test_landing_page_describes_every_page():
    items = page(NAMES[0]).select(".chapters > li")
    assert len(items) == len(NAMES) - 1
    for name, item in zip(NAMES[1:], items):
        description = page(name).find("meta", attrs={"name": "description"})["content"]
        assert item.find("a")["href"] == f"{name.removeprefix('book/')}.html"
        assert description in item.get_text()
        assert re.search(r"\d+ minutes", item.get_text())


def test_navigation_numbers_the_pages_in_order():
    links = page(NAMES[1]).select(".sidebar-tree a")
    assert [re.match(r"(\d+)\. ", link.get_text())[1] for link in links] == [
        str(number) for number in range(1, len(NAMES))
    ]
    assert page(NAMES[1]).select_one("a.prev-page")["href"] == "index.html"
    assert page(NAMES[1]).select_one("a.next-page")["href"] == f"{NAMES[2].split('/')[1]}.html"


@each_page_with_code
def test_recorded_notebook_can_be_downloaded(name):
    [link] = page(name).select(".page-actions a")  # no others without a repository
    target, _ = resolve(SITE / f"{name}.html", link["href"])
    assert target.read_bytes() == (ROOT / f"{name}.ipynb").read_bytes()


def test_student_edition_can_be_downloaded():
    path = SITE / "book" / "exercises.html"
    [link] = read_html(path).select("article a.download[href$='.ipynb']")
    target, _ = resolve(path, link["href"])
    assert target.read_bytes() == STUDENT_EDITION.read_bytes()


@each_page_with_code
def test_only_expected_errors_are_shown(name):
    soup = page(name)
    for cell in soup.select(".cell:has(.traceback)"):
        assert "tag_raises-exception" in cell["class"], cell.get_text()
    assert not soup.select(".output.stderr")


@each_page_with_code
def test_figure_has_number_and_caption(name):
    for image in page(name).select("article .cell img"):
        caption = image.find_parent("figure").find("figcaption").get_text().strip()
        assert re.match(r"Fig\. \d+", caption) and len(caption) > 30


def test_styles_load_nothing_from_another_host():
    for style in SITE.rglob("*.css"):
        text = style.read_text("utf-8")
        assert not re.search(r"(url\(['\"]?|@import\s+['\"])(https?:)?//", text), style


def test_question_has_one_right_choice_and_explains_each():
    questions = [(name, q) for name in NAMES for q in page(name).select(".check")]
    assert questions
    problems = []
    for name, question in questions:
        choices = question.select("details.choice")
        texts = {c.summary.get_text(): " ".join(p.get_text() for p in c("p")) for c in choices}
        problems += [
            f"{name}.md: the explanation of the choice {choice!r} has to start with ✓ or ✗"
            for choice, text in texts.items()
            if text[:1] not in ("✓", "✗") or len(text.split()) < 5
        ]
        if len(choices) < 3 or sum(text.startswith("✓") for text in texts.values()) != 1:
            start = shorten(question.get_text(" ", strip=True), 80)
            problems.append(f"{name}.md: {start!r} needs three choices or more, one of them with ✓")
        marks = [("right" if text.startswith("✓") else "wrong") for text in texts.values()]
        assert all(mark in choice["class"] for mark, choice in zip(marks, choices))
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.mark.parametrize("tex", [r"\frac12", r"\unknown{x}", r"x^{2", r"\sqrt\frac{1}2"])
def test_formula_that_would_be_misread_is_rejected(tex):
    with pytest.raises(MathError):
        mathml(tex)


def test_function_name_in_a_formula_is_spaced():
    assert mathml(r"n \log n") == (
        '<math xmlns="http://www.w3.org/1998/Math/MathML"><mi>n</mi>'
        '<mspace width="0.17em"></mspace><mi>log</mi>'
        '<mo rspace="0.17em">&ApplyFunction;</mo><mi>n</mi></math>'
    )


def test_configured_repository_and_hub_are_linked(checkout):
    checkout.write("2 + 2")
    # as CONTRIBUTING.md shows it
    [lines] = re.findall("```yaml\n(repo.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    with (checkout.folder / "_config.yml").open("a", encoding="utf-8") as config:
        config.write("\n" + lines)
    site = checkout.build()
    links = read_html(site / "book" / "page.html").select(".page-actions a")
    addresses = {link.get_text(): link["href"] for link in links}
    assert addresses == {
        "Download notebook": "../_sources/book/page.ipynb",
        "Open on the Hub": "https://YOUR.HUB/v2/gh/YOU/REPOSITORY/main"
        "?urlpath=lab/tree/book/page.ipynb",
        "Edit this page": "https://HOST/YOU/REPOSITORY/edit/main/book/page.md",
        "Report a problem": "https://HOST/YOU/REPOSITORY/issues/new?title=book%2Fpage.md%3A+",
    }
    assert (site / "_sources" / "book" / "page.ipynb").read_text() == RECORDED


def test_jupyterhub_is_linked_through_nbgitpuller(monkeypatch):
    settings = yaml.safe_load(
        "{repository: {url: https://HOST/YOU/BOOK/}, launch_buttons: {jupyterhub_url: https://HUB/}}"
    )
    monkeypatch.setattr(page_actions, "configuration", lambda: settings)
    assert page_actions.make_hub_url("book/page.ipynb") == (
        "https://HUB/hub/user-redirect/git-pull?repo=https%3A%2F%2FHOST%2FYOU%2FBOOK"
        "&branch=main&urlpath=lab%2Ftree%2FBOOK%2Fbook%2Fpage.ipynb"
    )
