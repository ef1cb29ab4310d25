"""The pictures of the documentation are there, are what they seem, and stay small; no browser is needed for this."""

from pathlib import Path

from PIL import Image

from tests.browser.camera import FILM_BYTES_MAX, FILM_WIDTH, PICTURES_BYTES_MAX, THEMES

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "pictures"
STILLS = [f"{name}-{theme}.png" for name in ("console", "session", "phones") for theme in THEMES]


def test_the_pictures_are_there_and_no_others():
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted([*STILLS, "consult.webp"])
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= PICTURES_BYTES_MAX


def test_every_still_is_a_window_in_its_theme():
    for name in STILLS:
        with Image.open(FOLDER / name) as image:
            assert image.width == 1280
            darkness = 255 - image.convert("L").resize((1, 1)).getpixel((0, 0))
            assert (darkness > 128) is name.endswith("-dark.png"), name


def test_the_picture_that_moves_has_six_to_eight_moments():
    path = FOLDER / "consult.webp"
    assert path.stat().st_size <= FILM_BYTES_MAX
    with Image.open(path) as film:
        assert film.width == FILM_WIDTH
        assert 6 <= film.n_frames <= 8
