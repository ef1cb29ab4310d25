"""The pictures of the documentation are there, are what they seem, and stay small; no browser is needed for this."""

from pathlib import Path

from tests.browser.camera import PICTURES_BYTES_MAX, THEMES

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "pictures"
STILLS = [
    f"{name}-{theme}.png" for name in ("console", "session", "agents", "report", "phones", "desk") for theme in THEMES
]
#: Of the console before it was made for the lead of a shift; they are never retaken.
BEFORE = [f"before/{name}-{theme}.png" for name in ("console", "session", "report") for theme in THEMES]
BEFORE_BYTES_MAX = 600_000


def test_the_pictures_are_there_and_no_others():
    size = {path.relative_to(FOLDER).as_posix(): path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()}
    before = sum(size.get(name, 0) for name in BEFORE)
    assert sorted(size) == sorted([*STILLS, *BEFORE, "consult.webp"])
    assert before <= BEFORE_BYTES_MAX
    assert sum(size.values()) - before <= PICTURES_BYTES_MAX
