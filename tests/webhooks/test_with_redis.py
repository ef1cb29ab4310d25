"""The webhooks over a real Redis: what they publish is on the stream, what they read is the session."""

import xml.etree.ElementTree as ET

import pytest
from aiohttp.test_utils import TestClient, TestServer

from runtime.clock import SystemClock
from runtime.metrics import Metrics
from streams import event_codec
from streams.connection import make_client
from streams.keys import Keys
from streams.publisher import Publisher
from tests.webhooks.webhook_kit import (
    AGENT,
    AGENT_CALL,
    CALLER,
    CONFERENCE,
    DIAL_ACTION,
    ROOM,
    FakeChildLookup,
    fields,
    post,
    settings,
)
from webhooks.app import make_app

pytestmark = pytest.mark.redis
KEYS = Keys("conferral", 16)
STREAM = KEYS.events(KEYS.partition_of(CALLER))


@pytest.fixture
async def store(redis_server):
    client = make_client(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
def lookup():
    return FakeChildLookup()


@pytest.fixture
async def real_client(store, lookup):
    publisher = Publisher(store, KEYS, SystemClock())
    client = TestClient(TestServer(make_app(settings(), publisher, lookup, Metrics(), SystemClock())))
    await client.start_server()
    yield client
    await client.close()
    await publisher.close()


async def stored(store):
    return [
        event_codec.decode({name.decode(): value.decode() for name, value in entry.items()}, entry_id.decode())
        for entry_id, entry in await store.xrange(STREAM)
    ]


async def test_a_call_from_its_arrival_to_its_end_is_on_the_stream_in_order(real_client, store):
    for target, moment in (
        ("/voice/inbound", "call_arrives"),
        (AGENT_CALL, "agent_is_called"),
        (AGENT_CALL, "agent_rings"),
        (AGENT_CALL, "agent_answers"),
        (ROOM, "agent_joins"),
        (DIAL_ACTION, "dial_ends_answered"),
        (ROOM, "conference_ends"),
        ("/voice/status", "caller_has_hung_up"),
    ):
        status, _ = await post(real_client, target, fields(moment))
        assert status in (200, 204)

    assert [event.name for event in await stored(store)] == [
        "call_received", "call_progressed", "call_progressed", "call_progressed", "participant_joined", "dial_ended",
        "conference_ended", "call_progressed",
    ]  # fmt: skip
    assert await store.get(KEYS.call(CALLER)) == CALLER.encode()
    assert await store.get(KEYS.call(AGENT)) == CALLER.encode()


async def test_whoever_is_turned_away_leaves_no_key_behind(real_client, store):
    await post(real_client, AGENT_CALL, fields("agent_rings"), token="another")
    await post(real_client, AGENT_CALL, fields("agent_rings", AccountSid="AC" + "9" * 32))
    await post(real_client, AGENT_CALL, fields("agent_rings", CallSid="{x}"))

    assert await store.keys() == []


async def test_after_a_restart_of_redis_the_dial_action_asks_twilio(real_client, store, lookup):
    # The server of this test was started a moment ago, or has not been looked at yet: either way it may have forgotten.
    lookup.status = "in-progress"
    session = {
        "state": "bridged", "party.customer.call_sid": CALLER, "party.customer.label": "customer-7",
        "conference_sid": CONFERENCE,
    }  # fmt: skip
    await store.hset(KEYS.session(CALLER), mapping=session)

    _, document = await post(real_client, DIAL_ACTION, fields("dial_ends_answered"))

    conference = ET.fromstring(document).find("Dial/Conference")
    assert (conference.text, conference.get("participantLabel")) == (CONFERENCE, "customer-7")
    assert lookup.asked == [CALLER]


async def test_without_redis_the_caller_is_bridged_and_callbacks_are_asked_for_again(lookup):
    client = make_client("redis://127.0.0.1:1/0")
    publisher = Publisher(client, KEYS, SystemClock(), deadline_s=0.2)
    web = TestClient(TestServer(make_app(settings(), publisher, lookup, Metrics(), SystemClock())))
    await web.start_server()
    try:
        inbound, document = await post(web, "/voice/inbound", fields("call_arrives"))
        callback, _ = await post(web, AGENT_CALL, fields("agent_rings"))
        async with web.get("/readyz") as ready:
            not_ready = ready.status
    finally:
        await web.close()
        await publisher.close()
        await client.aclose()

    assert (inbound, callback, not_ready) == (200, 503, 503)
    assert ET.fromstring(document).find("Dial/Number") is not None
