"""Who is in a call: what each party does, since when, and whom it hears."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from conferral.operations import catalog
from conferral.runtime.redaction import display_address
from conferral.statemachine.reasons import HANG_UP, RELEASED, Reason, reported_reason
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session
from conferral.statemachine.states import PartyStatus, Phase, State, WaitAudio
from conferral.storage.codecs.text_codec import to_iso

#: Twilio's final statuses of a caller who gave up before anyone answered.
_GAVE_UP = frozenset({"no-answer", "canceled"})
_AUDIO_NAMES = {WaitAudio.RINGBACK: "ringing", WaitAudio.MUSIC: "music", WaitAudio.NONE: "silence"}
_NEXT = "will be dialed next"
_JOINING = "is joining the conference"
#: What a customer who hears music or ringing does, by the phase; otherwise, a command holds them.
_WAITING = {
    "ringing": "waiting", "parked": "parked", "park": "parked", "retrieve": "parked", "recall": "waiting",
    "fallback": "waiting", "blind": "waiting",
    "queued": "waiting",
}  # fmt: skip


class Activity(NamedTuple):
    """What a party does."""

    party: Party
    #: Follows the party's name, such as `is on hold`; empty if it talks.
    doing: str
    #: Since when, Unix milliseconds; 0 if that says nothing.
    since_ms: int = 0
    #: What kind of wait that is: `waiting`, `parked`, or `on hold`; empty for none.
    wait: str = ""


def connected(session: Session) -> dict[str, Party]:
    """Return the parties whose calls are connected, by name."""
    return {name: party for name, party in session.parties.items() if party.is_connected}


def activities(session: Session) -> list[Activity]:
    """Return what each present party does; all surfaces derive from it."""
    present = session.present
    in_conference = [party for party in present.values() if party.in_conference]
    if session.phase in (Phase.RINGING, Phase.FALLBACK) and len(in_conference) == 1 and in_conference[0].wait_audio:
        # A conference with one participant plays wait audio, however that participant joined.
        present[in_conference[0].name] = replace(in_conference[0], waits_for_start=True)
    next_name, is_any_in = next_dialed_party(session), bool(in_conference)
    return [
        Activity(party, _NEXT) if name == next_name else _activity(session, party, is_any_in=is_any_in)
        for name, party in present.items()
    ]


def _activity(session: Session, party: Party, *, is_any_in: bool) -> Activity:
    if is_ringing_caller(session, party):
        return Activity(party, "is waiting for an answer", session.created_at_ms)
    if not party.is_connected:
        since_ms = party_since_ms(session, party) if party.status == PartyStatus.RINGING else 0
        return Activity(party, catalog.CONNECTING.get(party.status, party.status or "?"), since_ms)
    if party.supervises:
        mode = "whisper" if party.coaches else "monitor" if party.muted else "barge"
        return Activity(party, catalog.SUPERVISION[mode])
    if party.is_leaving:
        return Activity(party, "is leaving")
    if party.name == CUSTOMER and session.is_in_voicemail:
        is_recording = session.voicemail is not None and session.voicemail.is_recording
        return Activity(party, "is leaving a message" if is_recording else "is in the voicemail")
    if party.held or party.waits_for_start:
        wait, since_ms = _wait_word(session, party), party.since_ms if party.held else session.state_since_ms
        return Activity(party, f"is {wait}{_old_hold(party)}", since_ms, wait)
    return Activity(party, "" if party.in_conference or not is_any_in else _JOINING)


def _wait_word(session: Session, party: Party) -> str:
    has_conference = session.state in (State.CONFERENCED, State.TRANSFERRING)
    by_phase = _WAITING.get(session.phase) if party.name == CUSTOMER and has_conference else ""
    return by_phase or ("on hold" if party.held else "waiting")


def _old_hold(party: Party) -> str:
    return " since before an outage" if party.is_on_found_hold else ""


def next_dialed_party(session: Session) -> str:
    """Return an outbound call's customer if dialed after the agent; or empty."""
    customer, agent = session.parties.get(CUSTOMER), session.parties.get(AGENT)
    if session.customer_is_parent or session.phase != Phase.RINGING or not customer or not agent:
        return ""
    is_dialed = customer.status != PartyStatus.DIALING or customer.call_sid or customer.dial_id
    return CUSTOMER if agent.status in catalog.CONNECTING and not is_dialed else ""


