"""A caller who waits in a conference from the start, and what the directory says of the number that was called."""

from urllib.parse import urlsplit

import pytest

from conferral.statemachine.events import CallReceived
from conferral.telephony.callback_urls import Wait
from tests.webhooks.documents import action_of, conference_of, verbs
from tests.webhooks.webhook_helpers import CALLER, DIAL_ACTION, PUBLIC_URL, a_party, facts, fields, post

DIRECTORY = '[inbound."+14155550100"]\nagents = ["client:alice", "+14155550124"]\nmode = "conference"\n'


# ---- /voice/conference -------------------------------------------------------------------------------------------


async def test_the_caller_waits_in_a_conference_named_after_the_session(client, webhook_store):
    status, document = await post(client, "/voice/conference", fields("call_arrives"))

    conference = conference_of(document)
    assert (status, conference.text) == (200, CALLER)
    assert {
        name: conference.get(name)
        for name in ("participantLabel", "startConferenceOnEnter", "endConferenceOnExit", "beep", "record")
    } == {
        "participantLabel": "customer-1", "startConferenceOnEnter": "false", "endConferenceOnExit": "false",
        "beep": "false", "record": None,
    }  # fmt: skip
    wait = Wait.parse(urlsplit(conference.get("waitUrl")).query)
    assert (wait.session_id, wait.party, wait.wait_audio.value, wait.with_greeting) == (
        CALLER,
        "customer",
        "music",
        False,
    )
    action = action_of(document)
    assert (action.party, action.dial.value, action.attempt) == ("customer", "conference", 1)
    assert webhook_store.events == [
        CallReceived(
            session_id=CALLER, token="call_received:", call_sid=CALLER, customer_address="+14155550199",
            agent_address="+14155550123", has_caller_id=True,
            call_token=fields("call_arrives")["CallToken"], mode="conference",
        )
    ]  # fmt: skip
    assert webhook_store.indexed == [(CALLER, CALLER)]


# ---- the directory -----------------------------------------------------------------------------------------------


async def test_a_browser_opens_no_other_numbers_routing_by_what_it_says_that_it_calls(
    open_client, webhook_store, write_directory
):
    client = await open_client(**write_directory(DIRECTORY))

    await post(client, "/voice/inbound", fields("call_from_browser_arrives", To="+14155550100"))

    (event,) = webhook_store.events
    assert (event.mode, event.agent_address, event.other_agents) == ("bridge", "+14155550123", ())


# ---- the fallback ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "is_late",
    [
        pytest.param(False, id="known"),
        # The conference's answer was lost on the way, and the worker is a moment behind.
        pytest.param(True, id="known-a-moment-later"),
    ],
)
async def test_the_fallback_leaves_a_caller_in_the_conference_that_is_known_by_then(
    client, webhook_store, monkeypatch, is_late
):
    read = webhook_store.read
    known = facts("conferenced", opening="arriving", customer=a_party(CALLER))

    async def decided_by_now(session_id):
        webhook_store.facts = known
        return await read(session_id)

    monkeypatch.setattr(webhook_store, "read", decided_by_now)
    webhook_store.facts = None if is_late else known
    form = fields("call_arrives", ErrorUrl=f"{PUBLIC_URL}/voice/conference")
    _, document = await post(client, "/voice/fallback", form)

    assert (conference_of(document).text, conference_of(document).get("participantLabel")) == (CALLER, "customer-1")
    assert conference_of(document).get("startConferenceOnEnter") == "false"
    assert "audio=music" in conference_of(document).get("waitUrl")


@pytest.mark.parametrize("call_status, is_news", [("in-progress", True), ("completed", False)])
async def test_the_fallback_of_a_bridges_action_shows_that_the_caller_outlived_it(
    client, webhook_store, call_status, is_news
):
    webhook_store.facts = facts("bridged")
    form = fields("call_arrives", ErrorUrl=f"{PUBLIC_URL}{DIAL_ACTION}", CallStatus=call_status)
    _, document = await post(client, "/voice/fallback", form)

    assert verbs(document) == ["Hangup"]
    published = [(event.dial_kind, event.dial_call_status, event.call_status) for event in webhook_store.events]
    assert published == ([("bridge", "", call_status)] if is_news else [])


async def test_the_fallback_of_a_caller_who_was_in_the_conference_ends_the_call(client, webhook_store):
    webhook_store.facts = facts("conferenced")
    form = fields("call_arrives", ErrorUrl=f"{PUBLIC_URL}/voice/conference")
    _, document = await post(client, "/voice/fallback", form)

    assert verbs(document) == ["Hangup"]
