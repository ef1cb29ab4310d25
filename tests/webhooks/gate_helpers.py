"""Helpers for tests of the gate: a call at the gate, the party that it dials, and the decisions it gets."""

from conferral.statemachine.events import GateReached
from tests.webhooks.webhook_helpers import CALLER, DIAL, a_party, fields

TARGET, OTHER = "CA" + "4" * 32, "CA" + "5" * 32
GATE = f"/voice/gate?session={CALLER}&dial={DIAL}&question=1&v=1"
OTHER_DIAL = "e" * 20


def at(asked, dial=DIAL):
    return f"/voice/gate?session={CALLER}&dial={dial}&question={asked}&v=1"


def answered(**changes):
    return fields("target_answers_at_the_gate", **({"CallSid": TARGET} | changes))


def pressed(key, **changes):
    return fields("target_presses_a_key", **({"CallSid": TARGET, "Digits": key} | changes))


def target(**known):
    return a_party(**({"label": "target-3", "dial_id": DIAL, "status": "ringing"} | known))


def events_of(webhook_store):
    return [event.name if isinstance(event, GateReached) else event.decision for event in webhook_store.events]
