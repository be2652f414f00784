"""Numbers in prose: each occurs in its page's code, outputs, or formulas, or has a source."""

import re

import yaml

from tests.test_pages import each_recorded_page, recorded, report
from tools.build.notebook import code_cells, figures, output_text
from tools.project import ROOT, relative

SOURCES = ROOT / "tests" / "prose_numbers.yml"
NUMBER = re.compile(r"(?<![\w.-])\d+(?:,\d{3})*(?:\.\d+)*(?![\w-])")
HEADER = re.compile(r"\A---\n.*?description:", re.S)
CODE_CELL = re.compile(r"^```{code-cell} \w+\n(---\n.*?^---\n)?.*?^```$", re.M | re.S)
FORMULA = re.compile(r"(\$+)(.+?)\1", re.S)
NO_PROSE = re.compile(r"\]\(.*?\)|<\S+?>|^ *\d+\. ", re.M)  # addresses, numbers of a list


def keep_header(match):
    """Return the header of a code cell, which has captions, and all line breaks."""
    header = match[1] or ""
    return "\n" + header + "\n" * (match[0].count("\n") - header.count("\n") - 1)


def keep_lines(match):
    return "\n" * match[0].count("\n")


def evidence(notebook, text):
    """Return the numbers in a page's code cells, outputs, and formulas.

    The code that draws a figure doesn't count, but the text in the figure does.
    """
    texts = [formula for _, formula in FORMULA.findall(text)]
    for cell in code_cells(notebook):
        drawn = re.findall(r"<text.*?>(.*?)<", "".join(figures(cell.outputs)))
        code = "" if drawn else cell.source.replace("_", "")
        texts += [code, output_text(cell.outputs), *drawn]
    return {float(number) for text in texts for number in re.findall(r"\d+\.?\d*|\.\d+", text)}


@each_recorded_page
def test_numbers_in_prose_have_a_source(path):
    text = HEADER.sub(keep_lines, path.read_text("utf-8"))
    text = CODE_CELL.sub(keep_header, text)
    known = evidence(recorded(path), text)
    prose = NO_PROSE.sub(keep_lines, FORMULA.sub(keep_lines, text))
    listed = yaml.safe_load(SOURCES.read_text("utf-8"))
    reviewed = listed["every page"].keys() | listed.get(path.stem, {})
    used, problems = set(), []
    for line, words in enumerate(prose.splitlines(), 1):
        for number in NUMBER.findall(words):
            value = number.replace(",", "")
            if value.count(".") > 1 or float(value) not in known:  # 1.9.1 is a version
                used.add(number)
                if number not in reviewed:
                    problems.append(f"{relative(path)}:{line}: {number}")
    if problems:
        problems.append(
            "These numbers are in no code, output, or formula of their page. Correct the sentence, "
            f"or, if it's right, list the number in {relative(SOURCES)} with its source."
        )
    for number in listed.get(path.stem, {}).keys() - used:
        problems.append(f"{relative(SOURCES)}: {path.stem}: the entry {number} isn't needed")
    report(problems)
