"""One sheet of pictures, for someone who looks at them state by state."""

import os
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.async_api import Page

from tests.browser.camera import GROUND

#: Wide enough for a desk: a wide page's empty sides are cut off (px).
WIDTH_PX = 740
MARGIN_PX, TITLE_PX = 16, 28


class Sheet:
    """Rows of pictures, in the file that `CONFERRAL_TEST_SHEET` names; without it, no picture is taken."""

    def __init__(self) -> None:
        self._path = os.environ.get("CONFERRAL_TEST_SHEET", "")
        self._rows: list[tuple[str, list[Image.Image]]] = []

    async def add(self, name: str, *pages: Page) -> None:
        """Add a picture of each page to the row of that name."""
        if not self._path:
            return
        if not self._rows or self._rows[-1][0] != name:
            self._rows.append((name, []))
        for page in pages:
            shot = await page.screenshot(full_page=True, animations="disabled", caret="hide")
            self._rows[-1][1].append(_cut(Image.open(BytesIO(shot)).convert("RGB")))

    def save(self) -> None:
        """Write what there is."""
        if not self._rows:
            return
        columns = range(max(len(images) for _, images in self._rows))
        widths = [max((row[one].width for _, row in self._rows if one < len(row)), default=0) for one in columns]
        heights = [max(image.height for image in images) + TITLE_PX for _, images in self._rows]
        size = (sum(widths) + MARGIN_PX * len(widths), sum(heights) + MARGIN_PX * len(heights))
        whole, top = Image.new("RGB", size, GROUND), 0
        for (name, images), height in zip(self._rows, heights, strict=True):
            ImageDraw.Draw(whole).text((MARGIN_PX, top + 6), name, fill=(0, 0, 0))
            left = 0
            for image, width in zip(images, widths, strict=False):
                whole.paste(image, (left, top + TITLE_PX))
                left += width + MARGIN_PX
            top += height + MARGIN_PX
        whole.save(Path(self._path), compress_level=1)


def _cut(image: Image.Image) -> Image.Image:
    left = max(0, (image.width - WIDTH_PX) // 2)
    return image.crop((left, 0, image.width - left, image.height))
