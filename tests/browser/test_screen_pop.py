"""The example of a page of one's own that follows an agent's calls, as its reader would run it."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import expect

from conferral.runtime.metrics import Metrics
from conferral.runtime.web.server import run_server
from conferral.statemachine.states import PartyStatus
from conferral.storage.connection.client import make_client
from conferral.webhooks.api.app import CONCURRENT_MAX
from tests.support.ports import free_port
from tests.support.token_files import secret_of, table, write_tokens
from tests.webhooks.api.api_helpers import app_of, commit, session
from tests.webhooks.api.test_streams import ended

EXAMPLE = Path(__file__).parents[2] / "examples" / "screen_pop.py"


def served(app, port=0):
    return run_server(app, "127.0.0.1", port, shutdown_s=0.1)


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("screen_pop", EXAMPLE)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


async def test_calls_of_the_agent_come_and_go_on_a_page_of_ones_own(
    redis_server, windows, monkeypatch, tmp_path, example
):
    windows.allow(r"ERR_|Failed to load resource")  # while the API is away
    monkeypatch.setenv("API_TOKEN", secret_of("screen-pop"))
    tokens = write_tokens(tmp_path / "tokens.toml", table("screen-pop", ["read"]))
    store, port = make_client(redis_server.url, max_connections=2 * CONCURRENT_MAX), free_port()

    def api():
        return app_of(store, Metrics(), CONFERRAL_TOKENS=str(tokens), CONFERRAL_API_TOKEN=None)

    async with served(example.make_app()) as shown:
        async with served(api(), port):
            monkeypatch.setenv("API", f"http://127.0.0.1:{port}")
            first, other = replace(session("CA-one"), number="+14155550100", ref="order 7"), session("CA-two")
            await commit(store, first)
            bob = replace(other.parties["agent"], address="client:bob")
            await commit(store, replace(other, parties=other.parties | {"agent": bob}))
            page = await windows.open(f"http://127.0.0.1:{shown}")
            calls = page.get_by_role("listitem")

            await expect(calls).to_have_text(["+14155550199 on +14155550100 order 7"])
            await commit(store, session("CA-three"))
            await expect(calls).to_have_count(2)
            await commit(store, ended(first))
            await expect(calls).to_have_text(["+14155550199 on no number "])

            handed_over = replace(session("CA-three"), version=9)
            alice = replace(handed_over.parties["agent"], status=PartyStatus.LEFT)
            parties = handed_over.parties | {"agent": bob, "agent-1": replace(alice, name="agent-1")}
            await commit(store, replace(handed_over, parties=parties))
            await expect(calls).to_have_count(0)
        async with served(api(), port):
            await commit(store, session("CA-four"))
            await expect(calls).to_have_count(1, timeout=30_000)
            await page.close()
    await store.aclose()
