"""The gate over HTTP: what is stored, in which order, and what the call hears."""

import pytest

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import GateDecided, GateReached
from conferral.statemachine.parts import DialOptions
from conferral.webhooks.gate import decide_by_key, route_of
from tests.support.each import each
from tests.webhooks.documents import action_of, conference_of, key_timeout_s, said, verbs
from tests.webhooks.gate_helpers import GATE, OTHER, OTHER_DIAL, TARGET, answered, at, events_of, pressed, target
from tests.webhooks.webhook_helpers import CALLER, CONFERENCE, DIAL, PUBLIC_URL, a_party, facts, post


async def test_target_that_need_not_confirm_joins_the_conference_at_once(client, webhook_store, lines):
    webhook_store.facts = facts("transferring", target=target(options=DialOptions(brief="About an invoice.")))

    status, document = await post(client, GATE, answered())

    assert (status, verbs(document), said(document)) == (200, ["Say", "Dial"], "About an invoice.")
    joined, action = conference_of(document), action_of(document)
    assert (joined.text, joined.get("participantLabel")) == (CONFERENCE, "target-3")
    assert joined.get("startConferenceOnEnter") == "true"
    assert (action.session_id, action.party, action.dial.value) == (CALLER, "target", "conference")
    assert webhook_store.events == [
        GateReached(session_id=CALLER, token=f"gate_reached:{DIAL}:{TARGET}", dial=DIAL, call_sid=TARGET),
        GateDecided(
            session_id=CALLER, token=f"gate_decided:{DIAL}:{TARGET}:accepted", dial=DIAL, call_sid=TARGET,
            decision="accepted",
        ),
    ]  # fmt: skip
    assert webhook_store.indexed == [(TARGET, CALLER)]
    (line,) = [line for line in lines if line["event"] == "gate_answered"]
    assert (line["session_id"], line["call_sid"], line["outcome"]) == (CALLER, TARGET, "accepted")


async def test_second_call_with_the_same_dial_is_hung_up_without_events(client, webhook_store):
    webhook_store.facts = facts("transferring", target=target(options=DialOptions(confirm=True)))
    await post(client, GATE, answered())

    for asked, form in ((1, answered(CallSid=OTHER)), (2, pressed("1", CallSid=OTHER))):
        _, document = await post(client, at(asked), form)
        assert verbs(document) == ["Hangup"]

    assert {event.call_sid for event in webhook_store.events} == {TARGET}
    _, document = await post(client, at(2), pressed("1"))
    assert verbs(document) == ["Dial"]


async def test_a_party_is_asked_for_as_long_as_its_dial_says(client, webhook_store):
    webhook_store.facts = facts("transferring", target=target(options=DialOptions(confirm=True, confirm_for_s=60)))
    _, document = await post(client, GATE, answered())
    assert key_timeout_s(document) == 18


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (facts("ended", customer=a_party(CALLER, status="left"), target=target()), "caller has hung up"),
        (facts("ended", target=target()), "no longer waiting"),
        (facts("conferenced", target=target()), "no longer waiting"),
        (facts("transferring", target=target(is_leaving=True)), "no longer waiting"),
        (facts("transferring", target=target(status="left")), "no longer waiting"),
        (facts("transferring"), "no longer waiting"),
        (facts("bridged", agent=target()), "no longer waiting"),
        (None, "no longer waiting"),
    ],
)
async def test_unwanted_call_hears_why_at_the_gate(client, webhook_store, given, words):
    webhook_store.facts = given

    _, document = await post(client, GATE, answered())

    assert verbs(document) == ["Say", "Hangup"]
    assert words in said(document)
    assert events_of(webhook_store) == ["gate_reached", "too-late"]


