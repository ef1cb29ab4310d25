"""A session in words: who talks, waits, hears whom, and what is wrong."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from conferral.operations import catalog
from conferral.runtime.redaction import display_address
from conferral.statemachine.events import HoldOverdue
from conferral.statemachine.guards import recording_of
from conferral.statemachine.parts import PendingCommand
from conferral.statemachine.reasons import HANG_UP, REASONS, RELEASED, Reason, reported_reason
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, Party, Session
from conferral.statemachine.states import (
    PartyStatus,
    Phase,
    State,
    TransferMode,
    TransferStage,
    TransferStatus,
    WaitAudio,
)
from conferral.storage.codecs.text_codec import to_iso

#: Twilio's final statuses of a caller who gave up before anyone answered.
_GAVE_UP = frozenset({"no-answer", "canceled"})
_AUDIO_NAMES = {WaitAudio.RINGBACK: "ringing", WaitAudio.MUSIC: "music", WaitAudio.NONE: "silence"}


@dataclass(frozen=True, slots=True)
class AudibleParties:
    """What one party hears."""

    party: str
    hears: tuple[str, ...]
    #: The same as a sentence, including ringing, music, or silence.
    text: str


def audibility(session: Session) -> tuple[AudibleParties, ...]:
    """Return what each present party hears; empty for an ended session."""
    if not session.is_live:
        return ()
    present = session.present
    in_conference = [party for party in present.values() if party.in_conference]
    if session.phase in (Phase.RINGING, Phase.FALLBACK) and len(in_conference) == 1 and in_conference[0].wait_audio:
        # A conference with one participant plays wait audio, however that participant joined.
        present[in_conference[0].name] = replace(in_conference[0], waits_for_start=True)
    dialed_next = next_dialed_party(session)
    return tuple(
        AudibleParties(name, (), f"{name} will be dialed next")
        if name == dialed_next
        else _audible_in_bridge(name, present)
        if is_ringing_caller(session, party)
        else AudibleParties(name, (), f"{name} {_voicemail_note(session)}")
        if is_in_voicemail(session, party)
        else _audible_to(party, present, _wait_word(session, party))
        for name, party in present.items()
    )


def _audible_to(party: Party, present: Mapping[str, Party], wait_word: str) -> AudibleParties:
    """Return whom a party hears, in the conference or in a bridge."""
    name = party.name
    if not party.is_connected:
        return AudibleParties(name, (), f"{name} {catalog.CONNECTING.get(party.status, 'hears silence')}")
    if party.held or party.waits_for_start:
        # On hold without configured wait audio, Twilio plays its own music.
        audio = _AUDIO_NAMES[party.wait_audio or (WaitAudio.MUSIC if party.held else WaitAudio.NONE)]
        return AudibleParties(name, (), f"{name} is {wait_word} and hears {audio}")
    if not party.in_conference:
        return _audible_in_bridge(name, present)
    hears = tuple(other for other, one in present.items() if other != name and _is_audible(one, party))
    rings = any(one.early_media and one.status == PartyStatus.RINGING for one in present.values())
    heard = catalog.join_names(hears, ["ringing"] if rings else []) or "silence"
    return AudibleParties(name, hears, f"{name} hears {heard}{_audience_note(party, present)}")


def _wait_word(session: Session, party: Party) -> str:
    if session.phase == Phase.PARKED and party.name == CUSTOMER:
        return "parked"
    return "on hold" if party.held else "waiting"


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


#: Parties or pending commands named in a list's column (count).
SHORT_NOTES_MAX = 5
_NEXT_NOTE = "will be dialed next"
#: Final statuses of a recording: earlier pauses and stops no longer matter.
_RECORDING_OVER = frozenset({"completed", "absent", "failed"})
_WAITING = {
    "ringing": "waiting", "parked": "parked", "park": "parked", "retrieve": "parked", "recall": "waiting",
    "fallback": "waiting",
}  # fmt: skip


def state_label(session: Session) -> str:
    """Return state and phase as one label, such as `transferring (consult)`."""
    return f"{session.state or '?'} ({session.phase})" if session.phase else session.state or "?"


def next_dialed_party(session: Session) -> str:
    """Return an outbound call's customer if dialed after the agent; or empty."""
    customer, agent = session.parties.get(CUSTOMER), session.parties.get(AGENT)
    if session.customer_is_parent or session.phase != Phase.RINGING or not customer or not agent:
        return ""
    is_dialed = customer.status != PartyStatus.DIALING or customer.call_sid or customer.dial_id
    return CUSTOMER if agent.status in catalog.CONNECTING and not is_dialed else ""


