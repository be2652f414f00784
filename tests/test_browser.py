"""Every page in a browser: as people and their browsers meet it."""

import json
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from pypdf import PdfReader
from tools.serve import ROOT, SITE, names, serving

NAMES = [*names(), "search"]
WIDE, NARROW = {"width": 1300, "height": 900}, {"width": 400, "height": 800}
BEFORE_SCROLLING = 250 * 1024

each_page = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def site():
    with serving() as address:
        yield address


@contextmanager
def visit(browser, address, text=None, **settings):
    """A page in a window of its own, and the list of what it complains about.

    The page is the one at the address, or this text in its place.
    """
    with browser.new_context(**settings) as context:
        page = context.new_page()
        if text is not None:
            page.route(address, lambda r: r.fulfill(body=text, content_type="text/html"))
        complaints = []
        here = urlsplit(address)[:2]

        def said(message):
            if message.type in ("error", "warning"):
                complaints.append(message.text)

        def asked(request):
            if urlsplit(request.url)[:2] != here and not request.url.startswith("data:"):
                complaints.append(f"asks for {request.url}")

        page.on("console", said)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", asked)
        page.goto(address, wait_until="load")
        page.wait_for_selector("details:not(.measured)", state="detached")
        yield page, complaints


# How well a text is read depends on how it looks and on what lies behind it. A page has
# hundreds of texts of some dozen kinds, and axe takes 4 ms for each.
ONE_OF_EACH_KIND = """() => {
  const backdrops = new Map([[null, ""]]), seen = new Set();
  function backdrop(node) {
    if (!backdrops.has(node)) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(node);
      const own = backgroundColor + backgroundImage + opacity;
      backdrops.set(node, backdrop(node.parentElement) + own);
    }
    return backdrops.get(node);
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.parentElement;
    const seeable = { checkOpacity: true, checkVisibilityCSS: true };
    if (!texts.currentNode.data.trim() || !text.checkVisibility(seeable)) continue;
    const { color, fontSize, fontWeight, textShadow, position } = getComputedStyle(text);
    const region = text.closest("header, nav, aside, main, footer, dialog, button")?.localName;
    const looks = [color, fontSize, fontWeight, textShadow, position];
    const kind = [region, ...looks, backdrop(text)].join();
    if (!seen.has(kind)) text.setAttribute("data-axe", "");
    seen.add(kind);
  }
  const again = ":is(.highlight span, .math):not([data-axe], :has([data-axe]))";
  for (const part of document.querySelectorAll(again)) part.replaceWith(...part.childNodes);
}"""
ITS_CONTRAST = {"rules": [{"id": "color-contrast", "selector": "[data-axe]"}]}
AXE = Axe(f"{Axe().axe_script}\naxe.configure({json.dumps(ITS_CONTRAST)})")


def barriers(page):
    """What axe finds, a line each; the page loses the tags of code that looks like other."""
    page.evaluate(ONE_OF_EACH_KIND)
    found = AXE.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{v['id']}: {n['html']}: {n['failureSummary']}" for v in found for n in v["nodes"]]


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def unfold(page):
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    # What unfolds fades in; until then its colours are paler.
    page.evaluate("Promise.all(document.getAnimations().map(one => one.finished)).then(() => 0)")


@each_page
@pytest.mark.parametrize("colours, window", [("light", WIDE), ("dark", NARROW)])
def test_a_page_keeps_nobody_out(browser, site, name, colours, window):
    settings = {"viewport": window, "color_scheme": colours}
    with visit(browser, f"{site}/{name}.html", **settings) as (page, complaints):
        assert page.get_attribute("html", "data-theme") == colours
        assert overflow(page) <= 0
        unfold(page)
        assert overflow(page) <= 0
        assert barriers(page) == []
        assert complaints == []


