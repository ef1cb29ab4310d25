"""The directory's page: its example is valid, its table names every key, and its errors are the code's."""

import re

import pytest

from conferral.runtime.errors import SettingsError
from conferral.telephony.directory import load_directory
from conferral.telephony.directory.file import AGENTS_MAX, FALLBACK_WORDS, REGIONS, DirectoryEntry
from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks
from tests.webhooks.webhook_helpers import settings

PAGE = ROOT / "docs" / "directory.md"
EXAMPLE, *_ = blocks(PAGE, "toml")


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(text):
        (tmp_path / "directory.toml").write_text(text, "utf-8")
        given = settings(TWILIO_NUMBER="+12025550100", CONFERRAL_AGENT=None, CONFERRAL_DIRECTORY="directory.toml")
        return load_directory(given)

    return read


def test_the_example_can_be_read(read):
    directory = read(EXAMPLE)

    assert set(directory.destinations) == {"alice", "billing", "second-line"}
    assert directory.inbound("+12025550100").agents == ("client:alice", "client:bob", "+12025550143")
    assert directory.inbound("+12025550101").agents == (directory.address_of("billing"),)


def test_the_table_names_every_key_and_what_it_takes():
    page = (ROOT / "docs" / "reference" / "directory.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))

    assert list(rows) == list(DirectoryEntry.model_fields)
    assert re.findall(r'`"([a-z]+\d)"`', rows["region"]) == list(REGIONS)
    assert "at most ten" in rows["agents"]
    assert AGENTS_MAX == 10


def test_the_page_names_the_words_that_are_no_names():
    (sentence,) = re.findall(r"([^.]+) can't be names\.", " ".join(PAGE.read_text("utf-8").split()))

    assert {*re.findall(r"`(\w+)`", sentence)} == {*FALLBACK_WORDS}


def test_directory_errors_match_the_documentation_page(read):
    broken = EXAMPLE.replace('"second-line", ', '"third-line", ').replace("record = true", 'beep = "loud"')

    with pytest.raises(SettingsError) as wrong:
        read(broken)

    (shown,) = blocks(PAGE, "text")
    assert "\n".join(wrong.value.problems) + "\n" == shown
