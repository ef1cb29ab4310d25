"""Browsers that name the same new session at once, over a real Redis."""

import asyncio

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.webhook_store.store import WebhookStore
from conferral.webhooks.app import make_app
from tests.webhooks.documents import verbs
from tests.webhooks.webhook_helpers import fields, post, settings

KEYS = Keys("conferral", 16)


@pytest.mark.redis
async def test_one_of_several_browsers_opens_the_same_new_session(serve, child_lookup, redis_server):
    store = make_client(redis_server.url)
    webhook_store = WebhookStore(store, KEYS, SystemClock())
    client = await serve(make_app(settings(), webhook_store, child_lookup, Metrics(), SystemClock()))
    calls = [f"CA{number:032}" for number in range(10)]
    form = {call: fields("browser_calls_somebody", CallSid=call, SessionID="order-17") for call in calls}

    answers = await asyncio.gather(*(post(client, "/voice/client", form[call]) for call in calls))

    heard = [verbs(document)[0] for _, document in answers]
    assert sorted(heard) == ["Dial"] + ["Say"] * 9
    winner = calls[heard.index("Dial")]
    ((_, entry),) = await store.xrange(KEYS.events(KEYS.partition_of("order-17")))
    event = event_codec.decode({name.decode(): value.decode() for name, value in entry.items()}, "1-1")
    assert (event.name, event.session_id, event.call_sid) == ("client_call_received", "order-17", winner)
    assert await store.get(KEYS.call(winner)) == b"order-17"
    # The one who has it is answered the same again, and the others too.
    for call, first in zip(calls, heard, strict=True):
        _, document = await post(client, "/voice/client", form[call])
        assert verbs(document)[0] == first
    await webhook_store.close()
    await store.aclose()
