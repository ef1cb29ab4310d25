"""A page of another origin that embeds the desk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from playwright.async_api import Page

from conferral.runtime.web.server import run_server
from tests.browser.scripted_desk import TOKEN, ScriptedDesk, opened
from tests.browser.windows import Windows

#: Ten lines are enough; `{desk}` is the desk's address.
DOCUMENT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>CRM</title>
<style>html {{ font-size: 62.5%; --text: red; --small: 6px }} button {{ color: red; font-size: 8px }}</style>
<button>Mine</button><conferral-desk style="--desk-accent: rgb(1, 2, 3)" {attributes}></conferral-desk>
<script>document.querySelector("conferral-desk").token = async () => "{token}"; {script}</script>
<script type="module" src="{desk}/conferral-desk.js"></script>"""


@asynccontextmanager
async def embedded(
    windows: Windows, *, attributes: str = "", script: str = "", **settings: str
) -> AsyncIterator[tuple[Page, ScriptedDesk]]:
    """Yield the page and the desk's server."""
    host = web.Application()
    address = []

    async def show(_request: web.Request) -> web.Response:
        text = DOCUMENT.format(token=TOKEN, attributes=attributes, script=script, desk=address[0])
        return web.Response(text=text, content_type="text/html")

    host.router.add_get("/", show)
    async with run_server(host, "127.0.0.1", 0, shutdown_s=0.1) as port:
        origin = f"http://127.0.0.1:{port}"
        async with ScriptedDesk(CONFERRAL_DESK_ORIGINS=origin, **settings) as desk:
            address.append(desk.url)
            page = await opened(windows, origin)
            yield page, desk
            await page.close()
