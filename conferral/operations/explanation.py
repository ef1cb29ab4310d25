"""Explains a session: waits, next steps, first failure, suggestions."""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conferral.operations import catalog, session_summary, timeline
from conferral.operations.replay import (
    changes_of,
    command_accepted_ms,
    field_changed_ms,
    state_or_field_changed_ms,
    timer_set_ms,
)
from conferral.operations.session_search import allowed_commands_of
from conferral.operations.timeline import TimelineEntry, details_of
from conferral.runtime.redaction import display_address, mask_address_numbers
from conferral.statemachine.reasons import REASONS, EndReason
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET, Party, Session
from conferral.statemachine.states import Phase, State, TransferStage, TransferStatus
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import StoredSession

_TWILIO_ERRORS = "https://www.twilio.com/docs/api/errors"
_CALL_RESULTS = frozenset({"call_progressed", "dial_ended", "gate_decided"})
#: Beyond this distance, a time of day alone is ambiguous, in milliseconds.
_SAME_DAY_MS = 43_200_000
_PLAIN_ADDRESS = re.compile(r"(client|sip):")


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a session waits for."""

    #: A phrase that follows "waits for"; for a timer, what happens when it fires.
    for_: str
    #: Start of the wait, in Unix milliseconds; 0 if unknown.
    since_ms: int
    #: When it happens automatically, in Unix milliseconds; 0 if unknown.
    comes_at_ms: int
    by: catalog.WaitSource


#: Without a worker, nothing that anyone does has an effect.
_NO_WORKER = Wait("a worker to start: none is live", 0, 0, "worker")


@dataclass(frozen=True, slots=True)
class Failure:
    """The first thing that went wrong, or the last refused command."""

    entry: str
    at_ms: int
    what: str
    #: The refusal, or why a command failed, in words; empty if unknown, or if `what` says so already.
    guard: str
    #: The reason as the command's outcome has it; empty if unknown.
    reason: str
    twilio_code: int | None
    #: Twilio's page about the code.
    link: str | None
    is_refusal: bool
    #: Whether it happened before the newest transfer began or succeeded, with no failure since.
    is_earlier: bool


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A command that would help."""

    command: str
    why: str
    #: Arguments of the command line; words in capitals are placeholders.
    arguments: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A session's full explanation."""

    summary: tuple[str, ...]
    waits: tuple[Wait, ...]
    #: What happens automatically, and when, in sentences.
    upcoming: tuple[str, ...]
    first_failure: Failure | None
    suggestions: tuple[Suggestion, ...]


def explain(
    session: StoredSession,
    moments: Sequence[TimelineEntry],
    now_ms: int,
    *,
    full: bool = False,
    clock: Callable[[int], str] = catalog.utc_clock,
    has_worker: bool = True,
) -> Explanation:
    """Explain a session at a time of Redis's clock by its log's timeline.

    `full` as for the timeline; `clock` puts the times in sentences into words. Without a live worker (`has_worker`), a
    session waits for one.
    """
    waits = list_waits(session, moments, now_ms)
    upcoming = tuple(_upcoming_line(wait, now_ms, clock) for wait in waits if wait.by != "person")
    if waits and not has_worker:
        waits = (_NO_WORKER, *(wait for wait in waits if wait.by != "person"))
        upcoming = ("None until a worker starts: events, commands, and timers wait in Redis.",)
    return Explanation(
        summary=tuple(_summary(session, moments, now_ms, full=full, clock=clock)),
        waits=waits,
        upcoming=upcoming,
        first_failure=_first_failure(session, moments, full=full),
        suggestions=_suggestions(session, now_ms, full=full, has_worker=has_worker or not waits),
    )


