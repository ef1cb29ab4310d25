"""What a log entry says, in words."""

import pytest

from conferral import words
from conferral.access import LogEntry
from statemachine.effects import EFFECTS
from statemachine.events import EVENTS, GateDecision


def entry(event, detail="", **more):
    return LogEntry("1-0", {"event": event, "detail": detail, "from": "transferring", "to": "transferring", **more})


@pytest.mark.parametrize(
    ("event", "detail", "told"),
    [
        ("call_progressed", "target ringing", "target rings"),
        ("participant_changed", "customer-1 participant-hold", "customer is held"),
        ("participant_changed", "customer-1 participant-unhold", "customer is off hold"),
        ("participant_changed", "target-2 participant-modify", "target has other flags"),
        ("participant_changed", "customer-1 participant-hummed", "customer participant-hummed"),
        ("gate_reached", "", "somebody who was called has answered"),
        ("gate_decided", "taken", "somebody who was called comes second, somebody else has taken the call"),
        ("effect_succeeded", "create_participant target", "Twilio has done it: call target into the conference"),
        ("effect_unknown", "create_call agent", "no answer from Twilio: call agent"),
        ("effect_failed", "update_participant customer HTTP 404 code 20404",
         "Twilio refused: change hold or flags of customer (HTTP 404 code 20404)"),
        ("stage_overdue", "", "the transfer's next step takes too long"),
        ("swap", "", "swap is asked for"),
    ],
)  # fmt: skip
def test_what_happens_in_a_transfer_is_told_in_words(event, detail, told):
    assert words.happened(entry(event, detail)) == told


def test_every_event_has_words_of_its_own():
    made_up = words.happened(entry("made_up"))

    assert made_up == "made up"
    # What a conference says beside what counts is told by the name that Twilio gives it.
    wordless = {"conference_noted", "calls_read", "always"}
    for event in EVENTS:
        if event.name not in wordless:
            assert words.happened(entry(event.name, "who what")) != f"{event.name.replace('_', ' ')} who what"


def test_every_effect_has_words_of_its_own():
    for effect in EFFECTS:
        ordered = f'[{{"id":"1","kind":"{effect.kind}","party":"target","target":"x"}}]'

        assert "_" not in words.change(entry("swap", effects=ordered))


@pytest.mark.parametrize("decision", GateDecision)
def test_every_decision_of_the_gate_has_words_of_its_own(decision):
    told = words.happened(entry("gate_decided", decision.value))

    assert told.startswith("somebody who was called ")
    assert told != f"somebody who was called {decision.value}"
