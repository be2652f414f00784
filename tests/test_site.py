"""The built site, read as a browser would: whole, self-contained, and readable."""

import json
import re
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from docutils.utils.math import MathError
from tools.mathml import mathml
from tools.pages import ROOT, pages
from tools.serve import SITE, names

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
NAMES = names()
WITH_CODE = [str(page.relative_to(ROOT).with_suffix("")) for page in pages()]

# What a browser fetches by itself to show a page.
FETCHED = {
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


def read(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def target(page, address):
    """The file of the site that an address on a page means, and the anchor in it."""
    parts = urlsplit(address)
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    return (path / "index.html" if path.is_dir() else path), unquote(parts.fragment)


def is_elsewhere(address):
    return bool(urlsplit(address).netloc)


def problems(page, soup):
    """What is wrong with a page of the site, a line each."""
    for tag in soup.find_all(list(FETCHED)):
        address = tag.get(FETCHED[tag.name])
        if address and is_elsewhere(address) and "canonical" not in tag.get("rel", []):
            yield f"asks another host: {tag}"
    for tag in soup.find_all(style=re.compile(r"url\(['\"]?(https?:)?//")):
        yield f"asks another host: {tag}"

    for tag in soup.find_all(["a", "link", "img", "script", "source"]):
        address = tag.get("href") or tag.get("src")
        if not address or is_elsewhere(address) or urlsplit(address).scheme:
            continue
        path, anchor = target(page, address)
        if not path.is_file():
            yield f"leads nowhere: {tag}"
        elif anchor and path.suffix == ".html":
            there = soup if path == page else read(path)
            if not there.find(id=anchor) and not there.find(attrs={"name": anchor}):
                yield f"leads to a missing place: {tag}"

    for image in soup.find_all("img"):
        if not image.get("alt", "").strip() or image["alt"] == image.get("src"):
            yield f"has no alt text: {image}"

    article = soup.find("article")
    if article is None:
        yield "has no article"
        return
    for part in article.select(".math, pre, code, script, style"):
        part.extract()
    text = article.get_text(" ")
    for pattern, name in [(UNRENDERED, "an unrendered directive"), (TEX, "bare TeX")]:
        for found in pattern.finditer(text):
            yield f"shows {name}: ...{text[max(0, found.start() - 30):found.end() + 30]}..."


@pytest.mark.parametrize("name", NAMES)
def test_page_is_whole(name):
    page = SITE / f"{name}.html"
    assert list(problems(page, read(page))) == []


@pytest.mark.parametrize("name", NAMES)
def test_page_says_what_it_is(name):
    soup = read(SITE / f"{name}.html")
    heading = soup.find("h1").get_text().rstrip("#").strip()
    assert soup.html["lang"] == "en"
    assert CONFIG["title"] in soup.title.get_text()
    assert re.sub(r"^\d+\. ", "", heading) in soup.title.get_text()
    assert 70 <= len(soup.find("meta", attrs={"name": "description"})["content"]) <= 170
    footer = soup.find("footer", class_="bd-footer-content").get_text()
    assert f"By {CONFIG['author']}" in footer
    assert f"© Copyright {CONFIG['copyright']}." in footer
    assert "CC BY-SA 4.0" in footer and "MIT" in footer


@pytest.mark.parametrize("name", WITH_CODE)
def test_code_can_be_copied_and_downloaded(name):
    soup = read(SITE / f"{name}.html")
    assert soup.select(".cell_input")
    assert len(soup.select(".cell_input .copybtn + pre")) == len(soup.select(".cell_input pre"))
    assert not soup.select(".cell_output .copybtn")
    [link] = soup.select("a.btn-download-notebook-button")
    path, _ = target(SITE / f"{name}.html", link["href"])
    assert path.read_bytes() == (ROOT / f"{name}.ipynb").read_bytes()


def test_the_student_notebook_can_be_downloaded():
    page = SITE / "book" / "exercises.html"
    [link] = read(page).select("article a.download[href$='.ipynb']")
    path, _ = target(page, link["href"])
    student = ROOT / "_build" / "student" / "exercises.ipynb"
    assert path.read_bytes() == student.read_bytes()


@pytest.mark.parametrize("name", WITH_CODE)
def test_only_expected_errors_are_shown(name):
    soup = read(SITE / f"{name}.html")
    for cell in soup.select(".cell:has(.traceback)"):
        assert "tag_raises-exception" in cell["class"], cell.get_text()
    assert not soup.select(".output.stderr")


def test_search_index_knows_every_page():
    index = (SITE / "searchindex.js").read_text("utf-8")
    index = json.loads(index.removeprefix("Search.setIndex(").rstrip(");\n"))
    assert sorted(index["docnames"]) == sorted(NAMES)
    assert "relu" in index["terms"]


def test_styles_ask_no_other_host():
    for style in SITE.rglob("*.css"):
        text = style.read_text("utf-8")
        assert not re.search(r"(url\(['\"]?|@import\s+['\"])(https?:)?//", text), style


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_keeps_its_place_until_it_is_needed(name):
    for image in read(SITE / f"{name}.html").select("article img"):
        assert int(image["width"]) > 0 and int(image["height"]) > 0
        assert image["loading"] == "lazy"


def test_every_check_has_one_right_choice_and_explains_the_others():
    checks = [c for name in NAMES for c in read(SITE / f"{name}.html").select(".check")]
    assert checks
    for check in checks:
        choices = [choice.select("p") for choice in check.select("details.choice")]
        words = [" ".join(p.get_text() for p in choice).split() for choice in choices]
        assert len(choices) >= 3
        assert sorted(word[0] for word in words) == ["No."] * (len(words) - 1) + ["Right."]
        assert all(len(word) > 5 for word in words)


@pytest.mark.parametrize("tex", [r"\frac12", r"\unknown{x}", r"x^{2", r"\sqrt\frac{1}2"])
def test_a_formula_that_would_come_out_wrong_is_refused(tex):
    with pytest.raises(MathError):
        mathml(tex)


def test_a_formula_is_written_as_it_is_read():
    assert mathml(r"n \log n") == (
        '<math xmlns="http://www.w3.org/1998/Math/MathML"><mi>n</mi>'
        '<mspace width="0.17em"></mspace><mi>log</mi>'
        '<mo rspace="0.17em">&ApplyFunction;</mo><mi>n</mi></math>'
    )


BROKEN = {
    "asks another host": "<script src='https://example.org/a.js'></script>",
    "leads nowhere": "<a href='missing.html'>x</a>",
    "leads to a missing place": "<a href='#missing'>x</a>",
    "has no alt text": "<img src='index.html' alt=''>",
    "shows an unrendered directive": "<p>:::{note}</p>",
    "shows bare TeX": "<p>the sum \\sum x</p>",
    "has no article": None,
}


@pytest.mark.parametrize("problem, html", BROKEN.items(), ids=BROKEN)
def test_a_broken_page_is_noticed(problem, html):
    page = SITE / "book" / "index.html"
    body = f"<article>{html}</article>" if html else "<p>nothing</p>"
    found = list(problems(page, BeautifulSoup(body, "html.parser")))
    assert len(found) == 1 and found[0].startswith(problem)
