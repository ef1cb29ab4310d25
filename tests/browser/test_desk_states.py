"""Every state of the desk: accessible in both themes and at two widths, and its buttons in their places.

With `CONFERRAL_TEST_SHEET`, a file's name, they are also one sheet of pictures.
"""

import pytest

from tests.browser import axe, browser_actions, desk_states
from tests.browser.camera import THEMES
from tests.browser.scripted_desk import opened
from tests.browser.sheet import Sheet

SIZES = ({"width": 1280, "height": 900}, {"width": 390, "height": 844})


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_every_state_is_accessible_and_fits_in_both_themes_and_widths(desk, windows):
    windows.allow("Failed to load resource")
    desk_states.setup(desk)
    page = await opened(windows, "about:blank", size=SIZES[0])
    found: list[str] = []
    sheet = Sheet()
    try:
        async for name in desk_states.states(page, desk):
            for size in SIZES:
                for theme in THEMES:
                    await page.emulate_media(color_scheme=theme)
                    await browser_actions.resize(page, size)
                    found += await axe.troubles(page, f"{name}, {theme}, {size['width']} px")
                    await sheet.add(name, page)
    finally:
        sheet.save()
    assert not found, "\n".join(found)