def people_line(session: Session, *, full: bool = False) -> str:
    """Name a call by its people, such as `+…23, alice, and bob`."""
    there = session.parties if session.is_ended else session.present
    # Those who were never reached are part of an ended call's history, not of its people.
    reached = {
        name: party for name, party in there.items() if name == CUSTOMER or party.left_reason not in catalog.UNREACHED
    }
    return catalog.join_names([*dict.fromkeys(person(one, full=full) for one in reached.values())])


def person(party: Party, *, full: bool = False) -> str:
    """Name a party as people do: by user or number; else by its role."""
    return display_address(party.address, full=full).removeprefix("client:") or party.name


def activity_line(session: Session, *, full: bool = False, addresses: bool = True) -> str:
    """Describe who talks to whom, and what others do; empty if all left."""
    together, apart, following = [], [], []
    dialed_next = next_dialed_party(session)
    for name, party in session.present.items():
        who = f"{name} {display_address(party.address, full=full) if addresses else ''}".strip()
        if name == dialed_next:
            following.append(f"{who} {_NEXT_NOTE}")
        elif doing := activity_note(session, party):
            apart.append(f"{who} {doing}")
        else:
            together.append(who)
            if party.muted:
                apart.append(f"{name} is muted")
    if len(together) > 1:
        return "; ".join([f"{catalog.join_names(together)} are talking", *catalog.limit_notes(apart)])
    if together:
        apart.insert(0, f"{together[0]} {'is waiting' if apart or session.phase == Phase.FALLBACK else 'is alone'}")
    return "; ".join(catalog.limit_notes(apart) + following)


def party_since_ms(session: Session, party: Party) -> int:
    """Return since when a party has been on the call or rung, Unix ms."""
    attempts = (session.transfer.attempts if session.transfer is not None else ()) + session.attempts
    is_whole = {CUSTOMER, AGENT} <= session.parties.keys()  # a hash that was edited by hand may not be
    dial_id = session.dial_of(party) if is_whole else party.dial_id
    attempt = next((one for one in reversed(attempts) if dial_id and one.dial_id == dial_id), None)
    known = (attempt.answered_at_ms, attempt.started_at_ms) if attempt is not None else ()
    return next(filter(None, (party.answered_at_ms, *known, party.dialed_at_ms)), session.created_at_ms)


def held_parties(session: Session) -> list[str]:
    """Return the parties on confirmed hold, outside of a transfer."""
    if session.state != State.CONFERENCED or session.phase != Phase.CONNECTED:
        return []
    return [name for name, party in session.connected.items() if party.held]


def is_ringing_caller(session: Session, party: Party) -> bool:
    """Whether this is an inbound caller whom no one has answered yet."""
    is_caller = party.name == CUSTOMER and session.customer_is_parent
    return is_caller and party.status == PartyStatus.RINGING and not party.dial_id


def is_in_voicemail(session: Session, party: Party) -> bool:
    """Whether this is a customer in the voicemail, or on the way."""
    return party.name == CUSTOMER and party.is_connected and session.is_in_voicemail


def _voicemail_note(session: Session) -> str:
    is_recording = session.voicemail is not None and session.voicemail.is_recording
    return "is leaving a message" if is_recording else "is in the voicemail"


