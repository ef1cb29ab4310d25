"""An agent's desk, over HTTP: a call rings, is answered, put on hold, handed to another desk, and hung up."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.storage.connection.client import make_client
from conferral.webhooks.api.app import CONCURRENT_MAX, add_api
from conferral.webhooks.desk.app import add_desk
from tests.flows.command_channels import BEARER, TOKEN
from tests.support.people import BOB
from tests.webhooks.desk.desk_helpers import Desks, next_of

pytestmark = [
    pytest.mark.redis, pytest.mark.system(speed=5, answered_by=["client:alice", BOB], CONFERRAL_API_TOKEN=TOKEN),
]  # fmt: skip


@pytest.fixture
async def desks(system):
    store = make_client(system.redis_url, max_connections=2 * CONCURRENT_MAX)
    app = web.Application()
    api = add_api(app, system.settings, store, system.keys, Metrics(), SystemClock())
    feed = add_desk(api, store, system.keys)
    async with TestClient(TestServer(app)) as client:
        yield Desks(client, api.tokens, None, None, feed, api.directory)
    await store.aclose()


async def bearer_of(desks, identity):
    _, answer = await desks.ask("POST", "/desk/tokens", BEARER, json={"identity": identity})
    return {"Authorization": f"Bearer {answer['token']}"}


async def session_until(stream, is_so):
    while not is_so(found := await next_of(stream, "session")):
        pass
    return found


async def test_two_agents_hand_a_call_over_by_their_desks_alone(system, desks):
    alice, bob = await bearer_of(desks, "alice"), await bearer_of(desks, "bob")
    async with desks.events(alice) as hers, desks.events(bob) as his:
        customer = await system.customer_calls()
        talking = await session_until(hers, lambda one: one["parties"]["agent"]["status"] == "connected")
        assert talking["id"] == customer.sid
        path = f"/desk/sessions/{customer.sid}/commands"

        async def done(headers, stream, **fields):
            status, answer = await desks.ask("POST", path, headers, json=fields)
            assert status == 202, answer
            found = await next_of(stream, "command")
            assert (found["command"], found["status"]) == (answer["command"], "accepted")
            while (found := await next_of(stream, "command"))["command"] != answer["command"]:
                pass
            assert found["status"] == "done", found

        await done(alice, hers, type="hold", party="customer")
        await done(alice, hers, type="unhold", party="customer")
        assert (await desks.ask("POST", path, bob, json={"type": "end"}))[0] == 404
        transfer = {"type": "transfer", "to": BOB, "mode": "consult", "params": "order=7"}
        await done(alice, hers, **transfer)
        rung = await session_until(his, lambda one: "target" in one["parties"])
        target = rung["parties"]["target"]
        assert (target["from_agent"], target["params"]) == ("client:alice", {"order": "7"})
        await done(alice, hers, type="complete")
        mine = await session_until(his, lambda one: one["state"] == "conferenced")
        assert mine["parties"]["agent"]["address"] == BOB
        assert (await desks.ask("POST", path, alice, json={"type": "end"}))[0] == 404

        status, answer = await desks.ask("POST", f"{path}?wait=20", bob, json={"type": "end"})
        assert (status, answer["status"], answer["by"]) == (200, "done", "api/bob")
        assert (await session_until(his, lambda one: one["state"] == "ended"))["end_reason"] == "command"
    await system.settled()
