"""What all generated pages share: paragraphs, tables, and the note at the top."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Generated from {source} by `make docs`; changes by hand are lost. -->\n"


def page(source: str, *parts: str) -> str:
    """Return a page that says what it is made from."""
    return NOTE.format(source=source) + "\n".join(parts).rstrip("\n") + "\n"


def prose(text: str) -> str:
    """Return a paragraph in lines."""
    return textwrap.fill(text, 119, break_long_words=False, break_on_hyphens=False) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def words(values: Iterable[str]) -> str:
    """Return values as code, separated by commas."""
    return ", ".join(f"`{value}`" for value in values)
