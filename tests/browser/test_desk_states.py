"""Every state of the desk: accessible in both themes and at two widths, and its buttons in their places.

With `CONFERRAL_TEST_SHEET`, a file's name, they are also one sheet of pictures.
"""

import os
from io import BytesIO

import pytest
from PIL import Image, ImageDraw
from playwright.async_api import Page

from tests.browser import axe, browser_actions, desk_states
from tests.browser.camera import GROUND, THEMES
from tests.browser.scripted_desk import opened

SHEET = os.environ.get("CONFERRAL_TEST_SHEET", "")
SIZES = ({"width": 1280, "height": 900}, {"width": 390, "height": 844})
MARGIN_PX, TITLE_PX = 16, 28


async def _picture(page: Page) -> Image.Image:
    return Image.open(BytesIO(await page.screenshot(full_page=True, animations="disabled", caret="hide"))).convert(
        "RGB"
    )


def _cut(image: Image.Image) -> Image.Image:
    """The picture without the empty sides of a wide page."""
    wide = 740
    left = (image.width - wide) // 2
    return image.crop((left, 0, left + wide, image.height)) if image.width > wide else image


def _sheet(rows: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    widths = [max(images[column].width for _, images in rows) for column in range(len(rows[0][1]))]
    heights = [max(image.height for image in images) + TITLE_PX for _, images in rows]
    whole = Image.new("RGB", (sum(widths) + MARGIN_PX * len(widths), sum(heights) + MARGIN_PX * len(heights)), GROUND)
    top = 0
    for (name, images), height in zip(rows, heights, strict=True):
        ImageDraw.Draw(whole).text((MARGIN_PX, top + 6), name, fill=(0, 0, 0))
        left = 0
        for image, width in zip(images, widths, strict=True):
            whole.paste(image, (left, top + TITLE_PX))
            left += width + MARGIN_PX
        top += height + MARGIN_PX
    return whole


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_every_state_is_accessible_and_fits_in_both_themes_and_widths(desk, windows):
    windows.allow("Failed to load resource")
    desk_states.setup(desk)
    page = await opened(windows, "about:blank", size=SIZES[0])
    found: list[str] = []
    rows: list[tuple[str, list[Image.Image]]] = []
    try:
        async for name in desk_states.states(page, desk):
            images = []
            for size in SIZES:
                for theme in THEMES:
                    await page.emulate_media(color_scheme=theme)
                    await browser_actions.resize(page, size)
                    found += await axe.troubles(page, f"{name}, {theme}, {size['width']} px")
                    if SHEET:
                        images.append(_cut(await _picture(page)))
            rows.append((name, images))
    finally:
        if SHEET and rows:
            _sheet(rows).save(SHEET, compress_level=1)
    assert not found, "\n".join(found)