def _summary(
    session: StoredSession,
    moments: Sequence[TimelineEntry],
    now_ms: int,
    *,
    full: bool,
    clock: Callable[[int], str],
) -> list[str]:
    """Return sentences about the session's state, parties, and transfer."""
    transfer = session_summary.transfer_line(session, full=full)
    if session.is_ended:
        found = _end_summary(session, moments, clock)
        return found + _sentences(
            session_summary.number_line(session, full=full), transfer and f"last transfer: {transfer}"
        )
    log = [moment.entry for moment in moments]
    since_ms = state_or_field_changed_ms(log, "phase", "transfer.status") or session.created_at_ms
    lasts = catalog.format_age(since_ms, now_ms)
    state = catalog.STATES.get(session.state, "Unknown state") + (f" ({session.phase})" if session.phase else "")
    if progress := transfer and catalog.TRANSFER_STATUSES.get(session.transfer_status):
        transfer = f"{transfer.removesuffix(f' {session_summary.transfer_word(session)}')}; {progress}"
    return [
        f"{state} for {lasts} (since {clock(since_ms)})." if lasts else f"{state}.",
        *_trouble(session, now_ms),
        *_sentences(
            session_summary.activity_line(session, full=full),
            session_summary.number_line(session, full=full),
            transfer and f"last transfer: {transfer}",
            *session_summary.session_notes(session, clock),
        ),
    ]


def _sentences(*texts: str) -> list[str]:
    return [f"{text[0].upper()}{text[1:]}." for text in texts if text]


def _trouble(session: StoredSession, now_ms: int) -> list[str]:
    found = session_summary.attention_of(session, now_ms)
    # A later rank is no trouble: a refusal is shown as the last refused command, a hold limit among what comes next.
    if found is None or found.rank > session_summary.RECOVERED:
        return []
    recovers = "recovering" if session.phase in catalog.RECOVERIES else "recovered"
    return [" ".join(_sentences("needs attention" if found.needs_attention else recovers, found.text))]


def _end_summary(session: StoredSession, moments: Sequence[TimelineEntry], clock: Callable[[int], str]) -> list[str]:
    ended_ms, created_ms, reason = session.ended_at_ms, session.created_at_ms, session.end_reason
    why = catalog.reason_text(reason) or "no reason was recorded"
    removed_party, removal = _removal(moments, reason)
    if removal:
        why = f"an operator removed the {removed_party}"
    lasted = f" after {catalog.format_age(created_ms, ended_ms)}" if created_ms and ended_ms else ""
    sentences = [f"Ended at {clock(ended_ms)}{lasted}: {why}." if ended_ms else f"Ended: {why}."]
    by = next((moment.what for moment in moments if moment.entry.is_end), "")
    if reason != EndReason.RETURNED and by:  # a returned call goes on
        sentences += _ended_by(by, reason, removal)
    return sentences


def _removal(moments: Sequence[TimelineEntry], reason: str) -> tuple[str, str]:
    """Return the party whose removal ended it, and the command; or empty."""
    party = reason.removesuffix("-left").removesuffix("-failed")  # a removed party that still rang counts as failed
    for moment in reversed(moments):
        entry = moment.entry
        if details_of(entry)["party"] != party:
            continue
        if entry.event == "remove" and entry.outcome != "refused":
            return party, moment.what
        if entry.event == "participant_joined":
            break
    return "", ""


def _ended_by(by: str, reason: str, removal: str) -> list[str]:
    """Return what ended a session, unless that seems to contradict the reason."""
    if removal:
        return [f"Cause: {removal}. Event that ended it: {by}."]
    who, reported = reason.removesuffix("-left"), re.match(r"(?:customer|agent)\b(?!-)", by)
    if not reason.endswith("-left") or reported is None or reported[0] == who:
        return [f"Ended by: {by}."]
    return []  # one party hung up, but Twilio reported first that the other left, too


