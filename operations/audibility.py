"""Who hears whom, from the session's hash. It reflects only what Twilio has confirmed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conferral.operations import wording
from conferral.operations.session_queries import Fields
from conferral.operations.session_summary import next_dialed_party

_RELEVANT_FIELDS = (
    "status",
    "call_sid",
    "held",
    "muted",
    "in_conference",
    "waits_for_start",
    "wait_audio",
    "supervises",
    "coaches",
    "early_media",
)
#: What a party hears whose phone is still being dialed.
_NOT_CONNECTED = {
    "dialing": "{party} is being dialed",
    "ringing": "{party}'s phone is ringing",
    "confirming": "{party} is asked to press 1",
}
#: Names of wait audio for people.
_AUDIO_NAMES = {"ringback": "ringing", "music": "music", "": "silence"}

PartyFields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AudibleParties:
    """What one party hears."""

    party: str
    #: Names of the parties that it hears.
    hears: tuple[str, ...]
    #: The same as a sentence, including ringing, music, or silence.
    text: str


def audibility(fields: Fields) -> tuple[AudibleParties, ...]:
    """Return what each party that hasn't left hears; empty for an ended session.

    Args:
        fields: The session's hash.
    """
    if fields.get("state") in (None, "ended"):
        return ()
    audible = {
        party: {name: fields.get(f"party.{party}.{name}", "") for name in _RELEVANT_FIELDS}
        for party in wording.party_names(fields)
    }
    there = {party: of for party, of in audible.items() if of["status"] != "left"}
    in_conference = [of for of in there.values() if of["in_conference"] == "true"]
    if fields.get("phase") == "ringing" and len(in_conference) == 1 and in_conference[0]["wait_audio"]:
        # A conference with one participant plays wait audio, however that participant joined.
        in_conference[0]["waits_for_start"] = "true"
    later = next_dialed_party(fields)
    return tuple(
        AudibleParties(party, (), f"{party} is dialed next")
        if party == later
        else _audible_in_bridge(party, there)
        if is_ringing_caller(fields, party)
        else _audible_to(party, there)
        for party in there
    )


def is_ringing_caller(fields: Fields, party: str) -> bool:
    """Whether this is an inbound caller whose call still rings because no one has answered."""
    came_in = party == "customer" and fields.get("direction") == "inbound"
    of = f"party.{party}"
    return came_in and fields.get(f"{of}.status") == "ringing" and not fields.get(f"{of}.dial_id")


def _audible_to(party: str, there: Mapping[str, PartyFields]) -> AudibleParties:
    of = there[party]
    if of["status"] != "connected":
        told = _NOT_CONNECTED.get(of["status"], "{party} hears silence")
        return AudibleParties(party, (), told.format(party=party))
    if of["held"] == "true":
        # Without configured wait audio, Twilio plays its own music.
        return AudibleParties(
            party, (), f"{party} is on hold and hears {_AUDIO_NAMES.get(of['wait_audio'] or 'music', of['wait_audio'])}"
        )
    if of["waits_for_start"] == "true":
        return AudibleParties(
            party, (), f"{party} is waiting and hears {_AUDIO_NAMES.get(of['wait_audio'], of['wait_audio'])}"
        )
    if of["in_conference"] != "true":
        return _audible_in_bridge(party, there)
    hears = tuple(other for other in there if other != party and _is_audible(there[other], of))
    rings = tuple(other for other, one in there.items() if one["early_media"] == "true" and one["status"] == "ringing")
    return AudibleParties(party, hears, _describe(party, hears, rings) + _audience_note(party, of, there))


def _audible_in_bridge(party: str, there: Mapping[str, PartyFields]) -> AudibleParties:
    """Return what a party outside of the conference hears: in the bridge, or while being moved."""
    other = {"customer": "agent", "agent": "customer"}.get(party, "")
    pair = there.get(other)
    if pair is None:
        return AudibleParties(party, (), f"{party} hears silence")
    if pair["in_conference"] == "true":
        return AudibleParties(party, (), f"{party} is joining the conference and hears silence")
    if pair["status"] == "connected":
        return AudibleParties(party, (other,), f"{party} hears {other}")
    if pair["status"] == "ringing":
        return AudibleParties(party, (), f"{party} hears ringing")
    return AudibleParties(
        party, (), f"{party} hears silence: {_NOT_CONNECTED.get(pair['status'], '').format(party=other)}"
    )


def _is_audible(other: PartyFields, listener: PartyFields) -> bool:
    """Whether one conference participant can be heard by another."""
    is_in = other["status"] == "connected" and other["in_conference"] == "true" and other["waits_for_start"] != "true"
    if not is_in or other["held"] == "true" or other["muted"] == "true":
        return False
    # Only the coached participant hears a coach.
    return not other["coaches"] or other["coaches"] == listener["call_sid"]


def _describe(party: str, hears: Sequence[str], rings: Sequence[str]) -> str:
    heard = [*hears, *(["ringing"] if rings else [])]
    return f"{party} hears {wording.join_names(heard) or 'silence'}"


def _audience_note(party: str, of: PartyFields, there: Mapping[str, PartyFields]) -> str:
    """Say who hears the party, unless everyone does."""
    if of["muted"] == "true":
        return f"; no one hears {party}"
    if not of["coaches"]:
        return ""
    coached = next((other for other, one in there.items() if one["call_sid"] == of["coaches"]), "the agent")
    return f"; only {coached} hears {party}"