def is_ringing_caller(session: Session, party: Party) -> bool:
    """Whether this is an inbound caller whom no one has answered yet."""
    is_caller = party.name == CUSTOMER and session.customer_is_parent
    return is_caller and party.status == PartyStatus.RINGING and not party.dial_id


def party_since_ms(session: Session, party: Party) -> int:
    """Return since when a party has been on the call or rung, Unix ms."""
    attempts = (session.transfer.attempts if session.transfer is not None else ()) + session.attempts
    is_whole = {CUSTOMER, AGENT} <= session.parties.keys()  # a hash that was edited by hand may not be
    dial_id = session.dial_of(party) if is_whole else party.dial_id
    attempt = next((one for one in reversed(attempts) if dial_id and one.dial_id == dial_id), None)
    known = (attempt.answered_at_ms, attempt.started_at_ms) if attempt is not None else ()
    return next(filter(None, (party.answered_at_ms, *known, party.dialed_at_ms)), session.created_at_ms)


# ---- in a line, and in a sentence for each group -------------------------------------------------------------------


class Clause(NamedTuple):
    """A sentence without its end, such as `+…23 has been on hold`."""

    text: str
    #: Since when, ISO 8601; empty if that says nothing.
    since: str = ""


def _clauses(session: Session, name_of: Callable[[Party], str]) -> list[Clause]:
    """Return who talks, then what each of the others does."""
    found = activities(session)
    talking = [name_of(one.party) for one in found if not one.doing]
    others = [
        Clause(f"{name_of(one.party)} {one.doing or 'is muted'}", to_iso(one.since_ms) if one.since_ms else "")
        for one in sorted(found, key=lambda one: one.doing == _NEXT)
        if one.doing or one.party.muted
    ]
    if (more := len(others) - catalog.LISTED_MAX) > 1:
        others = [*others[: catalog.LISTED_MAX], Clause(f"{more} more are on the call")]
    if len(talking) > 1:
        return [Clause(f"{catalog.join_names(talking)} are talking"), *others]
    if talking:
        is_awaiting = any(not one.party.is_connected or one.doing == _JOINING for one in found)
        doing = "alone" if not others else "waiting" if is_awaiting else "on the call"
        others.insert(0, Clause(f"{talking[0]} is {doing}"))
    return others


def activity_line(session: Session, *, full: bool = False, addresses: bool = True) -> str:
    """Describe who talks to whom, and what others do; empty if all left."""

    def named(party: Party) -> str:
        return f"{party.name} {display_address(party.address, full=full) if addresses else ''}".strip()

    return "; ".join(clause.text for clause in _clauses(session, named))


def headline(session: Session, *, full: bool = False) -> list[Clause]:
    """Return the same for a page: with people's names, and since when."""
    if session.is_ended:
        return [Clause(f"The call has ended: {catalog.reason_text(session.end_reason)}")]
    found = _clauses(session, lambda party: person(party, full=full))
    return [
        Clause(text[:1].upper() + text[1:].replace(" is ", " has been ", 1 if since else 0), since)
        for text, since in found
    ]


def person(party: Party, *, full: bool = False) -> str:
    """Name a party as people do: by user or number; else by its role."""
    return display_address(party.address, full=full).removeprefix("client:") or party.name


def people_line(session: Session, *, full: bool = False) -> str:
    """Name a call by its people, such as `+…23, alice, and bob`."""
    there = session.parties if session.is_ended else session.present
    # Those who were never reached are part of an ended call's history, not of its people.
    reached = [one for one in there.values() if one.name == CUSTOMER or one.left_reason not in catalog.UNREACHED]
    return catalog.join_names([*dict.fromkeys(person(one, full=full) for one in reached)])


def connected_address(session: Session, name: str, *, full: bool = False) -> str:
    """Return a party's address; empty if it has left a live session."""
    party = (session.parties if session.is_ended else session.present).get(name)
    return display_address(party.address, full=full) if party else ""


def party_notes(session: Session, party: Party) -> list[str]:
    """Return notes on a party besides its status."""
    if party.is_gone:  # earlier hold and mute no longer matter
        former = ["former agent"] if party.name.startswith(f"{AGENT}-") else []
        return [*former, *([_left_note(session, party)] if party.left_reason else [])]
    one = next(one for one in activities(session) if one.party.name == party.name)
    if one.doing == _NEXT or (party.supervises and party.is_connected):
        return [one.doing]
    hold = _wait_word(session, party) + _old_hold(party)
    found = [mark for mark, is_set in ((hold, party.held), ("muted", party.muted)) if is_set]
    return [*found, f"hears {party.wait_audio}"] if one.wait and party.wait_audio else found


