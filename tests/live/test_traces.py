"""Traces of real accounts hold no number, no SID, and no URL."""

import json
import re
from pathlib import Path

from tests.support.each import each

FOLDER = Path(__file__).parent / "traces"
PRIVATE = re.compile(r"\+\d{6,}|\b[A-Z]{2}[0-9a-f]{32}\b|https?://|@")
NAME = re.compile(r"(us1|ie1|au1)-20\d\d-\d\d-[a-z]+\.json")


def problems(name: str, text: str) -> list[str]:
    json.loads(text)
    return [*PRIVATE.findall(text), *([] if NAME.fullmatch(name) else [name])]


def test_traces_have_nothing_private() -> None:
    found = {one.name: problems(one.name, one.read_text("utf-8")) for one in FOLDER.glob("*.json")}
    assert {name: of for name, of in found.items() if of} == {}


@each("private", ["+14155550123", "CA" + "0" * 32, "https://voice.example.com/x", "alice@example.com"])
def test_what_is_private_is_found(private: str) -> None:
    assert problems("us1-2027-01-business.json", json.dumps({"a": private})) != []


def test_name_says_region_month_and_account() -> None:
    assert problems("us1-2027-01-business.json", "{}") == []
    assert problems("mine.json", "{}") == ["mine.json"]


def test_the_page_says_whether_there_are_any() -> None:
    page = (FOLDER.parent / "README.md").read_text("utf-8")
    assert ("It is empty" in page) == (not [*FOLDER.glob("*.json")])
