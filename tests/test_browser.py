"""Every page in a browser: usable, accessible, light, and free of errors."""

import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from pypdf import PdfReader

from tools.pdf import page_numbers
from tools.project import PDF, ROOT, SITE, page_names
from tools.static_server import serve_folder

pytestmark = pytest.mark.browser

NAMES = page_names()
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 400, "height": 800}
LARGEST_PAGE = 110 * 1024  # bytes, compressed

each_page = pytest.mark.parametrize("name", [*NAMES, "search"])


@pytest.fixture(scope="module")
def site():
    with serve_folder() as address:
        yield address


@contextmanager
def visit(browser, address, html=None, **settings):
    """Yield a page in a window of its own, and a list of its errors and requests to other hosts.

    With `html`, show this text in place of what is at the address.
    """
    with browser.new_context(**settings) as context:
        page = context.new_page()
        if html is not None:
            page.route(address, lambda r: r.fulfill(body=html, content_type="text/html"))
        problems = []
        host = urlsplit(address)[:2]

        def check_message(message):
            if message.type in ("warning", "error"):
                problems.append(message.text)

        def check_request(request):
            if urlsplit(request.url)[:2] != host and not request.url.startswith("data:"):
                problems.append(f"request to {request.url}")

        page.on("console", check_message)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", check_request)
        page.goto(address, wait_until="load")
        yield page, problems


