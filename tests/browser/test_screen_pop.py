"""The example of a page of one's own that follows an agent's calls, as its reader would run it."""

import importlib.util
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from playwright.async_api import expect

from conferral.runtime.metrics import Metrics
from conferral.statemachine.states import PartyStatus
from conferral.storage.connection.client import make_client
from conferral.webhooks.api.app import CONCURRENT_MAX
from tests.webhooks.api.api_helpers import TOKEN, app_of, session
from tests.webhooks.api.test_streams import commit, ended

EXAMPLE = Path(__file__).parents[2] / "examples" / "screen_pop.py"


@asynccontextmanager
async def served(app):
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_calls_of_the_agent_come_and_go_on_a_page_of_ones_own(redis_server, windows, monkeypatch):
    spec = importlib.util.spec_from_file_location("screen_pop", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    store = make_client(redis_server.url, max_connections=2 * CONCURRENT_MAX)
    async with served(app_of(store, Metrics())) as api, served(example.make_app()) as shown:
        monkeypatch.setenv("CONFERRAL_PUBLIC_URL", api)
        monkeypatch.setenv("CONFERRAL_API_TOKEN", TOKEN)
        first, other = replace(session("CA-one"), ref="order 7"), session("CA-two")
        await commit(store, first)
        bob = replace(other.parties["agent"], address="client:bob")
        await commit(store, replace(other, parties=other.parties | {"agent": bob}))
        page = await windows.open(shown)
        calls = page.get_by_role("listitem")

        await expect(calls).to_have_text(["+14155550199 order 7"])
        await commit(store, session("CA-three"))
        await expect(calls).to_have_count(2)
        await commit(store, ended(first))
        await expect(calls).to_have_text(["+14155550199 "])
        left = replace(session("CA-three"), version=9)
        gone = replace(left.parties["agent"], status=PartyStatus.LEFT)
        await commit(store, replace(left, parties=left.parties | {"agent": gone}))
        await expect(calls).to_have_count(0)
        await page.close()
    await store.aclose()
