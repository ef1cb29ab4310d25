"""Every row of a table belongs to a table with a header: one that a sentence has cut off is shown as plain text."""

import re
from pathlib import Path

import pytest

from tests.docs.markdown_files import each_page

DELIMITER = re.compile(r"\|(?: *:?-+:? *\|)+")


def torn(text: str) -> list[str]:
    """First lines of apparent tables that have no header, or no line of dashes below it."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found, rows = [], []
    for line in [*plain.splitlines(), ""]:
        if line.startswith("|"):
            rows.append(line)
            continue
        if rows and (len(rows) < 2 or not DELIMITER.fullmatch(rows[1].strip())):
            found.append(rows[0])
        rows = []
    return found


@each_page
def test_every_row_of_a_table_has_a_header(markdown: Path) -> None:
    assert torn(markdown.read_text("utf-8")) == []


@pytest.mark.parametrize("rest", ["| 3 | 4 |", "| 3 | 4 |\n| 5 | 6 |"])
def test_a_table_that_a_sentence_cuts_is_found(rest: str) -> None:
    whole = "| a | b |\n| --- | ---: |\n| 1 | 2 |\n"

    assert torn(whole) == []
    assert torn(f"{whole}\nA sentence.\n{rest}\n") == ["| 3 | 4 |"]
