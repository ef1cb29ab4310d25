"""The files of all pages: what their modules ask for is there, and text never becomes markup."""

import re
from pathlib import Path

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
