"""Calls outside the hours of their number: what callers hear, and what is reported."""

import json

import pytest

from tests.flows.test_fallbacks import GREETING, leaves_message
from tests.support.closed_hours import closed_now
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.people import CAROL

pytestmark = pytest.mark.redis
NO_ONE = "said Nobody can take your call at the moment. Please try again later. Goodbye."


def settings(tmp_path, mode="bridge", **more):
    """A directory in which our number is closed."""
    path = tmp_path / "directory.toml"
    path.write_text(f'[inbound."{NUMBER}"]\nagents = ["{AGENT}"]\nmode = "{mode}"\n{closed_now(**more)}')
    return {"CONFERRAL_DIRECTORY": path, "CONFERRAL_RING_TIMEOUT": 5}


@pytest.mark.parametrize("route", ["inbound", "handoff"])
async def test_a_caller_hears_a_sentence_and_no_one_is_rung(redis_server, tmp_path, route):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path)) as system:
        customer = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{system.public_url}/voice/{route}")
        await system.everyone_is_gone(customer.sid, "closed")
        assert system.sounds(customer) == [NO_ONE]
        assert not system.sandbox.request_log.dials
        (ended,) = await system.outcomes()
        assert (ended["reason"], ended["closed"], ended["landed_on"]) == ("closed", "true", "end")
        assert json.loads(ended["attempts"]) == []


@pytest.mark.parametrize("mode", ["bridge", "conference"])
async def test_a_caller_leaves_a_message(redis_server, tmp_path, mode):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode, closed="voicemail")) as system:
        customer = await system.customer_calls()
        await leaves_message(system, customer, customer.sid)
        assert GREETING in system.sounds(customer)
        (ended,) = [one for one in await system.outcomes() if one["kind"] == "session"]
        assert (ended["closed"], ended["attempts"]) == ("true", "[]")


async def test_a_place_outside_the_hours_takes_the_call(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, closed=f"{CAROL},voicemail")) as system:
        system.answered_by(CAROL)
        customer = await system.customer_calls()
        carol = await system.dialed(CAROL)
        await system.until_talk(customer, carol)
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
        (ended,) = await system.outcomes()
        assert (ended["closed"], ended["landed_on"]) == ("true", CAROL)
        assert [one["to"] for one in json.loads(ended["attempts"])] == [CAROL]