def activity_note(session: Session, party: Party) -> str:
    """Describe what a party does, such as `is on hold`; empty if it talks."""
    if is_ringing_caller(session, party):
        return "is waiting for an answer"
    if not party.is_connected:
        return catalog.CONNECTING.get(party.status, party.status or "?")
    if party.supervises:
        return catalog.SUPERVISION["whisper" if party.coaches else "monitor" if party.muted else "barge"]
    if party.is_leaving:
        return "is leaving"
    if is_in_voicemail(session, party):
        return _voicemail_note(session)
    if party.held or party.waits_for_start:
        return f"is {_wait_word(session, party)}"
    is_moving = not party.in_conference and any(other.in_conference for other in session.present.values())
    return "is joining the conference" if is_moving else ""


def connected_address(session: Session, name: str, *, full: bool = False) -> str:
    """Return a party's address; empty if it has left a live session."""
    party = (session.parties if session.is_ended else session.present).get(name)
    return display_address(party.address, full=full) if party else ""


def party_notes(session: Session, party: Party) -> list[str]:
    """Return notes on a party besides its status."""
    if party.is_gone:  # earlier hold and mute no longer matter
        former = ["former agent"] if party.name.startswith(f"{AGENT}-") else []
        return [*former, *filter(None, (_left_reason(session, party),))]
    if party.name == next_dialed_party(session):
        return [_NEXT_NOTE]
    if party.supervises and party.is_connected:
        return [activity_note(session, party)]
    found = [mark for mark, is_set in ((_wait_word(session, party), party.held), ("muted", party.muted)) if is_set]
    if party.wait_audio and (party.held or party.waits_for_start):
        found.append(f"hears {party.wait_audio}")
    return found


def _left_reason(session: Session, party: Party) -> str:
    left_reason = party.left_reason
    if not left_reason:
        return ""
    if party.is_leaving and reported_reason(left_reason) is Reason.HUNG_UP:
        left_reason = RELEASED
    is_caller = party.name == (CUSTOMER if session.customer_is_parent else AGENT) and not party.dial_id
    return catalog.left_note(HANG_UP if is_caller and left_reason in _GAVE_UP else left_reason)


def session_notes(session: Session, clock: Callable[[int], str] = catalog.utc_clock) -> list[str]:
    """Return notes on parking, agents, the recording, and pending commands."""
    found = []
    if session.parked_until_ms and not session.is_ended:
        found.append(f"until {clock(session.parked_until_ms)} at the latest")
    if len(session.agents) > 1 and session.phase == Phase.RINGING:
        found.append(f"agent {session.agent_number + 1} of {len(session.agents)}")
    status = recording_of(session).status
    if status and (not session.is_ended or status in _RECORDING_OVER):
        found.append(f"recording {catalog.RECORDING.get(status, status).removeprefix('is ')}")
    pending = [f"{one.name}{f' ({one.party})' if one.party else ''} in progress" for one in session.pending_commands]
    return found + catalog.limit_notes(pending, SHORT_NOTES_MAX)


def agents_tried(session: Session) -> list[tuple[str, str]]:
    """Return position and address of the agents dialed before the current one."""
    tried = session.agents[: session.agent_number]
    return [(f"agent {number} of {len(session.agents)}", one) for number, one in enumerate(tried, start=1)]


def pending_command_labels(commands: Sequence[PendingCommand]) -> list[str]:
    """Return the pending commands as `hold customer`, or `merge`."""
    return [f"{one.name} {one.party}".strip() for one in commands]


def number_line(session: Session, *, full: bool = False) -> str:
    """Say which of our numbers was called, or which one the customer sees."""
    number = display_address(session.number, full=full)
    if not number:
        return ""
    return f"the caller called {number}" if session.direction == INBOUND else f"the customer sees {number}"


def transfer_line(session: Session, *, full: bool = False) -> str:
    """Describe the newest transfer: mode, targets, progress, and failure."""
    transfer = session.public_transfer
    if transfer is None:
        return ""
    # Mask each destination separately, so that a comma can't join two numbers.
    to = ", ".join(display_address(one, full=full) for one in transfer.to.split(","))
    # A park has no target.
    whom = f"to {to}" if to else ""
    why = f": {catalog.transfer_failure(transfer.reason, transfer.code)}" if transfer.reason else ""
    return " ".join(filter(None, (transfer.mode, whom, transfer_word(session)))) + why


