"""Pictures fetch nothing, say what they show, and stand where the README wants them."""

import re
from xml.etree import ElementTree

import pytest

from tests.docs.generated import ROOT

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
