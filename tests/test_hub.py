"""A Hub: what builds its image, and the button that leads there."""

import re

import pytest
from bs4 import BeautifulSoup
from tests.conftest import RECORDED
from tools.pages import ROOT, pages

NAMES = [page.stem for page in pages()]


def launchers(site, name):
    soup = BeautifulSoup((site / "book" / f"{name}.html").read_text("utf-8"), "html.parser")
    return [link["href"] for link in soup.select(".dropdown-launch-buttons a")]


def test_a_hub_installs_the_lock_with_our_python():
    assert (ROOT / "binder" / "requirements.txt").read_text() == "-r ../requirements.txt\n"
    python = (ROOT / "binder" / "runtime.txt").read_text().strip()
    assert f"\npython={python.removeprefix('python-')}\n" in (ROOT / "tools" / "install.sh").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_without_a_hub_there_is_no_launch_button(name):
    assert launchers(ROOT / "_build" / "html", name) == []


def test_a_launch_button_opens_its_page_on_the_hub(checkout):
    checkout.write("2 + 2")
    # as the README says
    [lines] = re.findall("```yaml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    with (checkout.folder / "_config.yml").open("a", encoding="utf-8") as config:
        config.write("\n" + lines)
    site = checkout.builds()
    address = "https://YOUR.HUB/v2/gh/YOU/REPOSITORY/main?urlpath=lab/tree/book/page.ipynb"
    assert launchers(site, "page") == [address]
    assert (site / "_sources" / "book" / "page.ipynb").read_text() == RECORDED