def transfer_word(session: Session) -> str:
    """Return the newest transfer's status; a consult isn't said twice."""
    is_talk = session.transfer_status == TransferStatus.CONSULTING
    return "talking" if is_talk else session.transfer_status


def dial_attempts(session: Session, until_ms: int, *, full: bool = False) -> list[tuple[str, ...]]:
    """Return the dial attempts of the newest transfer or fallback, in order.

    The last two values: until answered, and connected. Open attempts last until the end of the transfer, `until_ms`.
    """
    return [
        (
            one.party,
            display_address(one.to, full=full),
            _result_note(one.result),
            _format_duration(one.started_at_ms, one.answered_at_ms or one.ended_at_ms or until_ms),
            _format_duration(one.answered_at_ms, one.ended_at_ms or until_ms),
        )
        for one in (session.transfer.attempts if session.transfer is not None else ())
    ]


def _result_note(result: str) -> str:
    return catalog.left_note(result) if result in REASONS else result or "in progress"


def _format_duration(from_ms: int, until_ms: int) -> str:
    return f"{max(0, until_ms - from_ms) / 1000:.1f} s" if from_ms and until_ms else ""


@dataclass(frozen=True, slots=True)
class HeldCall:
    """What kind of wait a call is in, and since when."""

    #: `waiting`, `parked`, or `on hold`.
    kind: str
    #: ISO 8601; empty if unknown.
    since: str


def held_call(session: Session) -> HeldCall | None:
    """Return a live session's wait, or longest hold of any party; or None."""
    if session.is_in_voicemail:
        return None  # those who are there wait for no one
    if session.state in (State.CONFERENCED, State.TRANSFERRING) and (kind := _WAITING.get(session.phase)):
        return HeldCall(kind, to_iso(session.state_since_ms))
    held_ms = [party.since_ms for party in session.parties.values() if party.held]
    return HeldCall("on hold", to_iso(min(held_ms))) if held_ms and not session.is_ended else None


def timer_effect(timer: str, session: Session) -> str:
    """Describe what happens when a timer fires."""
    if timer == "stage" and session.transfer_stage == TransferStage.WAITING_TO_RECALL:
        return "Conferral calls the agent back"
    if timer == "read" and session.transfer_stage == TransferStage.LEAVING_MESSAGE:
        return "Conferral asks Twilio whether the message is over"
    if timer == "stage" and session.internal_transfer is not None:
        return "Conferral checks on the fallback"
    if timer == "park" and session.transfer is not None and session.transfer.fallback.partition(",")[0] != "recall":
        return "the parked call goes on to its fallback"
    return catalog.TIMERS.get(timer, f"the timer {timer}")


#: How long before its end by `CONFERRAL_HOLD_LIMIT` a hold is marked, milliseconds.
HOLD_LIMIT_NEAR_MS = 60_000
#: Ranks, worst first. RECOVERED: the caller is talking again, so the session is marked, but no one has to act.
#: HOLD_LIMIT: a hold ends within a minute. REFUSED: a transfer command was refused, and nothing has changed.
OVERDUE, LONE, FAILING, RECOVERED, HOLD_LIMIT, REFUSED = 1, 2, 3, 4, 5, 6
#: A timer counts as overdue this long after its due time, in milliseconds. Workers poll due timers every second.
OVERDUE_AFTER_MS = 2_000
#: How long a failed transfer is reported, in milliseconds.
RECENT_FAILURE_MS = 300_000
_EXPECTED_LONE_PHASES = frozenset({"ringing", "blind", "park", "parked", "retrieve", "recall", "fallback", "voicemail"})


#: Of a failure in `Attention`: a list shows the mark of a failure next to it.
_COMMON_BEGINNING = re.compile(r"^(?:transfer|park|retrieve) (?:failed|refused): ")


@dataclass(frozen=True, slots=True)
class Attention:
    """A session's current or past problem."""

    rank: int
    #: One short sentence, for instance `transfer failed: target was busy` or `alone in the conference: agent`.
    text: str

    @property
    def label(self) -> str:
        """Return it for a list, which cuts its end: what differs comes first."""
        return _COMMON_BEGINNING.sub("", self.text)

    @property
    def needs_attention(self) -> bool:
        """Whether a person has to act."""
        return self.rank < RECOVERED


