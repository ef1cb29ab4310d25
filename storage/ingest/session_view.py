"""Session view: decodes a session's hash into what webhook answers depend on.

A callback must be answered whatever the hash holds: invalid values, and unknown ones of a newer version, count as
absent.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.events import Announce
from conferral.statemachine.session import INBOUND
from conferral.statemachine.states import SessionMode, WaitAudio
from conferral.statemachine.transfer import DialOptions
from conferral.storage.codecs.json_codec import from_json
from conferral.storage.ingest.port import PartyView, SessionView

#: A party's fields by type.
_PARTY_TEXTS = frozenset(
    {"call_sid", "label", "address", "status", "dial_id", "brief", "recall_reason", "ring_group", "supervises"}
)
_PARTY_FLAGS = frozenset({"confirm", "is_leaving"})
_WAIT_AUDIOS = frozenset(WaitAudio)


def view_of(fields_or_pairs: Mapping[bytes, bytes] | list[bytes]) -> SessionView | None:
    """Decode a hash as returned by Redis; return None without a session."""
    pairs = (
        fields_or_pairs.items()
        if isinstance(fields_or_pairs, Mapping)
        else zip(fields_or_pairs[::2], fields_or_pairs[1::2], strict=True)
    )
    fields = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}
    if "state" not in fields:
        return None
    return SessionView(
        state=fields["state"],
        phase=fields.get("phase", ""),
        end_reason=fields.get("end_reason", ""),
        conference_sid=fields.get("conference_sid", ""),
        conference_name=fields.get("conference_name", ""),
        direction=fields.get("direction", INBOUND),
        mode=fields.get("mode", SessionMode.BRIDGE.value),
        opening=fields.get("opening", ""),
        attributes=_attributes(fields.get("attributes", "")),
        agents=tuple(fields.get("agents", "").split()),
        agent_number=_count(fields.get("agent_number", "")),
        caller_id=_caller_id(fields.get("options", "")),
        announcements=_announcements(fields.get("pending_commands", "")),
        parties=_parties(fields),
    )


def _attributes(text: str) -> ConferenceAttributes:
    try:
        return from_json(ConferenceAttributes, text) if text else DEFAULT_ATTRIBUTES
    except (ValueError, TypeError, AttributeError):
        return DEFAULT_ATTRIBUTES


def _caller_id(text: str) -> str:
    try:
        return from_json(DialOptions, text).caller_id if text else ""
    except (ValueError, TypeError, AttributeError):
        return ""


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _announcements(text: str) -> dict[str, str]:
    """Return the messages by command id."""
    try:
        orders = orjson.loads(text) if text else []
        return {one["command_id"]: one["say"] for one in orders if one["name"] == Announce.name and one.get("say")}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _parties(fields: dict[str, str]) -> dict[str, PartyView]:
    """Return the parties from `party.NAME.FIELD`; flags are `true` or absent."""
    found: dict[str, dict[str, Any]] = {}
    for field, value in fields.items():
        start, _, rest = field.partition(".")
        name, _, attribute = rest.rpartition(".")
        if start != "party" or not name:
            continue
        party = found.setdefault(name, {})
        if attribute in _PARTY_TEXTS:
            party[attribute] = value
        elif attribute in _PARTY_FLAGS:
            party[attribute] = value == "true"
        elif attribute == "wait_audio" and value in _WAIT_AUDIOS:  # a later version may know others
            party[attribute] = WaitAudio(value)
    return {name: PartyView(**attributes) for name, attributes in found.items()}
