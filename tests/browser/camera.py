"""Takes the pictures of the documentation, where `make pictures` asks for them; else it takes none."""

import asyncio
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.async_api import Locator, Page

THEMES = ("light", "dark")
#: Of the picture that moves, in px and ms.
FILM_WIDTH = 900
FRAME_MS = 2_200
LAST_FRAME_MS = 4_000
#: Largest files: pictures belong to the repository for good (bytes).
FILM_BYTES_MAX = 1_000_000
PICTURES_BYTES_MAX = 2_500_000
COLOURS = 256
GAP_PX = 8
GAP_COLOUR = (120, 130, 140)


class Frame(NamedTuple):
    """One moment of the picture that moves."""

    left: bytes
    right: bytes


class Camera:
    """Takes pictures of what a test sees anyway."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._frames: list[Frame] = []

    async def take(self, page: Page, name: str) -> None:
        """One picture in each theme, `NAME-light.png` and `NAME-dark.png`."""
        if self.folder is None:
            return
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            await self._settled(page)
            image = Image.open(BytesIO(await page.screenshot(animations="disabled", caret="hide")))
            # A palette is a third of the size, and nobody sees the difference in a page of text.
            flat = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            flat.save(self.folder / f"{name}-{theme}.png", optimize=True)
        await page.emulate_media(color_scheme="light")

    async def frame(self, left: Page | Locator, right: Page | Locator) -> None:
        """The next moment of the picture that moves: two windows side by side."""
        if self.folder is None:
            return
        shots = [await shown.screenshot(animations="disabled", caret="hide") for shown in (left, right)]
        self._frames.append(Frame(*shots))

    def write_film(self, name: str) -> None:
        """Puts the moments together, if any were taken."""
        if self.folder is None or not self._frames:
            return
        images = [_side_by_side(frame) for frame in self._frames]
        times = [*[FRAME_MS] * (len(images) - 1), LAST_FRAME_MS]
        path = self.folder / f"{name}.webp"
        _save(path, images, times)
        assert path.stat().st_size <= FILM_BYTES_MAX, f"{path.name}: {path.stat().st_size:,} bytes"

    @staticmethod
    async def _settled(page: Page) -> None:
        """The page has drawn what it was told last."""
        await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        await asyncio.sleep(0.2)


def _side_by_side(frame: Frame) -> Image.Image:
    images = [Image.open(BytesIO(shot)).convert("RGB") for shot in frame]
    height = max(image.height for image in images)
    whole = Image.new("RGB", (sum(image.width for image in images) + GAP_PX, height), GAP_COLOUR)
    whole.paste(images[0], (0, 0))
    whole.paste(images[1], (images[0].width + GAP_PX, 0))
    return whole.resize((FILM_WIDTH, round(height * FILM_WIDTH / whole.width)), Image.Resampling.LANCZOS)


def _save(path: Path, images: Sequence[Image.Image], times_ms: Sequence[int]) -> None:
    images[0].save(path, save_all=True, append_images=images[1:], duration=list(times_ms), loop=0, quality=80, method=6)