def find_violations(page):
    """Return axe's findings, a line each."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{v['id']}: {n['html']}: {n['failureSummary']}" for v in found for n in v["nodes"]]


def overflows(page):
    """Return whether the page or its content scrolls sideways."""
    return page.evaluate("""[document.documentElement, document.querySelector(".content")]
        .some(box => box && box.scrollWidth > box.clientWidth)""")


def open_all_details(page):
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    # MyST-NB fades code in; until then its contrast is lower.
    page.evaluate("Promise.all(document.getAnimations().map(one => one.finished)).then(() => 0)")


@each_page
@pytest.mark.parametrize("scheme, window", [("light", WIDE), ("dark", NARROW)])
def test_page_is_accessible_and_fits_its_window(browser, site, name, scheme, window):
    settings = {"viewport": window, "color_scheme": scheme}
    with visit(browser, f"{site}/{name}.html", **settings) as (page, problems):
        assert not overflows(page)
        open_all_details(page)
        assert not overflows(page)
        assert find_violations(page) == []
        assert problems == []


@each_page
def test_page_is_light(browser, site, name):
    with browser.new_context(viewport=NARROW) as context:
        page = context.new_page()
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        sizes = []
        network.on("Network.loadingFinished", lambda e: sizes.append(e["encodedDataLength"]))
        page.goto(f"{site}/{name}.html", wait_until="networkidle")
    assert 0 < sum(sizes) <= LARGEST_PAGE


@each_page
def test_page_opens_from_a_folder(browser, name):
    address = (SITE / f"{name}.html").as_uri()
    with visit(browser, address, viewport=WIDE) as (page, problems):
        # Open one of each kind by keyboard, from the outermost inward.
        kinds = set()
        for folded in page.query_selector_all("details:not([open])"):
            if (kind := folded.get_attribute("class")) in kinds:
                folded.evaluate("details => { details.open = true; }")
                continue
            kinds.add(kind)
            folded.eval_on_selector("summary", "summary => summary.focus()")
            page.keyboard.press("Enter")
        assert page.locator("details:not([open])").count() == 0
        heights = "all => all.map(formula => formula.getBoundingClientRect().height)"
        assert all(height > 5 for height in page.eval_on_selector_all("math", heights))
        assert problems == []


def test_root_forwards_to_the_landing_page(browser, site):
    with visit(browser, f"{site}/index.html") as (page, problems):
        page.wait_for_url(f"{site}/book/index.html")
        assert problems == []


def test_color_scheme_can_be_chosen(browser, site):
    with visit(browser, f"{site}/book/index.html", color_scheme="dark") as (page, problems):
        background = "getComputedStyle(document.body).backgroundColor"
        automatic = page.evaluate(background)
        page.locator(".theme-toggle:visible").click()
        assert page.evaluate("document.body.dataset.theme") == "light"
        assert page.evaluate(background) != automatic
        page.reload()
        assert page.evaluate("document.body.dataset.theme") == "light"
        page.locator(".theme-toggle:visible").click()
        assert page.evaluate("document.body.dataset.theme") == "dark"
        assert page.evaluate(background) == automatic
        assert problems == []


def test_copy_button_copies_code(browser, site):
    permissions = ["clipboard-read", "clipboard-write"]
    with visit(browser, f"{site}/{NAMES[1]}.html", permissions=permissions) as (page, problems):
        cell = page.locator(".cell_input").nth(1)
        cell.hover()
        cell.locator(".copybtn").click()
        expect(cell.locator(".copybtn.success")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.rstrip() == cell.locator("pre").text_content().rstrip()
        assert page.locator(".cell_output .copybtn").count() == 0
        assert problems == []


@pytest.mark.parametrize("place", ["server", "folder"])
def test_search_finds_sections_with_excerpts(browser, site, place):
    address = f"{site}/search.html" if place == "server" else (SITE / "search.html").as_uri()
    with visit(browser, f"{address}?q=initialize") as (page, problems):
        expect(page.get_by_role("status").last).to_contain_text("sections found")
        results = page.locator("#search-results > li")
        titles = results.locator("a").all_text_contents()
        assert len(titles) > 5
        assert any(": " in title for title in titles)
        assert results.first.locator("mark").count() > 0
        results.first.locator("a").click()
        expect(page.locator(".highlighted").first).to_be_attached()
        page.click(".highlight-link a")
        assert page.locator(".highlighted").count() == 0
        assert problems == []


def test_search_from_the_sidebar_says_when_nothing_is_found(browser, site):
    with visit(browser, f"{site}/book/index.html", viewport=WIDE) as (page, problems):
        page.fill(".sidebar-search", "nosuchword")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").last).to_have_text("0 sections found for “nosuchword”.")
        assert problems == []


def is_focused(page, selector):
    return page.evaluate("s => document.activeElement.matches(s)", selector)


@each_page
def test_keyboard_reaches_everything_visibly(browser, site, name):
    with visit(browser, f"{site}/{name}.html", viewport=WIDE) as (page, _):
        page.evaluate("document.activeElement.blur()")
        while not is_focused(page, ".skip-to-content"):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/*#furo-main-content")
        page.keyboard.press("Tab")
        assert is_focused(page, "[role=main] *")

        # From there to the end of the page, and from its start to there again.
        page.evaluate("""() => {
            window.unmarked = [];
            addEventListener("focusin", ({ target }) => {
                const { outlineStyle, boxShadow } = getComputedStyle(target);
                if (outlineStyle + boxShadow === "nonenone") unmarked.push(target.outerHTML);
                window.again = "reached" in target.dataset;
                target.dataset.reached = "";
            });
        }""")
        while not page.evaluate("window.again"):
            for _ in range(10):
                page.keyboard.press("Tab")
        assert page.evaluate("unmarked") == []
        # Furo shows its link back to the top while one scrolls upward.
        missed = ":is(a[href], summary, button):not([data-reached], .back-to-top)"
        missed = page.locator(f"{missed} >> visible=true")
        assert [tag.evaluate("tag => tag.outerHTML") for tag in missed.all()] == []


def test_code_that_is_cut_off_can_be_scrolled_by_keyboard(browser, site):
    with visit(browser, f"{site}/book/layers-without-parameters.html", viewport=WIDE) as (page, _):
        folded = page.locator("details.hide").first
        folded.locator("summary").click()
        code = folded.locator("pre")
        expect(code).not_to_have_attribute("tabindex", "0")
        page.set_viewport_size(NARROW)
        expect(code).to_have_attribute("tabindex", "0")


@each_page
def test_print_hides_navigation(browser, site, name):
    with visit(browser, f"{site}/{name}.html", viewport=WIDE) as (page, _):
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        navigation = (
            ":is(.sidebar-drawer, .toc-drawer, .page-actions, .copybtn, .headerlink, footer)"
        )
        assert page.locator(navigation).count() > 0
        assert page.locator(f"{navigation} >> visible=true").count() == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[open]").count() == 0


def test_pdf_contains_every_page_and_its_links_work(browser):
    subprocess.run([sys.executable, "-m", "tools.pdf"], cwd=ROOT, check=True)
    reader, places = PdfReader(PDF), page_numbers(PDF.read_bytes())
    links = [
        annotation.get_object()["/Dest"].lstrip("/")
        for page in reader.pages
        for annotation in page.get("/Annots", [])
        if "/Dest" in annotation.get_object()
    ]
    assert links and set(links) <= set(places)
    front = [page.extract_text() for page in reader.pages[: places[f"{NAMES[1]}--"] - 1]]
    contents = " ".join(" ".join(front).split())
    for name in NAMES[1:]:
        [entry] = [
            entry
            for entry in reader.outline
            if not isinstance(entry, list)
            and reader.get_destination_page_number(entry) + 1 == places[f"{name}--"]
        ]
        assert f"{entry['/Title']} {places[f'{name}--']}" in contents


@pytest.mark.parametrize("module", ["tools.pdf", "tools.quality.lighthouse"])
def test_missing_chromium_is_reported(module):
    run = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={"CHROMIUM": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert run.stderr.startswith(f"make {module.split('.')[-1]}: no Chromium")
    assert len(run.stderr.splitlines()) == 1


BROKEN = {
    "image-alt": "<img src='_static/logo.svg'>",
    "color-contrast": "<div class='highlight'><span class='k' style='color: #ddd'>def</span></div>",
    "request to http://127.0.0.2/": "<img src='http://127.0.0.2/a.png' alt='a'>",
    "Content Security Policy": "<script>document.title = ''</script>",
    "404": "<img src='missing.png' alt='a'>",
    "too wide": "<p style='width: 2000px'>a</p>",
}


@pytest.mark.parametrize("problem, html", BROKEN.items(), ids=BROKEN)
def test_problem_of_a_page_is_found(browser, site, problem, html):
    broken = (SITE / "search.html").read_text("utf-8").replace("<h1>", f"{html}<h1>", 1)
    if problem.startswith("request"):  # which the policy would prevent
        broken = broken.replace("Content-Security-Policy", "x")
    with visit(browser, f"{site}/search.html", broken) as (page, problems):
        found = [*problems, *find_violations(page), *(["too wide"] if overflows(page) else [])]
        assert any(problem in line for line in found), found
