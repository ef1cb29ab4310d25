"""The files of all pages: what their modules ask for is there, text never becomes markup, colours can be read."""

import itertools
import re
from pathlib import Path

import pytest

from conferral.runtime.web import pages
from tests.support.each import each

ROOT = Path(__file__).resolve().parents[2]
PAGES = {conference: ROOT / "conferral" / conference / "static" for conference in ("console", "sandbox")}
OWN = [
    path
    for folder in (pages.SHARED_FOLDER, *PAGES.values())
    for path in sorted(folder.rglob("*"))
    if path.suffix in (".js", ".css") and "vendor" not in path.parts
]
MODULE_LINES_MAX = 500
IMPORT = re.compile(r"""^(?:import|export)\b[^"';(=]*?["']([^"']+)["'];?$""", re.MULTILINE)
BARE = {"preact", "preact/hooks", "htm/preact", "@preact/signals"}
#: What would make text from outside markup, a script or a style, or what the page's policy blocks without a word.
NEVER = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|createContextualFragment|document\.write"
    r"|\beval\(|new Function|\bstyle=\"|javascript:|\bon[a-z]+=\""
)
FOREIGN = re.compile(r"""(?:url\(|@import|fetch\(|from\s)\s*["']?https?:""")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def served_as(path: Path) -> list[Path]:
    """Where a file may be found by its neighbors: on a page, `shared/` is next to the page's own files."""
    if path.exists():
        return [path]
    parts = path.parts
    if "shared" not in parts:
        return []
    found = pages.SHARED_FOLDER.joinpath(*parts[parts.index("shared") + 1 :])
    return [found] if found.exists() else []


@each("path", [path for path in OWN if path.suffix == ".js"])
def test_modules_ask_for_what_there_is(path: Path) -> None:
    missing = [
        wanted
        for wanted in IMPORT.findall(path.read_text("utf-8"))
        if wanted not in BARE and not (wanted.startswith(".") and served_as((path.parent / wanted).resolve()))
    ]
    assert not missing


@each("path", OWN)
def test_text_never_becomes_markup_and_modules_are_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not NEVER.findall(text)
    assert not FOREIGN.findall(text)
    if path.suffix == ".js":
        assert len(text.splitlines()) <= MODULE_LINES_MAX


# ---- colours ---------------------------------------------------------------------------------------------------------

TOKENS = (pages.SHARED_FOLDER / "tokens.css").read_text("utf-8")
COLOUR = re.compile(r"--([a-z-]+): (?:light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)|(#[0-9a-f]{6}));")
STATES = [f"state-{state}" for state in ("bridged", "converting", "conferenced", "transferring", "ended")]
GROUNDS = ("page", "panel", "raised", "chosen")
TEXTS = ("text", "muted", "link", "good", "warn", "bad", *STATES)
#: Text that has a ground of its own.
PAIRS = [
    *itertools.product(TEXTS, GROUNDS),
    ("good", "good-ground"),
    ("warn", "warn-ground"),
    ("bad", "bad-ground"),
    ("text", "bad-ground"),
    ("link", "bad-ground"),
    ("muted", "bad-ground"),
    ("on-fill", "fill"),
    ("on-fill", "bad-fill"),
]


def colours(theme: int) -> dict[str, str]:
    """The tokens of a theme: 0 is light, 1 is dark."""
    return {name: both or (light, dark)[theme] for name, light, dark, both in COLOUR.findall(TOKENS)}


def luminance(colour: str) -> float:
    """Relative luminance. Source: Web Content Accessibility Guidelines 2.2, "relative luminance"."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


EDGES = [*itertools.product(("border", "focus"), GROUNDS)]


@pytest.mark.parametrize(("pairs", "least"), [(PAIRS, 4.5), (EDGES, 3)], ids=["texts", "controls-and-focus"])
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_what_is_drawn_has_sufficient_contrast_on_every_ground(
    theme: int, pairs: list[tuple[str, str]], least: float
) -> None:
    of = colours(theme)
    poor = {
        f"{drawn} on {ground}": round(found, 2)
        for drawn, ground in pairs
        if (found := contrast(of[drawn], of[ground])) < least
    }
    assert not poor