@each_page
def test_a_page_is_light(browser, site, name):
    with browser.new_context(viewport=NARROW) as context:
        page = context.new_page()
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        sizes = []
        network.on("Network.loadingFinished", lambda e: sizes.append(e["encodedDataLength"]))
        page.goto(f"{site}/{name}.html", wait_until="networkidle")
        blocking = "script[src]:not([defer])"
        assert page.locator(blocking).count() == 0
        assert page.locator("link[rel=stylesheet]").count() == 1
    assert 0 < sum(sizes) <= BEFORE_SCROLLING


@each_page
def test_a_page_works_from_its_folder(browser, name):
    address = (SITE / f"{name}.html").as_uri()
    with visit(browser, address, viewport=WIDE) as (page, complaints):
        # One of each kind, from the outermost inwards; what is folded cannot be focused.
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
        assert all(h > 5 for h in page.eval_on_selector_all("math", heights))
        assert complaints == []


CLIPBOARDS = {"new": "", "old": "delete Navigator.prototype.clipboard"}


@pytest.mark.parametrize("clipboard", CLIPBOARDS)
def test_code_is_copied_from_a_folder(browser, clipboard):
    address = (SITE / f"{names()[1]}.html").as_uri()
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.goto(address)
        page.clock.install()
        page.evaluate(CLIPBOARDS[clipboard])
        page.hover(".cell_input >> nth=1")
        page.click(".copybtn >> nth=1")
        page.wait_for_selector("text=Copied")
        field = page.locator("body").evaluate_handle(
            "body => body.appendChild(document.createElement('textarea'))"
        )
        field.as_element().focus()
        page.keyboard.press("Control+V")
        code = page.locator(".cell_input pre >> nth=1").text_content()
        assert field.as_element().input_value() == code.rstrip()
        page.clock.fast_forward(2000)
        page.wait_for_selector("text=Copied", state="detached")


def test_search_lists_from_a_folder(browser):
    address = (SITE / "search.html").as_uri() + "?q=relu"
    with visit(browser, address) as (page, complaints):
        page.wait_for_selector("#search-results li a")
        # Not every browser shares what the search page stored.
        page.add_init_script("localStorage.clear()")
        page.click("#search-results li a")
        page.wait_for_selector(".highlighted")
        page.click(".highlight-link a")
        assert page.locator(".highlighted").count() == 0
        assert complaints == []


def test_search_shows_excerpts_where_it_can(browser, site):
    with visit(browser, f"{site}/search.html?q=relu") as (page, complaints):
        page.wait_for_selector("#search-results li .highlighted")
        assert complaints == []


def focused(page, selector):
    return page.evaluate("s => document.activeElement.matches(s)", selector)


@each_page
def test_the_keyboard_reaches_everything(browser, site, name):
    with visit(browser, f"{site}/{name}.html", viewport=WIDE) as (page, _):
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Tab")
        assert focused(page, "#pst-skip-link a")
        page.keyboard.press("Enter")
        page.wait_for_url("**/*#main-content")
        page.keyboard.press("Tab")
        assert focused(page, "main *")

        # From there to the end, and from the beginning to there.
        page.evaluate("""() => {
            window.unseen = [];
            addEventListener("focusin", ({ target }) => {
                const { outlineStyle, boxShadow } = getComputedStyle(target);
                if (outlineStyle + boxShadow === "nonenone") unseen.push(target.outerHTML);
                window.again = "reached" in target.dataset;
                target.dataset.reached = "";
            });
        }""")
        while not page.evaluate("window.again"):
            for _ in range(10):
                page.keyboard.press("Tab")
        assert page.evaluate("unseen") == []
        # (The contents of the page unfold and fold as one scrolls.)
        missed = ":is(a[href], summary, button):not([data-reached], .bd-toc-nav *)"
        missed = page.locator(f"{missed} >> visible=true")
        assert [tag.evaluate("tag => tag.outerHTML") for tag in missed.all()] == []


