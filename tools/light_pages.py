"""Sphinx extension: each page light, and bound to its own host.

The theme sends every page its whole icon library, three icon fonts and all its styles,
and runs its scripts before the first paint. `Templates` rewrites what the theme's templates
give: scripts wait, one style sheet takes the place of all, and a policy forbids every
other host. `write_styles` puts into that sheet what the pages use.
"""

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from lean_styles import lean
from sphinx.errors import ExtensionError
from sphinx.jinja2glue import BuiltinTemplateLoader
from sphinx.util.images import get_image_size

STYLES = "_static/site.css"
# Nothing from elsewhere; of inline scripts, those that the page itself brings.
POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'"
)
# Before the first paint: the colours that the reader's system asks for.
THEME = """<script>{
  const page = document.documentElement.dataset;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  if (page.mode === "auto") page.theme = dark ? "dark" : "light";
}</script>"""

SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
STYLE = re.compile(r"<link\b[^>]*\brel=\"stylesheet\"[^>]*>")
PRELOAD = re.compile(r"<link\b[^>]*\brel=\"preload\"[^>]*>\s*")
HREF = re.compile(r'\bhref="([^"]*)"')
HANDLER = re.compile(r'(<[a-z][^<>]*)\son([a-z]+)="([^"]*)"')
# What book.js does for a button of the theme.
HANDLERS = {("click", "window.print()"), ("click", "toggleFullScreen()")}
WRITTEN = re.compile(r"\s*document\.write\(`(.*)`\);\s*", re.DOTALL)
DEFERRED = ' defer="defer"'
# What most names and signs in code are: coloured as the code around them.
PLAIN = re.compile(r'<span class="[npw]">([^<]*)</span>')
# Code, but no output of it, with a button that book.js serves: buttons that a script adds
# cost each long page a second layout.
CODE = re.compile(r'<div class="highlight-(?!myst-ansi)[^"]*"><div class="highlight">')
COPY = '<button type="button" class="copybtn" aria-live="polite">Copy</button>'
IMAGE = re.compile(r'<img\b[^>]*\bsrc="([^"]*/_images/([^"]*))"')


class Templates(BuiltinTemplateLoader):
    """Sphinx's templates, whose pages come out light."""

    def init(self, builder, theme=None, dirs=None):
        super().init(builder, theme, dirs)
        self.builder = builder

    def render(self, template, context):
        text = super().render(template, context)
        return self.light(text, context) if "<head>" in text else text

    def light(self, text, context):
        links = STYLE.findall(text)
        if not links:
            raise ExtensionError(f"{context['pagename']}: the theme links no style sheet")
        page = f"{context['pagename']}.html"
        paths = (urljoin(page, urlsplit(HREF.search(link)[1]).path) for link in links)
        self.builder.style_sheets = {**getattr(self.builder, "style_sheets", {}), **dict.fromkeys(paths)}
        sheet = f'<link rel="stylesheet" href="{context["content_root"]}{STYLES}">'
        text = STYLE.sub("", PRELOAD.sub("", text).replace(links[0], "\0", 1))
        text = text.replace("\0", THEME + sheet)
        text = IMAGE.sub(self.sized, PLAIN.sub(r"\1", text))
        text = CODE.sub(rf"\g<0>{COPY}", text)
        text = text.replace('data-bs-toggle="tooltip"', "data-tooltip")  # for book.js

        allowed = set()
        text = HANDLER.sub(self.named, text)
        text = SCRIPT.sub(lambda match: self.waiting(*match.groups(), allowed), text)
        hashes = (hashlib.sha256(script.encode()).digest() for script in allowed)
        hashes = sorted(f"'sha256-{base64.b64encode(h).decode()}'" for h in hashes)
        policy = POLICY.format(scripts=" ".join(hashes))
        head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        if 'name="description"' not in text:
            title = re.search("<title>(.*?)</title>", text)[1]
            head += f'<meta name="description" content="{title}">'
        # The logo and the search button stand outside of all landmarks.
        sidebar = '<div class="bd-sidebar-primary'
        text = text.replace(sidebar, f'<div role="region" aria-label="Site" {sidebar[5:]}')
        # An empty corner of a table heads nothing.
        text = text.replace('<th class="head"><p></p></th>', "<td></td>")
        return re.sub(r"(<meta charset=[^>]*>)", rf"\1{head}", text, count=1)

    def waiting(self, attributes, body, allowed):
        """A script that lets the page be painted first."""
        if "fontawesome" in attributes:
            return ""  # the icons come from its font
        if written := WRITTEN.fullmatch(body):
            return written[1]
        if "src=" in attributes:
            return f"<script defer{attributes.replace(DEFERRED, '')}></script>"
        if "DOCUMENTATION_OPTIONS" in body:
            attributes += ' type="module"'  # after the script that defines it
        allowed.add(body)
        return f"<script{attributes}>{body}</script>"

    def named(self, handler):
        """A tag whose inline handler is left to book.js."""
        if handler.group(2, 3) not in HANDLERS:
            raise ExtensionError(f"book.js has nothing for the theme's {handler[0]}")
        return f'{handler[1]} data-{handler[2]}="{handler[3]}"'

    def sized(self, image):
        """An image that takes its room before it is loaded, and is loaded when needed."""
        [source] = (s for s, d in self.builder.images.items() if d == unquote(image[2]))
        path = Path(self.builder.srcdir, source)
        if path.suffix == ".svg":
            root = re.search(r"<svg\b[^>]*>", path.read_text("utf-8"))[0]
            size = [
                round(float(re.search(rf'\s{name}="([\d.]+)pt"', root)[1]) * 4 / 3)
                for name in ("width", "height")
            ]
        else:
            size = get_image_size(path)
        return f'{image[0]} width="{size[0]}" height="{size[1]}" loading="lazy"'


def write_styles(app, exception):
    """Write the one style sheet, and name it anew in the pages when it has changed."""
    sheets = getattr(app.builder, "style_sheets", None)
    if exception or not sheets:
        return
    out = Path(app.outdir)
    pages = {path: path.read_text("utf-8") for path in out.rglob("*.html")}
    pages = {path: text for path, text in pages.items() if STYLES in text}
    scripts = {
        out / urljoin(path.relative_to(out).as_posix(), urlsplit(source).path)
        for path, text in pages.items()
        for source in re.findall(r'<script\b[^>]* src="([^"]*)"', text)
    }
    words = {
        word
        for text in [*pages.values(), *(path.read_text("utf-8") for path in scripts)]
        for word in re.findall(r"[\w-]+", text)
    }
    text = lean([out / sheet for sheet in sheets], words, (out / STYLES).parent)
    (out / STYLES).write_text(text, "utf-8")
    version = hashlib.sha256(text.encode()).hexdigest()[:8]
    for path, text in pages.items():
        path.write_text(text.replace(f'{STYLES}"', f'{STYLES}?v={version}"', 1), "utf-8")


def setup(app):
    app.config.template_bridge = "light_pages.Templates"
    # after the theme has written its colours for code
    app.connect("build-finished", write_styles, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
