"""The webhooks over a real Redis: what they publish is on the stream, what they read is the session."""

import asyncio

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import make_client
from conferral.storage.ingest.writer import BatchingIngest
from conferral.storage.keys import Keys
from conferral.webhooks.app import make_app
from tests.webhooks.documents import conference_of, verbs
from tests.webhooks.webhook_helpers import (
    AGENT,
    CALLER,
    CONFERENCE,
    DIAL_ACTION,
    fields,
    post,
    settings,
)

pytestmark = pytest.mark.redis
KEYS = Keys("conferral", 16)


@pytest.fixture
async def store(redis_server):
    client = make_client(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def real_client(serve, store, child_lookup):
    publisher = BatchingIngest(store, KEYS, SystemClock())
    yield await serve(make_app(settings(), publisher, child_lookup, Metrics(), SystemClock()))
    await publisher.close()


async def stored(store, session_id=CALLER):
    return [
        event_codec.decode({name.decode(): value.decode() for name, value in entry.items()}, entry_id.decode())
        for entry_id, entry in await store.xrange(KEYS.events(KEYS.partition_of(session_id)))
    ]


async def test_after_a_restart_of_redis_the_dial_action_asks_twilio(real_client, store, child_lookup):
    # The server of this test was started a moment ago, or has not been checked yet: either way it may have lost data.
    child_lookup.status = "in-progress"
    session = {
        "state": "bridged", "party.customer.call_sid": CALLER, "party.customer.label": "customer-7",
        "conference_sid": CONFERENCE, "party.customer.status": "connected",
    }  # fmt: skip
    await store.hset(KEYS.session(CALLER), mapping=session)

    _, document = await post(real_client, DIAL_ACTION, fields("dial_ends_answered"))

    conference = conference_of(document)
    assert (conference.text, conference.get("participantLabel")) == (CONFERENCE, "customer-7")
    assert child_lookup.asked == [AGENT]


# ---- conferences from the start ----------------------------------------------------------------------------------


async def test_one_of_several_browsers_opens_the_same_new_session(real_client, store):
    calls = [f"CA{number:032}" for number in range(10)]
    form = {call: fields("browser_calls_somebody", CallSid=call, SessionID="order-17") for call in calls}

    answers = await asyncio.gather(*(post(real_client, "/voice/client", form[call]) for call in calls))

    heard = [verbs(document)[0] for _, document in answers]
    assert sorted(heard) == ["Dial"] + ["Say"] * 9
    winner = calls[heard.index("Dial")]
    (event,) = await stored(store, "order-17")
    assert (event.name, event.session_id, event.call_sid) == ("client_call_received", "order-17", winner)
    assert await store.get(KEYS.call(winner)) == b"order-17"
    # The one who has it is answered the same again, and the others too.
    for call, first in zip(calls, heard, strict=True):
        _, document = await post(real_client, "/voice/client", form[call])
        assert verbs(document)[0] == first