def list_waits(session: Session, moments: Sequence[TimelineEntry], now_ms: int) -> tuple[Wait, ...]:
    """Return what a session waits for: people and Twilio, timers, the sweep.

    Its timeline shows when waits began whose start the session does not store.
    """
    log = [moment.entry for moment in moments]
    since_ms = state_or_field_changed_ms(log, "phase", "transfer.status")
    twilio_waits = [
        Wait(f"Twilio's answer: {one.what}", one.requested_at_ms or since_ms, 0, "twilio")
        for one in timeline.unfinished_effects(moments)
    ]
    if not session.is_live:
        return tuple(twilio_waits)
    waits = [*_waits_for_parties(session, since_ms), *_waits_for_commands(session, log)]
    waits = waits or _waits_for_people(session, log, since_ms)
    waits += twilio_waits
    due = sorted(session.timers.items(), key=lambda item: item[1])
    # The age timer, a day away, matters only if it is the only one. In a pause, the stage timer says more.
    near = [(name, at_ms) for name, at_ms in due if name != "age" or at_ms < now_ms or len(due) == 1]
    waits += [
        Wait(session_summary.timer_effect(name, session), timer_set_ms(at_ms, log), at_ms, "timer")
        for name, at_ms in near
    ]
    waits.append(Wait("the sweep, which detects lost callbacks", 0, 0, "sweep"))
    return tuple(waits)


def _waits_for_parties(session: Session, since_ms: int) -> list[Wait]:
    """Return waits for answers, joins, and updates of parties."""
    found = []
    dialed_next = session_summary.next_dialed_party(session)
    # A leg dialed by TwiML has no dial time, so the session's start counts.
    first_ms = session.created_at_ms if session.phase == Phase.RINGING else 0
    for name, party in session.present.items():
        if name == dialed_next:
            continue
        if (
            party.status in catalog.PARTY_WAITS
            and not session_summary.is_ringing_caller(session, party)
            and not party.is_leaving
        ):
            what, by = catalog.PARTY_WAITS[party.status]
            if dialed_next and name == AGENT:
                what += f"; then {dialed_next} is dialed"
            found.append(Wait(what.format(party=name), party.dialed_at_ms or first_ms or since_ms, 0, by))
        if party.pending_update:
            what = catalog.describe_update(party.pending_update, name) or f"{party.pending_update} {name}"
            found.append(Wait(f"Twilio's confirmation that {what}", party.pending_since_ms or since_ms, 0, "twilio"))
        if party.is_leaving:
            found.append(Wait(f"{name} to disconnect", since_ms, 0, "twilio"))
        if _is_joining(session, party):
            found.append(Wait(f"{name} to join the conference", since_ms, 0, "twilio"))
    if session.open_read_id:
        reading_since_ms = session.open_read_since_ms or since_ms
        found.append(Wait("Twilio to report the state of the calls", reading_since_ms, 0, "twilio"))
    return found


def _is_joining(session: Session, party: Party) -> bool:
    is_converting = session.state == State.CONVERTING
    moves = is_converting or session.transfer_stage == TransferStage.MOVING_CUSTOMER
    is_moved = party.name == CUSTOMER or (party.name == AGENT and is_converting)
    return party.is_connected and moves and is_moved and not party.in_conference


def _waits_for_commands(session: Session, log: Sequence[LogEntry]) -> list[Wait]:
    found = [
        # Only the log knows since when.
        Wait(f"the command '{command}' to finish", command_accepted_ms(command, log), 0, "twilio")
        for command in session_summary.pending_command_labels(session.pending_commands)
    ]
    if session.recording is not None and (pending_update := session.recording.pending_update):
        since_ms = field_changed_ms("recording.pending_update", log)
        found.append(Wait(f"Twilio's answer: {pending_update} the recording", since_ms, 0, "twilio"))
    return found


def _waits_for_people(session: Session, log: Sequence[LogEntry], since_ms: int) -> list[Wait]:
    """Return waits for what only a person can do, such as to unhold."""
    if session.phase == Phase.PARKED:
        return [Wait("someone to retrieve the parked call", since_ms, 0, "person")]
    if session.state == State.TRANSFERRING:
        if session.transfer_stage == TransferStage.LEAVING_MESSAGE:
            return [Wait("the customer to leave a message or hang up", since_ms, 0, "person")]
        if session.transfer_stage != TransferStage.TALKING:
            return []
        is_consulting = session.transfer_status == TransferStatus.CONSULTING
        steps = "complete, cancel, swap, or merge" if is_consulting else "complete or cancel"
        return [Wait(f"the agent to {steps}", since_ms, 0, "person")]
    if session.state not in (State.BRIDGED, State.CONFERENCED) or len(session.connected) < 2:
        return []
    held = session_summary.held_parties(session)
    found = []
    if held:
        held_ms = min(field_changed_ms(f"party.{party}.held", log, to="true") for party in held)
        found.append(Wait(f"someone to take {catalog.join_names(held)} off hold (unhold)", held_ms, 0, "person"))
    connected = session.connected.items()
    talking = [name for name, party in connected if name not in held and not (held and party.supervises)]
    if len(talking) > 1:
        found.append(Wait("a party to hang up", since_ms, 0, "person"))
    return found


