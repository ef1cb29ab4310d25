"""Each row of a table has a header and as many cells: other rows are shown as plain text, or cut off."""

import re
from pathlib import Path

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


def uneven(text: str) -> list[str]:
    """Rows of tables that have other numbers of cells than their headers."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found, header = [], 0
    for line in plain.splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        header = (header or bars) if bars else 0
        if bars != header:
            found.append(line)
    return found


@each_page
def test_every_row_of_a_table_has_the_cells_of_its_header(markdown: Path) -> None:
    assert uneven(markdown.read_text("utf-8")) == []


@each_page
def test_every_row_of_a_table_has_a_header(markdown: Path) -> None:
    assert torn(markdown.read_text("utf-8")) == []
