"""Generated pages are those that the code would make now."""

import re

import pytest

from tests.docs.generated import ROOT, generated_names, generated_page, load_script


@pytest.mark.parametrize("name", generated_names())
def test_a_generated_page_is_up_to_date(name):
    path = ROOT / name

    assert path.exists(), "run `make docs` and commit what it wrote"
    assert path.read_text("utf-8") == generated_page(name), "run `make docs` and commit what it changed"


def test_generated_pages_are_all_that_there_is_in_the_reference():
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "reference").iterdir()}

    assert there == {name for name in generated_names() if name.startswith("docs/reference/")}


def test_the_page_of_log_events_says_what_each_event_means():
    module = load_script("log_events_page")

    assert module.MEANINGS.keys() == load_script("source_notes").log_levels().keys()
    for meaning in module.MEANINGS.values():
        assert meaning.endswith(".")


def test_sentences_of_the_api_page_are_complete():
    page = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
    assert not [line for line in page.splitlines() if re.search(r", \.|\.\.(?!/)", line)]
    assert "- `status` (body): whether the agent wants to take calls: `away` or `ready`" in page