@each("state, party, known, route", [
    ("transferring", "target", {}, "conference"), ("conferenced", "target", {}, "nowhere"),
    ("conferenced", "target-2", {}, "nowhere"), ("conferenced", "supervisor", {}, "conference"),
    ("converting", "supervisor", {}, "nowhere"), ("conferenced", "agent", {}, "nowhere"),
    ("conferenced", "agent", {"opening": "dialing-party"}, "conference"),
    ("conferenced", "agent", {"opening": "calling", "direction": "outbound"}, "empty-conference"),
    ("bridged", "agent", {"direction": "outbound"}, "customer"), ("bridged", "agent", {}, "nowhere"),
])  # fmt: skip
def test_party_that_has_accepted_goes_where_the_session_needs_it(state, party, known, route):
    assert route_of(facts(state, **known, **{party: target()}), DIAL) == route


@each("question, key, decision", [
    (1, "1", None), (1, "", None), (2, "1", "accepted"), (2, "2", "rejected"), (2, "", None), (2, "#", None),
    (3, "1", "accepted"), (3, "2", "rejected"), (3, "", None), (4, "1", "accepted"), (4, "2", "rejected"),
    (4, "", "no-confirmation"), (4, "3", "no-confirmation"), (4, "other", "no-confirmation"),
])  # fmt: skip
def test_1_and_2_decide_once_they_were_asked_for_and_all_else_after_three_questions(question, key, decision):
    assert decide_by_key(question=question, pressed=key) == decision


# ---- the agent of a call -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["+19005550123", "+442071234567", "sip:bob@example.com", "911", "", "nobody"])
async def test_disallowed_customer_is_not_dialed(client, webhook_store, lines, address):
    customer = a_party(label="customer-1", address=address, status="dialing")
    webhook_store.facts = facts("bridged", direction="outbound", agent=target(label="agent-1"), customer=customer)

    _, document = await post(client, GATE, answered())

    assert verbs(document) == ["Say", "Hangup"]
    assert events_of(webhook_store) == ["gate_reached", "too-late"]
    (line,) = [line for line in lines if line["event"] == "destination_not_allowed"]
    assert not address or address not in str(line)


# ---- without Redis -----------------------------------------------------------------------------------------------


async def test_no_one_is_admitted_when_the_gate_decision_cannot_be_stored(client, webhook_store, monkeypatch):
    webhook_store.facts = facts("transferring", target=target())

    async def refuses(event, *, call_sid=""):
        if isinstance(event, GateDecided):
            raise StoreError
        webhook_store.events.append(event)

    monkeypatch.setattr(webhook_store, "publish", refuses)

    _, document = await post(client, GATE, answered())

    assert verbs(document) == ["Pause", "Redirect"]


# ---- when our own URL fails, or is someone else's ---------------------------------------------------------------


async def test_the_fallback_of_a_gate_is_answered_as_that_gate(client, webhook_store):
    webhook_store.facts = facts("transferring", target=target())

    _, document = await post(client, "/voice/fallback", answered(ErrorUrl=PUBLIC_URL + GATE, ErrorCode="11200"))

    assert conference_of(document).text == CONFERENCE
    assert events_of(webhook_store) == ["gate_reached", "accepted"]


@pytest.mark.parametrize("error_url", ["", f"{PUBLIC_URL}/voice/gate", f"{PUBLIC_URL}/voice/gate?session=1&v=1"])
async def test_a_call_that_we_placed_is_never_bridged_to_the_agent(client, webhook_store, error_url):
    _, document = await post(client, "/voice/fallback", answered(ErrorUrl=error_url, ErrorCode="11200"))

    assert verbs(document) == ["Hangup"]
    assert webhook_store.events == []


# ---- several ring for the same call --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "decision"),
    [
        ({}, "taken"),
        ({"is_leaving": True}, "too-late"),
        ({"status": "left"}, "too-late"),
        ({"ring_group": "x"}, "too-late"),
    ],
)
async def test_late_target_hears_whether_another_of_its_ring_group_talks(client, webhook_store, other, decision):
    winner = target(dial_id=OTHER_DIAL, **({"ring_group": "word", "status": "connected"} | other))
    webhook_store.facts = facts("conferenced", target=target(ring_group="word"), agent=winner)

    await post(client, GATE, answered())

    assert events_of(webhook_store) == ["gate_reached", decision]
