"""Voice requests of a call that has opened a session before."""

from unittest.mock import AsyncMock

import pytest

from tests.webhooks.documents import action_of, said, verbs
from tests.webhooks.webhook_helpers import AGENT, CALLER, a_party, facts, fields, post


@pytest.mark.parametrize(
    ("route", "moment"),
    [
        ("/voice/inbound", "call_arrives"),
        ("/voice/conference", "call_arrives"),
        ("/voice/client", "browser_calls_somebody"),
        ("/voice/fallback", "call_arrives"),
    ],
)
async def test_twenty_first_visit_is_turned_away_with_a_message(client, webhook_store, lines, route, moment):
    webhook_store.ended = {CALLER: f"{CALLER}-20"}
    status, document = await post(client, route, fields(moment))

    assert (status, verbs(document), webhook_store.events) == (200, ["Say", "Hangup"], [])
    assert [line["call_sid"] for line in lines if line["event"] == "visit_limit_reached"] == [CALLER]


async def test_calls_of_earlier_sessions_are_known_to_the_next(client, webhook_store):
    former = ("CA" + "7" * 32,)
    webhook_store.ended, webhook_store.facts = {CALLER: CALLER}, facts("ended", former_calls=former)
    # The id is free: only the last session is stored.
    webhook_store.read = lambda _session_id: _none()
    await post(client, "/voice/inbound", fields("call_arrives"))

    assert webhook_store.events[0].former_calls == (*former, AGENT)


async def _none():
    return None


@pytest.mark.parametrize("route", ["/voice/inbound", "/voice/conference", "/voice/fallback"])
async def test_caller_who_has_left_a_live_session_for_the_url_asks_again_until_it_ends(client, webhook_store, route):
    webhook_store.facts = facts("bridged", phase="connected")
    status, document = await post(client, route, fields("call_arrives"))

    assert (status, verbs(document)) == (200, ["Pause", "Redirect"])
    assert f"{route}?request=2&amp;v=1#" in document
    _, document = await post(client, f"{route}?request=5&v=1", fields("call_arrives"))
    assert verbs(document) == ["Pause", "Redirect"]
    _, document = await post(client, f"{route}?request=6&v=1", fields("call_arrives"))
    assert verbs(document) == ["Say", "Hangup"]
    assert "can not be reached" in said(document)


@pytest.mark.parametrize(
    ("session", "repeats"),
    [
        (facts("bridged", phase="ringing", agent=a_party()), True),
        (facts("conferenced", phase="ringing", opening="arriving", agent=a_party()), True),
        (facts("bridged", phase="ringing"), False),
        (facts("bridged", phase="ringing", agent=a_party(), agent_number=1), False),
        (facts("conferenced", phase="ringing", opening="dialing"), False),
        (facts("transferring"), False),
    ],
)
async def test_request_gets_the_same_answer_until_its_document_runs(client, webhook_store, session, repeats):
    first = (await post(client, "/voice/inbound", fields("call_arrives")))[1]
    webhook_store.facts = session
    _, second = await post(client, "/voice/inbound", fields("call_arrives"))

    assert (second == first) is repeats
    assert verbs(second) == (["Dial"] if repeats else ["Pause", "Redirect"])


async def test_party_that_has_left_a_live_session_opens_its_own(client, webhook_store):
    webhook_store.facts = facts("conferenced", customer=a_party(call_sid=CALLER, status="left"))
    webhook_store.claim_visit, webhook_store.read = AsyncMock(return_value=f"{CALLER}-2"), lambda _session_id: _none()
    _, document = await post(client, "/voice/inbound", fields("call_arrives"))

    assert action_of(document).session_id == f"{CALLER}-2"


async def test_twentieth_visit_opens(client, webhook_store):
    webhook_store.ended = {CALLER: f"{CALLER}-19"}
    _, document = await post(client, "/voice/inbound", fields("call_arrives"))

    assert action_of(document).session_id == f"{CALLER}-20"
