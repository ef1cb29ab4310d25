"""The pictures of the documentation are there, are what they seem, and stay small; no browser is needed for this."""

from pathlib import Path

from tests.browser.camera import PICTURES_BYTES_MAX, THEMES

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "pictures"
STILLS = [
    f"{name}-{theme}.png"
    for name in ("console", "session", "agents", "report", "phones", "desk", "offhook")
    for theme in THEMES
]


def test_the_pictures_are_there_and_no_others():
    size = {path.relative_to(FOLDER).as_posix(): path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()}
    assert sorted(size) == sorted([*STILLS, "consult.webp"])
    assert sum(size.values()) <= PICTURES_BYTES_MAX
