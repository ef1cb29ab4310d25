"""The pictures of the documentation are there, are what they seem, and stay small; no browser is needed for this."""

from pathlib import Path

from tests.browser.camera import PICTURES_BYTES_MAX, THEMES

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "pictures"
STILLS = [
    f"{name}-{theme}.png" for name in ("console", "session", "agents", "report", "phones", "desk") for theme in THEMES
]


def test_the_pictures_are_there_and_no_others():
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted([*STILLS, "consult.webp"])
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= PICTURES_BYTES_MAX
