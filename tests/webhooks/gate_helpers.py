"""Helpers for tests of the gate: a call at the gate, the party that it dials, and the decisions it gets."""

import xml.etree.ElementTree as ET
from urllib.parse import urlsplit

from conferral.statemachine.events import GateReached
from conferral.storage.codecs.session_view import PartyView
from tests.webhooks.webhook_helpers import CALLER, DIAL, fields

TARGET, OTHER = "CA" + "4" * 32, "CA" + "5" * 32
GATE = f"/voice/gate?session={CALLER}&dial={DIAL}&question=1"
OTHER_DIAL = "e" * 20


def at(asked, dial=DIAL):
    return f"/voice/gate?session={CALLER}&dial={dial}&question={asked}"


def answered(**changes):
    return fields("target_answers_at_the_gate", **({"CallSid": TARGET} | changes))


def pressed(key, **changes):
    return fields("target_presses_a_key", **({"CallSid": TARGET, "Digits": key} | changes))


def target(**known):
    return PartyView(**({"label": "target-3", "dial_id": DIAL, "status": "ringing"} | known))


def verbs(document):
    return [verb.tag for verb in ET.fromstring(document)]


def said(document):
    return " ".join(say.text for say in ET.fromstring(document).iter("Say"))


def next_url(document, path, attribute=None):
    """The URL in an element, as a target that can be asked."""
    element = ET.fromstring(document).find(path)
    url = urlsplit(element.get(attribute) if attribute else element.text)
    return f"{url.path}?{url.query}"


def events_of(ingest):
    return [event.name if isinstance(event, GateReached) else event.decision for event in ingest.events]
