"""The way into Redis: never longer than the deadline, never many at a time, and nothing left behind."""

import asyncio

import pytest

from conferral.commands.submission import CommandSubmitter
from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import make_client
from conferral.webhooks.api import app as app_module
from conferral.webhooks.api.app import CONCURRENT_MAX
from tests.webhooks.api.api_helpers import CALLER, KEYS, ask, eventually, put, report_status, session, take_up

PATHS = ["/sessions", f"/sessions/{CALLER}", f"/sessions/{CALLER}/log", "/commands/c1"]


# ---- without Redis -----------------------------------------------------------------------------------------------


@pytest.mark.redis
async def test_without_redis_the_answer_is_503(open_api, lines):
    away = make_client("redis://127.0.0.1:1/0", max_connections=CONCURRENT_MAX)
    client = await open_api(redis=away)

    asked = [("GET", path, {}) for path in PATHS]
    asked.append(("POST", "/sessions", {"json": {"agent": "client:a", "customer": "client:b"}}))
    asked.append(("POST", f"/sessions/{CALLER}/commands?wait=60", {"json": {"type": "end"}}))
    for method, path, options in asked:
        status, body = await ask(client, method, path, **options)

        assert (status, body["error"]["type"]) == (503, "store")
    assert {line["event"] for line in lines} == {"store_unreachable", "api_refused"}
    await away.aclose()


@pytest.mark.redis
async def test_a_redis_that_does_not_answer_is_not_waited_for(open_api, redis_server, monkeypatch):
    monkeypatch.setattr(app_module, "REDIS_DEADLINE_S", 0.1)
    client = await open_api()
    with redis_server.client() as other:
        other.execute_command("CLIENT", "PAUSE", 600, "ALL")
    async with asyncio.timeout(0.5):
        status, answer = await ask(client, "GET", "/sessions")

    assert (status, answer["error"]["reason"]) == (503, "Redis did not answer in time")


@pytest.mark.redis
async def test_redis_refusal_is_reported_as_a_store_error(api, store):
    await store.set(KEYS.commands, "text")
    await put(store, session())

    status, reported = await ask(api, "POST", f"/sessions/{CALLER}/commands", json={"type": "end"})

    assert (status, reported["error"]["type"]) == (503, "store")


@pytest.mark.redis
async def test_while_redis_is_away_an_outcome_is_still_waited_for(api, store, monkeypatch, lines):
    await put(store, session())
    find, failures = CommandSubmitter.find_result, 3

    async def fails_at_first(self, command_id):
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnreachableError("away")
        return await find(self, command_id)

    monkeypatch.setattr(CommandSubmitter, "find_result", fails_at_first)
    path = f"/sessions/{CALLER}/commands?wait=30"
    waiting = asyncio.create_task(ask(api, "POST", path, json={"type": "end"}))
    (command_id,) = await eventually(lambda: take_up(store))
    await report_status(store, command_id, "done")

    status, body = await waiting
    assert (status, body["status"], failures) == (200, "done", 0)
    assert [line["event"] for line in lines].count("store_unreachable") == 1
