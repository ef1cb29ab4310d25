"""Several ring for the same call at the gate: when one of them has won, and what becomes of the others."""

import pytest

from conferral.statemachine.events import GateDecided
from conferral.statemachine.parts import DialOptions
from tests.webhooks.documents import next_url, said, verbs
from tests.webhooks.gate_helpers import OTHER, OTHER_DIAL, TARGET, answered, at, events_of, target
from tests.webhooks.webhook_helpers import CALLER, DIAL, a_party, facts, post

OPTIONS = DialOptions(brief="About an invoice.")


def two_targets(**known):
    """Two phones that ring for the same call, `first` and `second`, where `known` overrides facts of the first."""
    second = {"label": "target-2", "dial_id": OTHER_DIAL, "ring_group": "word", "options": OPTIONS}
    return {
        "target_1": target(**({"ring_group": "word", "options": OPTIONS} | known)),
        "target_2": target(**second),
    }


async def briefed(client, dial, call_sid):
    """Someone picks up and hears the brief; gives what is asked afterwards."""
    _, document = await post(client, at(1, dial), answered(CallSid=call_sid))
    assert (verbs(document), said(document)) == (["Say", "Redirect"], "About an invoice.")
    return next_url(document, "Redirect")


def decisions(ingest):
    return [(event.dial, event.decision) for event in ingest.events if isinstance(event, GateDecided)]


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


@pytest.mark.parametrize(
    ("given", "decision", "words"),
    [
        (facts("ended", customer=a_party(CALLER, status="left"), **two_targets()), "too-late", "caller has hung up"),
        (facts("conferenced", **two_targets()), "too-late", "no longer waiting"),
        (facts("transferring", **two_targets(is_leaving=True)), "too-late", "no longer waiting"),
        (None, "too-late", "no longer waiting"),
    ],
    ids=["ended", "cancelled", "let go", "unknown"],
)
async def test_call_no_longer_wanted_after_the_brief_hears_why(client, ingest, given, decision, words):
    ingest.facts = facts("transferring", **two_targets())
    way_in = await briefed(client, DIAL, TARGET)
    ingest.facts = given

    _, document = await post(client, way_in, answered())

    assert verbs(document) == ["Say", "Hangup"]
    assert words in said(document)
    assert events_of(ingest) == ["gate_reached", decision]


# ---- without Redis -----------------------------------------------------------------------------------------------


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
