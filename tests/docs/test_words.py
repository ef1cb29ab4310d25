"""The pages that people read stay short enough to be read."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.generated import ROOT

#: Words of all these pages together; docs/reference is generated, and not read as a whole.
WORDS_MAX = 36_000
#: What isn't read as words: comments, diagrams, fences of code, what links lead to, and bars of tables.
NOT_READ = re.compile(
    r"<!--.*?-->|^ *```mermaid\n.*?^ *```$|^ *```.*?$|(?<=\])\([^)\s]*\)|(?<=\])\[[^\]\s]*\]|\|",
    re.DOTALL | re.MULTILINE,
)


def words_in(text: str) -> int:
    return sum(1 for one in NOT_READ.sub(" ", text).split() if re.search(r"\w", one))


def pages() -> Iterator[Path]:
    yield from (ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))
    yield from (page for page in (ROOT / "docs").rglob("*.md") if "reference" not in page.parts)


def test_only_words_that_are_read_count() -> None:
    text = "<!-- no -->\n# One two\n\n| [three](a.md) | - |\n\n```mermaid\nno\n```\n\n```sh\nfour --five   # six\n```\n"

    assert words_in(text) == 6


def test_the_pages_are_short_enough_to_be_read() -> None:
    counts = {str(page.relative_to(ROOT)): words_in(page.read_text("utf-8")) for page in pages()}
    longest = sorted(counts.items(), key=lambda one: -one[1])

    assert sum(counts.values()) <= WORDS_MAX, "\n".join(
        [
            f"{sum(counts.values()):,} words to read, at most {WORDS_MAX:,}: say it once, or move it to docs/reference",
            *(f"{count:6,} {name}" for name, count in longest),
        ]
    )
