"""The gate over HTTP: what is stored, in which order, and what the call hears."""

import pytest

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import GateDecided, GateReached
from conferral.statemachine.parts import ConferenceAttributes, DialOptions
from conferral.telephony.callback_urls import Gate
from conferral.webhooks import responses
from tests.support.metric_values import value_of
from tests.webhooks.documents import action_of, conference_of, dial_of, follow, next_url, rung, said, verbs
from tests.webhooks.gate_helpers import GATE, OTHER, OTHER_DIAL, TARGET, answered, at, events_of, pressed, target
from tests.webhooks.webhook_helpers import CALLER, CONFERENCE, DIAL, PUBLIC_URL, a_party, facts, post


async def test_target_that_need_not_confirm_joins_the_conference_at_once(client, ingest, lines):
    ingest.facts = facts("transferring", target=target(options=DialOptions(brief="About an invoice.")))

    status, document = await post(client, GATE, answered())

    assert (status, verbs(document), said(document)) == (200, ["Say", "Dial"], "About an invoice.")
    joined, action = conference_of(document), action_of(document)
    assert (joined.text, joined.get("participantLabel")) == (CONFERENCE, "target-3")
    assert joined.get("startConferenceOnEnter") == "true"
    assert (action.session_id, action.party, action.dial.value) == (CALLER, "target", "conference")
    assert ingest.events == [
        GateReached(session_id=CALLER, token=f"gate_reached:{DIAL}:{TARGET}", dial=DIAL, call_sid=TARGET),
        GateDecided(
            session_id=CALLER, token=f"gate_decided:{DIAL}:{TARGET}:accepted", dial=DIAL, call_sid=TARGET,
            decision="accepted",
        ),
    ]  # fmt: skip
    assert ingest.indexed == [(TARGET, CALLER)]
    (line,) = [line for line in lines if line["event"] == "gate_answered"]
    assert (line["session_id"], line["call_sid"], line["outcome"]) == (CALLER, TARGET, "accepted")


@pytest.mark.parametrize(
    ("keys",         "decision",        "words"),
    [
        (["1"],          "accepted",        ""),
        (["", "1"],      "accepted",        ""),
        (["7"],          "rejected",        "declined"),
        (["*"],          "rejected",        "declined"),
        (["", "7"],      "rejected",        "declined"),
        (["", ""],       "no-confirmation", "No key"),
    ],
)  # fmt: skip
async def test_target_that_must_confirm_is_asked_at_most_twice(client, ingest, keys, decision, words):
    ingest.facts = facts("transferring", target=target(options=DialOptions(confirm=True, brief="About an invoice.")))

    _, document = await post(client, GATE, answered())
    assert verbs(document) == ["Gather"]
    assert said(document).startswith("About an invoice.")
    for key in keys:
        assert events_of(ingest) == ["gate_reached"]
        _, document = await post(client, next_url(document, "Gather", "action"), pressed(key))
        assert "invoice" not in said(document), "it was said once already"

    assert events_of(ingest) == ["gate_reached", decision]
    assert verbs(document) == (["Dial"] if decision == "accepted" else ["Say", "Hangup"])
    assert words in said(document)


async def test_second_call_with_the_same_dial_is_hung_up_without_events(client, ingest):
    ingest.facts = facts("transferring", target=target(options=DialOptions(confirm=True)))
    await post(client, GATE, answered())

    for asked, form in ((1, answered(CallSid=OTHER)), (2, pressed("1", CallSid=OTHER))):
        _, document = await post(client, at(asked), form)
        assert verbs(document) == ["Hangup"]

    assert {event.call_sid for event in ingest.events} == {TARGET}
    _, document = await post(client, at(2), pressed("1"))
    assert verbs(document) == ["Dial"]


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
async def test_unwanted_call_hears_why_at_the_gate(client, ingest, given, words):
    ingest.facts = given

    _, document = await post(client, GATE, answered())

    assert verbs(document) == ["Say", "Hangup"]
    assert words in said(document)
    assert events_of(ingest) == ["gate_reached", "too-late"]