def _upcoming_line(wait: Wait, now_ms: int, clock: Callable[[int], str]) -> str:
    """Return a sentence about what is awaited, and when it is due."""
    if wait.by == "sweep":
        return "If a callback was lost, the next sweep detects it by comparing with Twilio's lists."
    if wait.by == "twilio":
        lasts = f" (requested {catalog.format_age(wait.since_ms, now_ms)} ago)" if wait.since_ms else ""
        return f"Conferral is waiting for {wait.for_}{lasts}."
    if wait.comes_at_ms < now_ms:
        return f"Overdue by {catalog.format_age(wait.comes_at_ms, now_ms)}: {wait.for_}."
    until = catalog.format_age(now_ms, wait.comes_at_ms)
    if wait.comes_at_ms - now_ms > _SAME_DAY_MS:
        return f"In {until}: {wait.for_}."
    return f"At {clock(wait.comes_at_ms)}, in {until}: {wait.for_}."


def _first_failure(session: StoredSession, moments: Sequence[TimelineEntry], *, full: bool) -> Failure | None:
    """Return the last failing transfer's first failure, or the last refusal."""
    failed = [moment for moment in moments if moment.is_failure and moment.entry.outcome != "refused"]
    # A refused command causes nothing, so it comes last.
    refused = next((moment for moment in reversed(moments) if moment.entry.outcome == "refused"), None)
    begins = [one.entry.version for one in moments if session.transfer is not None and _begins_transfer(one.entry)]
    if failed:
        begin = max((version for version in begins if version <= failed[-1].entry.version), default=0)
        moment = next(moment for moment in failed if moment.entry.version >= begin)
        moment = _late_result(moments, moment) or moment
    elif refused is not None:
        moment = refused
    else:
        return None
    # A truncated log may lack the newest transfer's failure; don't claim then that nothing has failed since.
    newest = 0 if session.transfer_status == TransferStatus.FAILED else max(begins, default=0)
    later = [one.entry for one in moments[moments.index(moment) + 1 :]]
    return _failure(moment, later, is_earlier=moment.entry.version < newest, full=full)


def _late_result(moments: Sequence[TimelineEntry], timeout: TimelineEntry) -> TimelineEntry | None:
    """Return the failed result of a request that a timeout had waited for.

    Twilio may answer every attempt with an error. The result is logged only when the attempts end.
    """
    if not timeout.entry.event.endswith("_overdue"):
        return None
    at = moments.index(timeout)
    earlier = {moment.entry.id for moment in moments[:at]}
    for moment in moments[at + 1 :]:
        if moment.requested_by in earlier and (moment.is_failure or timeline.has_failed_attempt(moment.entry)):
            return moment
    return None


def _begins_transfer(entry: LogEntry) -> bool:
    changed = changes_of(entry, "transfer.status", "transfer.number")
    return "transfer.number" in changed or changed.get("transfer.status") == TransferStatus.COMPLETED


