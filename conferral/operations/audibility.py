"""Who hears whom, as far as Twilio has confirmed it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from conferral.operations import wording
from conferral.operations.session_summary import is_ringing_caller, next_dialed_party
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.statemachine.states import PartyStatus, Phase, WaitAudio
from conferral.storage.codecs.session_view import PartyView, SessionView

_AUDIO_NAMES = {WaitAudio.RINGBACK: "ringing", WaitAudio.MUSIC: "music", WaitAudio.NONE: "silence"}


@dataclass(frozen=True, slots=True)
class AudibleParties:
    """What one party hears."""

    party: str
    hears: tuple[str, ...]
    #: The same as a sentence, including ringing, music, or silence.
    text: str


def audibility(session: SessionView) -> tuple[AudibleParties, ...]:
    """Return what each present party hears; empty for an ended session."""
    if not session.is_live:
        return ()
    present = session.present
    in_conference = [party for party in present.values() if party.in_conference]
    if session.phase == Phase.RINGING and len(in_conference) == 1 and in_conference[0].wait_audio:
        # A conference with one participant plays wait audio, however that participant joined.
        present[in_conference[0].name] = replace(in_conference[0], waits_for_start=True)
    dialed_next = next_dialed_party(session)
    return tuple(
        AudibleParties(name, (), f"{name} will be dialed next")
        if name == dialed_next
        else _audible_in_bridge(name, present)
        if is_ringing_caller(session, party)
        else _audible_to(party, present)
        for name, party in present.items()
    )


def _audible_to(party: PartyView, present: Mapping[str, PartyView]) -> AudibleParties:
    name = party.name
    if not party.is_connected:
        return AudibleParties(name, (), f"{name} {wording.CONNECTING.get(party.status, 'hears silence')}")
    if party.held:
        # Without configured wait audio, Twilio plays its own music.
        audio = _AUDIO_NAMES[party.wait_audio or WaitAudio.MUSIC]
        return AudibleParties(name, (), f"{name} is on hold and hears {audio}")
    if party.waits_for_start:
        return AudibleParties(name, (), f"{name} is waiting and hears {_AUDIO_NAMES[party.wait_audio]}")
    if not party.in_conference:
        return _audible_in_bridge(name, present)
    hears = tuple(other for other, one in present.items() if other != name and _is_audible(one, party))
    rings = any(one.early_media and one.status == PartyStatus.RINGING for one in present.values())
    heard = wording.join_names(hears, ["ringing"] if rings else []) or "silence"
    return AudibleParties(name, hears, f"{name} hears {heard}{_audience_note(party, present)}")


def _audible_in_bridge(name: str, present: Mapping[str, PartyView]) -> AudibleParties:
    other = {CUSTOMER: AGENT, AGENT: CUSTOMER}.get(name, "")
    partner = present.get(other)
    if partner is None:
        return AudibleParties(name, (), f"{name} hears silence")
    if partner.in_conference:
        return AudibleParties(name, (), f"{name} is joining the conference and hears silence")
    if partner.is_connected:
        return AudibleParties(name, (other,), f"{name} hears {other}")
    if partner.status == PartyStatus.RINGING:
        return AudibleParties(name, (), f"{name} hears ringing")
    return AudibleParties(name, (), f"{name} hears silence: {other} {wording.CONNECTING.get(partner.status, '')}")


def _is_audible(other: PartyView, listener: PartyView) -> bool:
    is_in = other.is_connected and other.in_conference and not other.waits_for_start
    if not is_in or other.held or other.muted:
        return False
    # Only the coached participant hears a coach.
    return not other.coaches or other.coaches == listener.call_sid


def _audience_note(party: PartyView, present: Mapping[str, PartyView]) -> str:
    if party.muted:
        return f"; no one hears {party.name}"
    if not party.coaches:
        return ""
    coached = next((other for other, one in present.items() if one.call_sid == party.coaches), "the agent")
    return f"; only {coached} hears {party.name}"