async def test_gate_waits_for_a_dial_redis_may_have_lost(client, ingest):
    ingest.old, ingest.facts = True, facts("transferring")

    _, document = await post(client, GATE, answered())
    assert verbs(document) == ["Pause", "Redirect"]
    assert events_of(ingest) == ["gate_reached"]

    ingest.facts = facts("transferring", target=target())
    _, document = await post(client, next_url(document, "Redirect"), answered())
    assert verbs(document) == ["Dial"]


# ---- the agent of a call -----------------------------------------------------------------------------------------


def called(customer="+14155550199", **agent):
    return facts(
        "bridged",
        conference_sid="",
        direction="outbound",
        agent=target(label="agent-1", **agent),
        customer=a_party(label="customer-1", address=customer, status="dialing"),
    )


async def test_the_agent_of_a_call_is_connected_to_the_customer(client, ingest):
    ingest.facts = called(options=DialOptions(brief="A call back."))

    _, document = await post(client, GATE, answered())

    dial, action = dial_of(document), action_of(document)
    assert (verbs(document), said(document)) == (["Say", "Dial"], "A call back.")
    assert (rung(document), dial.get("callerId"), dial.get("timeout")) == ("+14155550199", "+14155550100", "30")
    assert (dial.find("Number") is not None, action.party, action.dial.value) == (True, "agent", "bridge")
    assert events_of(ingest) == ["gate_reached", "accepted"]


@pytest.mark.parametrize("address", ["+19005550123", "+442071234567", "sip:bob@example.com", "911", "", "nobody"])
async def test_disallowed_customer_is_not_dialed(client, ingest, lines, address):
    ingest.facts = called(customer=address)

    _, document = await post(client, GATE, answered())

    assert verbs(document) == ["Say", "Hangup"]
    assert events_of(ingest) == ["gate_reached", "too-late"]
    (line,) = [line for line in lines if line["event"] == "destination_not_allowed"]
    assert not address or address not in str(line)


# ---- conferences without a transfer ------------------------------------------------------------------------------


async def test_the_agent_of_a_call_in_a_conference_starts_it_and_hears_ringing(client, ingest):
    ingest.facts = facts(
        "conferenced",
        conference_sid="",
        direction="outbound",
        opening="calling",
        attributes=ConferenceAttributes(record="true", jitter_buffer_size="small"),
        agent=target(label="agent-1", options=DialOptions(brief="A call back.")),
        customer=a_party(label="customer-1", address="+14155550199", status="dialing"),
    )

    _, document = await post(client, GATE, answered())

    joined = conference_of(document)
    assert (verbs(document), said(document)) == (["Say", "Dial"], "A call back.")
    assert (joined.text, joined.get("participantLabel")) == (CALLER, "agent-1")
    assert joined.get("startConferenceOnEnter") == "true"
    assert f"/voice/wait?audio=ringback&party=agent&session={CALLER}&v=1" in joined.get("waitUrl")
    assert (joined.get("record"), joined.get("jitterBufferSize")) == ("record-from-start", "small")
    assert events_of(ingest) == ["gate_reached", "accepted"]


# ---- without Redis -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["away", "hangs"])
async def test_without_redis_it_waits_asks_again_and_gives_up(client, ingest, metrics, lines, monkeypatch, fault):
    for name in ("STORE_DEADLINE_S", "SHORT_STORE_DEADLINE_S"):
        monkeypatch.setattr(responses, name, 0.01)
    setattr(ingest, fault, True)

    documents = await follow(client, GATE, answered(), "Redirect")

    assert [verbs(document) for document in documents] == [["Pause", "Redirect"]] * 2 + [["Say", "Hangup"]]
    assert Gate.parse(next_url(documents[0], "Redirect").partition("?")[2]).request_number == 2
    assert "can not be reached" in said(documents[-1])
    assert value_of(metrics.webhook_store_errors.labels("/voice/gate")) == 3
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["store_unreachable"]


