"""The gate of a bridge's agent: who presses a key, even if Redis does not know the agent; and what machines get."""

import pytest

from conferral.statemachine.parts import DialOptions
from tests.support.people import AGENT_PHONE
from tests.webhooks.documents import dial_of, follow, key_timeout_s, next_url, said, verbs
from tests.webhooks.gate_helpers import GATE, answered, events_of, pressed, target
from tests.webhooks.webhook_helpers import AGENT, PUBLIC_URL, facts, fields, post

DIRECTORY = """
[inbound."+14155550100"]
agents = ["client:alice", "+14155550188"]
confirm = true
"""


@pytest.fixture
async def client(open_client, write_directory):
    return await open_client(**write_directory(DIRECTORY), CONFERRAL_ALLOWED_DESTINATIONS="US,client:")


async def gate_of_phone(client, webhook_store):
    """The URL of the gate of the phone, which rings after the browser."""
    webhook_store.away = True
    _, document = await post(client, "/voice/inbound", fields("call_arrives", To="+14155550100"))
    assert dial_of(document).find("Client").get("url") is None
    busy = fields("call_arrives", To="+14155550100", DialCallStatus="busy")
    _, document = await post(client, next_url(document, "Dial", "action"), busy)
    webhook_store.away = False
    return next_url(document, "Dial/Number", "url")


@pytest.mark.parametrize("known", [False, True])
async def test_a_phone_presses_a_key_though_the_session_shows_no_phone(client, webhook_store, known):
    gate = await gate_of_phone(client, webhook_store)
    webhook_store.facts = facts("bridged", phase="ringing", agents=("client:alice", AGENT_PHONE)) if known else None

    _, document = await post(client, gate, answered(CallSid=AGENT))
    assert verbs(document) == ["Gather"]
    question = next_url(document, "Gather", "action")
    _, document = await post(client, question, pressed("", CallSid=AGENT))
    assert verbs(document) == ["Gather"]
    assert webhook_store.events == []

    _, document = await post(client, question, pressed("1", CallSid=AGENT))
    assert (verbs(document), events_of(webhook_store)) == ([], ["accepted"])


@pytest.mark.parametrize("line, timeouts_s", [("", [2, 2, 2]), ("confirm_for = 60", [18, 18, 18])])
async def test_the_question_is_asked_three_times_in_the_numbers_time(
    open_client, write_directory, webhook_store, line, timeouts_s
):
    directory = write_directory(f"{DIRECTORY}{line}\n")
    client = await open_client(**directory, CONFERRAL_ALLOWED_DESTINATIONS="US,client:")
    url, found = await gate_of_phone(client, webhook_store), []
    keys = iter(["", "5", "#"])
    _, document = await post(client, url, answered(CallSid=AGENT))
    while verbs(document) == ["Gather"]:
        found.append(key_timeout_s(document))
        _, document = await post(client, next_url(document, "Gather", "action"), pressed(next(keys), CallSid=AGENT))

    assert found == timeouts_s
    assert (verbs(document), events_of(webhook_store)) == (["Say", "Hangup"], ["no-confirmation"])


@pytest.mark.parametrize("known", ["known", "unknown", "away"])
async def test_a_brief_alone_asks_for_no_key(client, webhook_store, known):
    _, document = await post(
        client, "/voice/handoff?mode=bridge&to=client:bob&brief=Hi", fields("call_arrives", To="+14155550101")
    )
    gate = next_url(document, "Dial/Client", "url")
    webhook_store.events.clear()
    webhook_store.away = known == "away"
    options = DialOptions(brief="Hi")
    webhook_store.facts = facts("bridged", phase="ringing", options=options) if known == "known" else None

    documents = await follow(client, gate, answered(CallSid=AGENT), "Redirect")

    assert [said(document) for document in documents] == (["Hi", ""] if known == "known" else [""])
    assert verbs(documents[-1]) == []
    assert events_of(webhook_store) == ([] if webhook_store.away else ["accepted"])


async def test_a_machine_stays_one_when_redis_is_back(client, webhook_store):
    webhook_store.away = True
    _, document = await post(client, GATE, answered(AnsweredBy="machine_start"))
    assert verbs(document) == ["Pause", "Redirect"]

    webhook_store.away, webhook_store.facts = False, facts("transferring", target=target())
    _, document = await post(client, next_url(document, "Redirect"), answered())

    assert verbs(document) == ["Hangup"]
    assert events_of(webhook_store)[-1] == "answering-machine"


@pytest.mark.parametrize("answered_by, decision", [("machine_start", "answering-machine"), ("", "accepted")])
async def test_twilio_is_asked_who_answered_if_the_fallback_request_does_not_say(
    client, webhook_store, child_lookup, monkeypatch, answered_by, decision
):
    async def live_call(call_sid):
        return {"CallSid": call_sid, "AnsweredBy": answered_by}

    monkeypatch.setattr(child_lookup, "live_call", live_call)
    webhook_store.facts = facts("transferring", target=target())
    await post(client, "/voice/fallback", answered(ErrorUrl=PUBLIC_URL + GATE, ErrorCode="11200"))
    assert events_of(webhook_store)[-1] == decision