def attention_of(session: Session, now_ms: int, clock: Callable[[int], str] = catalog.utc_clock) -> Attention | None:
    """Return a session's worst problem, by Redis's clock; None without one."""
    if session.is_ended:
        reason = session.end_reason
        return Attention(FAILING, f"ended: {catalog.reason_text(reason)}") if catalog.is_bad_end(reason) else None
    if overdue := _describe_overdue(session, now_ms):
        return Attention(OVERDUE, overdue)
    if is_lone(session):
        return Attention(LONE, f"alone in the conference: {_participants(session)[0]}")
    if failure := _describe_failed_transfer(session, now_ms):
        return Attention(RECOVERED if _has_recovered(session) else FAILING, failure)
    hold_ends_ms = session.timers.get(HoldOverdue.timer)
    if hold_ends_ms is not None and hold_ends_ms - now_ms <= HOLD_LIMIT_NEAR_MS:
        return Attention(HOLD_LIMIT, f"hold limit at {clock(hold_ends_ms)}")
    if session.refused_transfer and 0 <= now_ms - session.refused_transfer_at_ms <= RECENT_FAILURE_MS:
        reason = catalog.reason_text(session.refused_transfer)
        return Attention(REFUSED, f"transfer refused: {reason}")
    return None


def sort_key(session: Session, now_ms: int) -> tuple[int, int, str]:
    """Return a key that sorts the worst sessions first, then the newest."""
    trouble = attention_of(session, now_ms)
    rank = trouble.rank if trouble and trouble.needs_attention else RECOVERED
    return rank, -session.created_at_ms, session.id


def is_lone(session: Session) -> bool:
    """Whether to show one party as unexpectedly alone; decides nothing."""
    if session.state not in (State.CONFERENCED, State.TRANSFERRING) or session.phase in _EXPECTED_LONE_PHASES:
        return False
    if any(party.status in catalog.CONNECTING for party in session.parties.values()):
        return False
    return len(_participants(session)) == 1


def _has_recovered(session: Session) -> bool:
    """Whether the caller talks again, or the fallback is under way."""
    if session.phase in catalog.RECOVERIES:
        return True
    if session.state not in (State.BRIDGED, State.CONFERENCED) or session.phase in _EXPECTED_LONE_PHASES:
        return False
    return len(_participants(session)) >= 2


def _participants(session: Session) -> list[str]:
    return [name for name, party in session.connected.items() if not party.supervises and not party.is_leaving]


def _describe_overdue(session: Session, now_ms: int) -> str:
    """Describe an overdue timer, or that a live session has none; else empty."""
    timers = session.timers
    if not timers:
        return "overdue: nothing is pending, not even a timer"
    name = min(timers, key=timers.__getitem__)
    if now_ms - timers[name] <= OVERDUE_AFTER_MS:
        return ""
    return f"overdue by {catalog.format_age(timers[name], now_ms)}: {timer_effect(name, session)}"


def _describe_failed_transfer(session: Session, now_ms: int) -> str:
    """Describe a transfer that failed lately, or what follows; else empty."""
    transfer = session.public_transfer
    if transfer is None or session.running_transfer is session.internal_transfer is not None:
        return ""
    why = f": {catalog.transfer_failure(transfer.reason, transfer.code)}" if transfer.reason else ""
    if recovery := catalog.RECOVERIES.get(session.phase):
        return f"transfer failed{why}; {recovery}"
    if transfer.status != TransferStatus.FAILED:
        return ""
    # Without a dial, its time is not stored: the session's last change is the latest it can be.
    failed_ms = max((one.ended_at_ms for one in transfer.attempts), default=0) or session.updated_at_ms
    if not 0 <= now_ms - failed_ms <= RECENT_FAILURE_MS:
        return ""
    return f"{transfer.mode if transfer.mode in (TransferMode.PARK, TransferMode.RETRIEVE) else 'transfer'} failed{why}"