async def test_no_one_is_admitted_when_the_gate_decision_cannot_be_stored(client, ingest, monkeypatch):
    ingest.facts = facts("transferring", target=target())

    async def refuses(event, *, call_sid=""):
        if isinstance(event, GateDecided):
            raise StoreError
        ingest.events.append(event)

    monkeypatch.setattr(ingest, "publish", refuses)

    _, document = await post(client, GATE, answered())

    assert verbs(document) == ["Pause", "Redirect"]


# ---- when our own URL fails, or is someone else's ---------------------------------------------------------------


async def test_the_fallback_of_a_gate_is_answered_as_that_gate(client, ingest):
    ingest.facts = facts("transferring", target=target())

    _, document = await post(client, "/voice/fallback", answered(ErrorUrl=PUBLIC_URL + GATE, ErrorCode="11200"))

    assert conference_of(document).text == CONFERENCE
    assert events_of(ingest) == ["gate_reached", "accepted"]


@pytest.mark.parametrize("error_url", ["", f"{PUBLIC_URL}/voice/gate", f"{PUBLIC_URL}/voice/gate?session=1&v=1"])
async def test_a_call_that_we_placed_is_never_bridged_to_the_agent(client, ingest, error_url):
    _, document = await post(client, "/voice/fallback", answered(ErrorUrl=error_url, ErrorCode="11200"))

    assert verbs(document) == ["Hangup"]
    assert ingest.events == []


# ---- several ring for the same call --------------------------------------------------------------------------------


OPTIONS = DialOptions(brief="About an invoice.")


def two_targets():
    """Two phones that ring for the same call."""
    both = {"ring_group": "word", "options": OPTIONS}
    return {"target_1": target(**both), "target_2": target(label="target-2", dial_id=OTHER_DIAL, **both)}


async def briefed(client, dial, call_sid):
    """Someone picks up and hears the brief; gives what is asked afterwards."""
    _, document = await post(client, at(1, dial), answered(CallSid=call_sid))
    assert (verbs(document), said(document)) == (["Say", "Redirect"], "About an invoice.")
    return next_url(document, "Redirect")


def decisions(ingest):
    return [(event.dial, event.decision) for event in ingest.events if isinstance(event, GateDecided)]


@pytest.mark.parametrize(
    ("other", "decision"),
    [
        ({}, "taken"),
        ({"is_leaving": True}, "too-late"),
        ({"status": "left"}, "too-late"),
        ({"ring_group": "x"}, "too-late"),
    ],
)
async def test_late_target_hears_whether_another_of_its_ring_group_talks(client, ingest, other, decision):
    winner = target(dial_id=OTHER_DIAL, **({"ring_group": "word", "status": "connected"} | other))
    ingest.facts = facts("conferenced", target=target(ring_group="word"), agent=winner)

    await post(client, GATE, answered())

    assert events_of(ingest) == ["gate_reached", decision]


async def test_ring_group_target_wins_nothing_until_the_brief_is_over(client, ingest, lines):
    ingest.facts = facts("transferring", **two_targets())

    way_in = await briefed(client, DIAL, TARGET)
    assert events_of(ingest) == ["gate_reached"]
    assert not [key for key in ingest.gates if key[1] == "ring_group"]
    assert [line["outcome"] for line in lines if line["event"] == "gate_answered"] == ["briefed"]
    also = await briefed(client, OTHER_DIAL, OTHER)

    _, won = await post(client, also, answered(CallSid=OTHER))
    _, lost = await post(client, way_in, answered())
    assert (verbs(won), verbs(lost)) == (["Dial"], ["Say", "Hangup"])
    assert "Somebody else" in said(lost)
    assert decisions(ingest) == [(OTHER_DIAL, "accepted"), (DIAL, "taken")]


async def test_without_redis_after_the_brief_it_waits_and_then_lets_in_without_another_brief(client, ingest):
    ingest.facts = facts("transferring", **two_targets())
    url = await briefed(client, DIAL, TARGET)

    ingest.away = True
    for _ in range(2):
        _, document = await post(client, url, answered())
        assert verbs(document) == ["Pause", "Redirect"]
        url = next_url(document, "Redirect")
    ingest.away = False

    _, document = await post(client, url, answered())
    assert verbs(document) == ["Dial"]
    assert events_of(ingest) == ["gate_reached", "accepted"]
