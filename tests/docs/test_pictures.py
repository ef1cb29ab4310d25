"""Pictures fetch nothing, say what they show, and stand where the README wants them."""

import re
from xml.etree import ElementTree

import pytest

from tests.docs.generated import ROOT, load_script

PICTURES = sorted((ROOT / "docs").rglob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"

each_picture = pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)


@each_picture
def test_a_picture_fetches_nothing_from_elsewhere(path):
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")

    assert not re.search(r"https?:|@import|@font-face|<script|<image|url\((?!#)", text)


@each_picture
def test_a_picture_has_a_title_for_those_who_do_not_see_it(path):
    drawing = ElementTree.parse(path).getroot()

    assert drawing.find(f"{SVG}title").text
    assert drawing.get("role") == "img"


def test_the_picture_of_the_demo_is_made_of_what_it_printed():
    script = load_script("picture_of_demo")
    drawn = script.picture("first line\n    +1.30 s  alice answers  [bridged]\n<&>\n")

    shown = "".join(ElementTree.fromstring(drawn).itertext()).replace("\N{NO-BREAK SPACE}", " ")
    for words in ("$ conferral demo --exit", "first line", "+1.30 s", "alice answers", "[bridged]", "<&>"):
        assert words in shown
    assert drawn == script.picture("first line\n    +1.30 s  alice answers  [bridged]\n<&>\n")


def test_demo_picture_shows_the_whole_tour():
    shown = (ROOT / "docs" / "demo.svg").read_text("utf-8").replace("&#160;", " ")

    for state in ("[bridged]", "[converting]", "[conferenced]", "[transferring]", "[ended, customer-left]"):
        assert state in shown


def test_the_readme_shows_a_transfer_before_anything_else_and_then_what_the_demo_prints():
    readme = (ROOT / "README.md").read_text("utf-8")

    assert load_script("picture_of_demo").show_in_readme(readme) == readme
    assert readme.index("docs/pictures/consult.webp") < readme.index("make demo") < readme.index("docs/demo.svg")


def test_pictures_of_pages_say_what_they_show_and_are_there_for_both_themes():
    found = 0
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for picture in re.findall(r"<picture>.*?</picture>", page.read_text("utf-8"), re.DOTALL):
            (dark,) = re.findall(r'<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">', picture)
            ((light, shows),) = re.findall(r'<img src="([^"]+)" alt="([^"]+)">', picture)
            assert dark == light.replace("-light.", "-dark.") != light
            assert len(shows) > 40, page
            found += 1

    assert found >= 3
