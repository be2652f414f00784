"""One style sheet from many: the rules that the pages can use, and their icons."""

import base64
import io
import logging
import os.path
import re

import tinycss2
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

# Where an icon font has its glyphs, written as escapes or as they are.
ICON = re.compile(r"\\([ef][0-9a-f]{3})\b|([\ue000-\uf8ff])", re.IGNORECASE)
ADDRESS = re.compile(r"""\burl\((?!['"]?(?:data:|#))['"]?([^'")]*)['"]?\)""")

logging.getLogger("fontTools").setLevel("WARNING")  # it tells each step


def lean(sheets, words, folder):
    """A style sheet for `folder`, from others, for pages and scripts of these words.

    A rule stays if every class, id and attribute that its selector names is a word. An
    icon font shrinks to the icons of the rules that stay.
    """
    faces, texts = [], []
    for sheet, rule in (pair for sheet in sheets for pair in rules(sheet)):
        if rule.type == "at-rule" and rule.lower_at_keyword == "font-face":
            faces.append((sheet, rule.serialize()))
        else:
            text = "".join(used([rule], words))
            where = os.path.relpath(sheet.parent, folder)
            texts.append(ADDRESS.sub(rf"url({where}/\1)", text))
    text = "".join(texts)
    icons = {int(code, 16) if code else ord(raw) for code, raw in ICON.findall(text)}
    return "".join(face(*pair, text, icons) for pair in faces) + text


def rules(sheet):
    """The rules of a style sheet and of those that it imports, each with its sheet."""
    for rule in tinycss2.parse_stylesheet(sheet.read_text("utf-8"), True, True):
        if rule.type == "error":
            raise ValueError(f"{sheet}:{rule.source_line}: {rule.message}")
        if rule.type == "at-rule" and rule.lower_at_keyword == "import":
            [name] = (t.value for t in rule.prelude if t.type in ("string", "url"))
            yield from rules(sheet.parent / name)
        else:
            yield sheet, rule


def used(rules, words):
    """The rules that can apply to something, as text."""
    for rule in rules:
        if rule.type == "qualified-rule":
            parts = [p for p in selectors(rule.prelude) if words.issuperset(names(p))]
            if parts:
                heads = ",".join(tinycss2.serialize(part).strip() for part in parts)
                yield f"{heads}{{{compact(rule.content)}}}"
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
            inner = tinycss2.parse_blocks_contents(rule.content, True, True)
            if text := "".join(used(inner, words)):
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{text}}}"
        else:
            yield rule.serialize()


def selectors(prelude):
    """The selectors of a list, each as its tokens."""
    part = []
    for token in prelude:
        if token == ",":
            yield part
            part = []
        else:
            part.append(token)
    yield part


def names(selector):
    """The classes, ids and attributes without which a selector finds nothing."""
    for token, after in zip(selector, [*selector[1:], None]):
        if token.type == "hash":
            yield token.value
        elif token == "." and after.type == "ident":
            yield after.value
        elif token.type == "[] block":
            yield next(t.value for t in token.content if t.type == "ident")


def compact(content):
    text = tinycss2.serialize([t for t in content if t.type != "comment"])
    return re.sub(r"\s+", " ", text).strip(" ;")


def face(sheet, rule, text, icons):
    """A font that the text names, as a rule that holds the glyphs of the icons."""
    family = re.search(r"font-family:\s*['\"]?(.*?)['\"]?\s*[;}]", rule)[1]
    source = re.search(r"url\(['\"]?([^'\")]*\.ttf)", rule)
    if family.replace("\\", "") not in text.replace("\\", ""):
        return ""
    if not source:
        raise ValueError(f"{sheet}: no .ttf in {rule}")
    font = TTFont(sheet.parent / source[1], recalcTimestamp=False)
    if not icons & set(font.getBestCmap()):
        return ""
    subsetter = Subsetter(Options(layout_features=[]))
    subsetter.populate(unicodes=icons)
    subsetter.subset(font)
    font.flavor = "woff"
    font.save(file := io.BytesIO())
    data = base64.b64encode(file.getvalue()).decode()
    return re.sub(r"src:[^;}]*", f"src:url(data:font/woff;base64,{data})", rule)
