"""The window monitor and the accessibility check find planted faults."""

import pytest
from playwright.async_api import expect

from tests.browser import axe
from tests.browser.windows import Profiles, Windows

BAD_PAGE = """<!doctype html><html><head><title></title></head><body>
<p style="color: #aaa; background: #fff">hardly to be read</p><button></button><img src="data:,">
<div style="width: 3000px">far too wide</div></body></html>"""


async def test_errors_and_foreign_requests_in_a_window_are_noticed(browser):
    windows = Windows(Profiles(browser))
    page = await windows.open("about:blank")
    await page.set_content("""<title>a</title><script>
      console.error("said by a script");
      setTimeout(() => { throw new Error("thrown by a script") });
      fetch("http://elsewhere.example/x").catch(() => { document.title = "asked" });
      new WebSocket("ws://elsewhere.example/y");
    </script>""")
    await expect(page).to_have_title("asked")
    await windows.close()
    reported = "\n".join(windows.wrong)
    assert "said by a script" in reported
    assert "thrown by a script" in reported
    assert sorted(windows.foreign) == ["http://elsewhere.example/x", "ws://elsewhere.example/y"]
    with pytest.raises(AssertionError, match="a foreign address"):
        windows.report_errors()
    windows.allow("script|elsewhere|net::ERR")
    assert windows.wrong == []
    assert windows.foreign, "nothing allows a foreign address"


async def test_accessibility_problems_are_noticed(windows):
    page = await windows.open("about:blank")
    await page.set_content(BAD_PAGE)
    found = {line.partition(":")[0] for line in await axe.violations(page)}
    assert found >= {"button-name", "color-contrast", "document-title", "html-has-lang", "image-alt"}
    assert [line for line in await axe.troubles(page, "a page") if "px wide in a window" in line]
