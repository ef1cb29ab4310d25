"""The example of a CRM's page with the desk in it, as its reader would run it."""

import importlib.util
from pathlib import Path

from playwright.async_api import expect

from conferral.runtime.web.server import run_server
from tests.browser.scripted_desk import ScriptedDesk, opened, talk

EXAMPLE = Path(__file__).parents[2] / "examples" / "embedded_desk" / "crm.py"


async def test_the_customer_of_a_call_is_shown_next_to_the_desk(windows, monkeypatch):
    spec = importlib.util.spec_from_file_location("crm", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    async with run_server(example.make_app(), "127.0.0.1", 0, shutdown_s=0.1) as port:
        origin = f"http://127.0.0.1:{port}"
        async with ScriptedDesk(CONFERRAL_DESK_ORIGINS=origin) as desk:
            monkeypatch.setenv("DESK", desk.url.removesuffix("/desk"))
            monkeypatch.setenv("API", desk.url.removesuffix("/desk"))
            monkeypatch.setenv("API_TOKEN", "api-token")
            page = await opened(windows, origin)
            await page.get_by_role("button", name="Go ready").click()
            await expect(page.get_by_role("status").first).to_have_text("Ready")
            await talk(page, desk, ref="order 7", leg={"params": {"ref": "order 8"}})
            await expect(page.get_by_role("main")).to_contain_text("Reference: order 7")
            await page.get_by_role("button", name="Hang up").click()
            await expect(page.get_by_role("main")).to_contain_text("No call.")
            await page.close()