def test_the_mouse_and_the_keyboard_name_what_has_only_an_icon(browser, site):
    with visit(browser, f"{site}/book/index.html", viewport=WIDE) as (page, complaints):
        button = page.locator(".theme-switch-button:visible")
        tooltip = page.get_by_role("tooltip")
        for name in (button.hover, button.focus):
            name()
            expect(tooltip).to_have_text("light/dark")
            page.mouse.move(0, 0)
            page.evaluate("document.activeElement.blur()")
            expect(tooltip).to_have_count(0)
        assert not complaints


def test_code_that_a_turned_screen_cuts_off_is_reached(browser, site):
    with visit(browser, f"{site}/book/when-it-fails.html", viewport=WIDE) as (page, _):
        folded = page.locator("details.hide").first
        folded.locator("summary").click()
        code = folded.locator("pre")
        expect(code).to_have_attribute("tabindex", "-1")
        page.set_viewport_size(NARROW)
        expect(code).to_have_attribute("tabindex", "0")


@each_page
def test_paper_shows_the_text_alone(browser, site, name):
    with visit(browser, f"{site}/{name}.html", viewport=WIDE) as (page, _):
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        navigation = ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article"
        away = f":is({navigation}, .copybtn, .headerlink)"
        assert page.locator(away).count() > 0
        assert page.locator(f"{away} >> visible=true").count() == 0


def test_the_pdf_is_whole(browser):
    subprocess.run([sys.executable, "-m", "tools.pdf"], cwd=ROOT, check=True)
    reader = PdfReader(ROOT / "_build" / "book.pdf")
    places = {
        name.lstrip("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }
    links = [
        annotation.get_object()["/Dest"].lstrip("/")
        for page in reader.pages
        for annotation in page.get("/Annots", [])
        if "/Dest" in annotation.get_object()
    ]
    assert links and set(links) <= set(places)
    _, first, *_ = names()
    front = [page.extract_text() for page in reader.pages[: places[f"{first}--"] - 1]]
    text = " ".join(" ".join(front).split())
    for name in names()[1:]:
        [title] = [o for o in reader.outline if not isinstance(o, list)
                   and reader.get_destination_page_number(o) + 1 == places[f"{name}--"]]
        assert f"{title['/Title']} {places[f'{name}--']}" in text


def test_a_machine_without_chromium_is_told():
    for tool in ("pdf", "lighthouse"):
        run = subprocess.run(
            [sys.executable, "-m", f"tools.{tool}"],
            cwd=ROOT,
            env={"CHROMIUM": "/nowhere"},
            capture_output=True,
            text=True,
        )
        assert run.returncode != 0
        assert run.stderr.startswith(f"make {tool}: no Chromium")
        assert len(run.stderr.splitlines()) == 1


BROKEN = {
    "image-alt": "<img src='_static/favicon.svg'>",
    "color-contrast": "<div class='highlight'><span class='k' style='color: #ddd'>def</span></div>",
    "asks for http://127.0.0.2/": "<img src='http://127.0.0.2/a.png' alt='a'>",
    "Content Security Policy": "<script>document.title = ''</script>",
    "404": "<img src='missing.png' alt='a'>",
    "too wide": "<p style='width: 2000px'>a</p>",
}


@pytest.mark.parametrize("problem, html", BROKEN.items(), ids=BROKEN)
def test_a_broken_page_is_noticed(browser, site, problem, html):
    whole = (SITE / "search.html").read_text("utf-8")
    broken = whole.replace("<h1>", f"{html}<h1>", 1)
    if problem in ("color-contrast", "too wide", "asks for http://127.0.0.2/"):
        # which the policy prevents
        broken = broken.replace("Content-Security-Policy", "x")
    with visit(browser, f"{site}/search.html", broken) as (page, complaints):
        found = [*complaints, *barriers(page), *(["too wide"] if overflow(page) > 0 else [])]
        assert any(problem in line for line in found), found
