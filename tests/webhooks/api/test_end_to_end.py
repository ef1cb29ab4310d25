"""The API with all that stands behind it: a worker, a Redis and a local Twilio."""

import aiohttp
import pytest
from aiohttp import web

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.storage.connection.client import make_client
from conferral.webhooks.api.app import CONCURRENT_MAX, add_api
from tests.support.local_system import LocalSystem
from tests.webhooks.api.api_helpers import BEARER, TOKEN, ask

pytestmark = [pytest.mark.redis, pytest.mark.timeout(90)]


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url, CONFERRAL_API_TOKEN=TOKEN) as system:
        yield system


@pytest.fixture
async def api(system):
    store = make_client(system.redis_url, max_connections=CONCURRENT_MAX)
    app = web.Application()
    add_api(app, system.settings, store, system.keys, Metrics(), SystemClock())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}", headers=BEARER) as client:
        yield client
    await runner.cleanup()
    await store.aclose()


async def test_a_call_is_converted_and_ended_over_http(system, api):
    caller, _agent = await system.talking()
    commands = f"/sessions/{caller.sid}/commands?wait=30"

    status, refused = await ask(api, "POST", commands, json={"type": "merge"})
    assert (status, refused["error"]["type"]) == (409, "rejected")
    assert "convert" in refused["error"]["allowed"]
    status, body = await ask(api, "POST", commands, json={"type": "transfer", "to": "+19005550100", "mode": "warm"})
    assert (status, body["error"]["type"]) == (409, "rejected")  # the allow-list is held against it where it is routed

    status, converted = await ask(api, "POST", commands, json={"type": "convert", "id": "night-17"})
    assert (status, converted["status"], converted["session"]) == (200, "done", caller.sid)
    assert await ask(api, "POST", commands, json={"type": "convert", "id": "night-17"}) == (200, converted)
    status, body = await ask(api, "POST", commands, json={"type": "end", "id": "night-17"})
    assert (status, body["error"]["type"]) == (409, "id-conflict")

    assert (await ask(api, "GET", f"/sessions/{caller.sid}"))[1]["state"] == "conferenced"
    assert [one["id"] for one in (await ask(api, "GET", "/sessions?state=conferenced"))[1]["sessions"]] == [caller.sid]
    assert (await ask(api, "POST", commands, json={"type": "end"}))[1]["status"] == "done"
    _, log = await ask(api, "GET", f"/sessions/{caller.sid}/log?limit=500")
    assert {"call_received", "convert", "end"} <= {entry["event"] for entry in log["entries"]}
    assert "redirect_call" in {effect["kind"] for entry in log["entries"] for effect in entry["effects"]}
