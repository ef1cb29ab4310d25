"""Takes the pictures of the documentation, where `make pictures` asks for them; else it takes none."""

import asyncio
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.async_api import Locator, Page

from tests.browser import browser_actions

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
MARGIN_PX = 5
#: What lies between the parts: the colour of the pages in light.
GROUND = (246, 247, 249)


class Part(NamedTuple):
    """Something of a page: from the upper edge of one element to the lower edge of another that is in it."""

    top: Locator
    bottom: Locator


class Camera:
    """Takes pictures of what a test sees anyway."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._frames: list[tuple[Image.Image, Image.Image]] = []

    async def take(self, page: Page, name: str) -> None:
        """One picture in each theme, `NAME-light.png` and `NAME-dark.png`."""
        if self.folder is None:
            return
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            await page.evaluate("scrollTo(0, 0)")
            await self._settled(page)
            image = Image.open(BytesIO(await page.screenshot(animations="disabled", caret="hide")))
            # A palette is a third of the size, and no one sees the difference in a page of text.
            flat = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            flat.save(self.folder / f"{name}-{theme}.png", optimize=True)
        await page.emulate_media(color_scheme="light")

    async def frame(self, left: Sequence[Part], right: Sequence[Part]) -> None:
        """The next moment of the picture that moves: parts of one page next to parts of another."""
        if self.folder is None:
            return
        sides = [_column([await _shot(part) for part in side]) for side in (left, right)]
        self._frames.append((sides[0], sides[1]))

    def write_film(self, name: str) -> None:
        """Puts the moments together, if any were taken."""
        if self.folder is None or not self._frames:
            return
        height = max(side.height for frame in self._frames for side in frame)
        images = [_side_by_side(left, right, height) for left, right in self._frames]
        times = [*[FRAME_MS] * (len(images) - 1), LAST_FRAME_MS]
        path = self.folder / f"{name}.webp"
        _save(path, images, times)
        assert path.stat().st_size <= FILM_BYTES_MAX, f"{path.name}: {path.stat().st_size:,} bytes"

    @staticmethod
    async def _settled(page: Page) -> None:
        """Wait until the page has drawn the last message."""
        await browser_actions.drawn(page)
        await asyncio.sleep(0.2)  # a delay: the browser composites after the frame


async def _shot(part: Part) -> Image.Image:
    first, last = await part.top.bounding_box(), await part.bottom.bounding_box()
    assert first is not None, "it can't be seen"
    assert last is not None, "it can't be seen"
    page = part.top.page
    down = await page.evaluate("scrollY")
    clip = {
        "x": first["x"] - MARGIN_PX,
        "y": first["y"] + down - MARGIN_PX,
        "width": first["width"] + 2 * MARGIN_PX,
        "height": last["y"] + last["height"] - first["y"] + 2 * MARGIN_PX,
    }
    shot = await page.screenshot(full_page=True, clip=clip, animations="disabled", caret="hide")
    return Image.open(BytesIO(shot)).convert("RGB")


def _column(images: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), GROUND)
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    return whole


def _side_by_side(left: Image.Image, right: Image.Image, height: int) -> Image.Image:
    whole = Image.new("RGB", (left.width + GAP_PX + right.width, height), GROUND)
    whole.paste(left, (0, 0))
    whole.paste(right, (left.width + GAP_PX, 0))
    return whole.resize((FILM_WIDTH, round(height * FILM_WIDTH / whole.width)), Image.Resampling.LANCZOS)


def _save(path: Path, images: Sequence[Image.Image], times_ms: Sequence[int]) -> None:
    images[0].save(path, save_all=True, append_images=images[1:], duration=list(times_ms), loop=0, quality=85, method=6)