def _failure(moment: TimelineEntry, later: Sequence[LogEntry], *, is_earlier: bool, full: bool) -> Failure:
    """Return what an entry that shows a failure or a refusal says."""
    entry, is_refusal = moment.entry, moment.entry.outcome == "refused"
    reason = timeline.reason_of(entry) or next(
        (one["reason"] for one in entry.reports if one["status"] == "failed"), ""
    )
    if not reason and timeline.is_transfer_failure(entry):
        reason = entry.changes.get("transfer.reason") or ""
    reason = mask_address_numbers(reason, full=full)
    is_said = reason in REASONS and entry.event in _CALL_RESULTS  # by the event itself
    guard = "" if is_said else catalog.reason_text(reason, timeline.details_of(entry)["party"] or TARGET)
    code = timeline.twilio_code(entry) or timeline.failed_attempt_code(entry)
    if entry.event == "call_progressed":  # only the action of its `<Dial>` has the code
        ended = next((one for one in later if one.event == "dial_ended"), None)
        if ended is not None and (code := timeline.twilio_code(ended)):
            guard = catalog.twilio_error(str(code))
    return Failure(
        entry=entry.id,
        at_ms=entry.at_ms,
        what=mask_address_numbers(timeline.describe_refusal(entry), full=full) if is_refusal else moment.what,
        guard=guard,
        reason=reason,
        twilio_code=code,
        link=f"{_TWILIO_ERRORS}/{code}" if code else None,
        is_refusal=is_refusal,
        is_earlier=is_earlier,
    )


def _suggestions(session: StoredSession, now_ms: int, *, full: bool, has_worker: bool) -> tuple[Suggestion, ...]:
    found = suggested_commands(session)
    in_trouble = session_summary.attention_of(session, now_ms)
    if not has_worker or (in_trouble is not None and in_trouble.rank == session_summary.OVERDUE):
        why = "shows whether a worker holds the session's partition; without one, nothing is processed"
        found.insert(0, Suggestion("check", why, "check"))
    if session.is_ended and in_trouble is not None:
        who = " ".join(f"--{name} {_shell_address(session, name, full=full)}" for name in ("agent", "customer"))
        found.append(Suggestion("call", "calls back the agent, then the customer", f"call {who}"))
    found.append(Suggestion("replay", "replays the call step by step", f"replay {session.id}"))
    return tuple(found)


def suggested_commands(session: StoredSession) -> list[Suggestion]:
    """Return the allowed commands that help a session, the likeliest first."""
    allowed = allowed_commands_of(session)
    return [
        Suggestion(kind, why, " ".join(filter(None, (kind, session.id, more))))
        for kind, why, more in _useful_commands(session)
        if kind in allowed
    ]


def _shell_address(session: StoredSession, name: str, *, full: bool) -> str:
    """Return an address quoted for a shell; a placeholder if it is masked."""
    address = session.parties[name].address if name in session.parties else ""
    is_shown = full or (_PLAIN_ADDRESS.match(address) and display_address(address) == address)
    return shlex.quote(address) if address and is_shown else "ADDRESS"


def _useful_commands(session: StoredSession) -> list[tuple[str, str, str]]:
    """Return useful commands, likeliest first: name, reason, and options.

    The caller leaves out those that the session does not allow.
    """
    end = ("end", "ends the call for everyone", "")
    if session.phase == Phase.PARKED:
        return [("retrieve", "connects someone to the parked call", "--to ADDRESS"), end]
    if session.state == State.TRANSFERRING:
        return [*_commands_in_transfer(session.transfer_stage), end]
    if session_summary.is_lone(session):
        return [("add", "adds a party, so that no one is alone", "--to ADDRESS --party NAME"), end]
    if held := session_summary.held_parties(session):
        why = "takes {} off hold, so that everyone can talk"
        return [*(("unhold", why.format(party), f"--party {party}") for party in held), end]
    if session.transfer_status == TransferStatus.FAILED:
        return [("transfer", "tries another target", "--to ADDRESS --mode consult"), end]
    if session.phase == Phase.RINGING:
        return [end]
    return [("transfer", "transfers the customer", "--to ADDRESS --mode consult"), end]


def _commands_in_transfer(stage: str) -> list[tuple[str, str, str]]:
    if stage != TransferStage.TALKING:
        return [
            ("cancel", "stops dialing the target; customer and agent talk again", ""),
            ("complete", "disconnects the agent; the target keeps ringing", ""),
        ]
    return [
        ("complete", "disconnects the agent; customer and target stay on the call", ""),
        ("merge", "lets all three talk", ""),
        ("swap", "switches the agent between customer and target", ""),
        ("cancel", "disconnects the target; customer and agent stay on the call", ""),
    ]