def _left_note(session: Session, party: Party) -> str:
    left_reason = party.left_reason
    if party.is_leaving and reported_reason(left_reason) is Reason.HUNG_UP:
        left_reason = RELEASED
    is_caller = party.name == (CUSTOMER if session.customer_is_parent else AGENT) and not party.dial_id
    return catalog.left_note(HANG_UP if is_caller and left_reason in _GAVE_UP else left_reason)


@dataclass(frozen=True, slots=True)
class HeldCall:
    """What kind of wait a call is in, and since when."""

    #: `waiting`, `parked`, or `on hold`.
    kind: str
    #: ISO 8601.
    since: str


def held_call(session: Session) -> HeldCall | None:
    """Return the longest wait or hold of a live session's parties; or None."""
    waiting = [] if session.is_ended else [one for one in activities(session) if one.wait]
    longest = min(waiting, key=lambda one: one.since_ms, default=None)
    return HeldCall(longest.wait, to_iso(longest.since_ms)) if longest else None


# ---- who hears whom ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AudibleParties:
    """What one party hears."""

    party: str
    hears: tuple[str, ...]
    #: The same as a sentence, including ringing, music, or silence.
    text: str


def audibility(session: Session) -> tuple[AudibleParties, ...]:
    """Return what each present party hears; empty for an ended session."""
    found = activities(session) if session.is_live else []
    present = {one.party.name: one.party for one in found}
    return tuple(_audible_to(session, one, present) for one in found)


def _audible_to(session: Session, one: Activity, present: Mapping[str, Party]) -> AudibleParties:
    party, name = one.party, one.party.name
    if is_ringing_caller(session, party):
        return _audible_in_bridge(name, present)
    if not party.is_connected or (name == CUSTOMER and session.is_in_voicemail):
        return AudibleParties(name, (), f"{name} {one.doing}")
    if party.held or party.waits_for_start:
        # On hold without configured wait audio, Twilio plays its own music.
        audio = _AUDIO_NAMES[party.wait_audio or (WaitAudio.MUSIC if party.held else WaitAudio.NONE)]
        return AudibleParties(name, (), f"{name} {one.doing} and hears {audio}")
    if not party.in_conference:
        return _audible_in_bridge(name, present)
    hears = tuple(other for other, that in present.items() if other != name and _is_audible(that, party))
    rings = any(that.early_media and that.status == PartyStatus.RINGING for that in present.values())
    heard = catalog.join_names(hears, ["ringing"] if rings else []) or "silence"
    return AudibleParties(name, hears, f"{name} hears {heard}{_audience_note(party, present)}")


def _audible_in_bridge(name: str, present: Mapping[str, Party]) -> AudibleParties:
    """Return whom the customer or the agent of a plain `<Dial>` hears."""
    other = {CUSTOMER: AGENT, AGENT: CUSTOMER}.get(name, "")
    partner = present.get(other)
    if partner is None:
        return AudibleParties(name, (), f"{name} hears silence")
    if partner.in_conference:
        return AudibleParties(name, (), f"{name} is joining the conference and hears silence")
    if partner.is_connected:
        return AudibleParties(name, (other,), f"{name} hears {other}")
    if partner.status in (PartyStatus.RINGING, PartyStatus.CONFIRMING):
        return AudibleParties(name, (), f"{name} hears ringing")
    return AudibleParties(name, (), f"{name} hears silence: {other} {catalog.CONNECTING.get(partner.status, '')}")


def _is_audible(other: Party, listener: Party) -> bool:
    is_in = other.is_connected and other.in_conference and not other.waits_for_start
    if not is_in or other.held or other.muted:
        return False
    # Only the coached participant hears a coach.
    return not other.coaches or other.coaches == listener.call_sid


def _audience_note(party: Party, present: Mapping[str, Party]) -> str:
    if party.muted:
        return f"; no one hears {party.name}"
    if not party.coaches:
        return ""
    coached = next((other for other, one in present.items() if one.call_sid == party.coaches), "the agent")
    return f"; only {coached} hears {party.name}"
