"""Explains a session: waits, next steps, first failure, suggestions."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from conferral.operations import catalog
from conferral.operations.explain import facts, timeline
from conferral.operations.explain.attention import OVERDUE, RECOVERED, attention_of, is_lone
from conferral.operations.explain.naming import with_names
from conferral.operations.explain.people import activity_line
from conferral.operations.explain.timeline import TimelineEntry, details_of
from conferral.operations.explain.waits import Wait, held_parties, list_waits, upcoming_line
from conferral.operations.session_search import allowed_commands_of
from conferral.runtime.redaction import display_address, mask_address_numbers
from conferral.statemachine.reasons import REASONS, EndReason
from conferral.statemachine.session import TARGET, Session
from conferral.statemachine.states import Phase, State, TransferStage, TransferStatus
from conferral.storage.codecs.log_codec import LogEntry

_TWILIO_ERRORS = "https://www.twilio.com/docs/api/errors"
_CALL_RESULTS = frozenset({"call_progressed", "dial_ended", "gate_decided"})
_PLAIN_ADDRESS = re.compile(r"(client|sip):")


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
    #: The reason as the command's result has it; empty if unknown.
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
    session: Session,
    moments: Sequence[TimelineEntry],
    now_ms: int,
    *,
    names: Mapping[str, str] | None = None,
    full: bool = False,
    clock: Callable[[int], str] = catalog.utc_clock,
    has_worker: bool = True,
) -> Explanation:
    """Explain a session at a time of Redis's clock by its log's timeline.

    Sentences have the `names` of agents, by address. `full` as for the timeline; `clock` puts the times in sentences
    into words. Without a live worker (`has_worker`), a session waits for one.
    """
    waits = list_waits(session, moments, now_ms)
    upcoming = tuple(upcoming_line(wait, now_ms, clock) for wait in waits if wait.by != "person")
    if waits and not has_worker:
        waits = (_NO_WORKER, *(wait for wait in waits if wait.by != "person"))
        upcoming = ("None until a worker starts: events, commands, and timers wait in Redis.",)
    return Explanation(
        summary=tuple(_summary(with_names(session, names or {}), moments, now_ms, full=full, clock=clock)),
        waits=waits,
        upcoming=upcoming,
        first_failure=_first_failure(session, moments, full=full),
        suggestions=_suggestions(session, now_ms, full=full, has_worker=has_worker or not waits),
    )


def _summary(
    session: Session,
    moments: Sequence[TimelineEntry],
    now_ms: int,
    *,
    full: bool,
    clock: Callable[[int], str],
) -> list[str]:
    """Return sentences about the session's state, parties, and transfer."""
    transfer = facts.transfer_line(session, full=full)
    if session.is_ended:
        found = _end_summary(session, moments, clock)
        return found + _sentences(facts.number_line(session, full=full), transfer and f"last transfer: {transfer}")
    since_ms = session.state_since_ms or session.created_at_ms
    lasts = catalog.format_age(since_ms, now_ms)
    state = catalog.STATES.get(session.state, "Unknown state") + (f" ({session.phase})" if session.phase else "")
    return [
        f"{state} for {lasts} (since {clock(since_ms)})." if lasts else f"{state}.",
        *_trouble(session, now_ms),
        *_sentences(
            activity_line(session, full=full),
            facts.number_line(session, full=full),
            transfer and f"last transfer: {transfer}",
            *facts.session_notes(session, clock),
        ),
    ]


def _sentences(*texts: str) -> list[str]:
    return [f"{text[0].upper()}{text[1:]}." for text in texts if text]


def _trouble(session: Session, now_ms: int) -> list[str]:
    found = attention_of(session, now_ms)
    # A later rank is no trouble: a refusal is shown as the last refused command, a hold limit among what comes next.
    if found is None or found.rank > RECOVERED:
        return []
    recovers = "recovering" if session.phase in catalog.RECOVERIES else "recovered"
    return [" ".join(_sentences("needs attention" if found.needs_attention else recovers, found.text))]


def _end_summary(session: Session, moments: Sequence[TimelineEntry], clock: Callable[[int], str]) -> list[str]:
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


def _first_failure(session: Session, moments: Sequence[TimelineEntry], *, full: bool) -> Failure | None:
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
    return "transfer.number" in entry.changes or entry.changes.get("transfer.status") == TransferStatus.COMPLETED


def _failure(moment: TimelineEntry, later: Sequence[LogEntry], *, is_earlier: bool, full: bool) -> Failure:
    """Return what an entry that shows a failure or a refusal says."""
    entry, is_refusal = moment.entry, moment.entry.outcome == "refused"
    reason = timeline.reason_of(entry) or next(
        (one["reason"] for one in entry.reports if one["status"] == "failed"), ""
    )
    if not reason and timeline.is_transfer_failure(entry):
        reason = str(entry.changes.get("transfer.reason") or "")
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


def _suggestions(session: Session, now_ms: int, *, full: bool, has_worker: bool) -> tuple[Suggestion, ...]:
    found = suggested_commands(session)
    in_trouble = attention_of(session, now_ms)
    if not has_worker or (in_trouble is not None and in_trouble.rank == OVERDUE):
        why = "shows whether a worker holds the session's partition; without one, nothing is processed"
        found.insert(0, Suggestion("check", why, "check"))
    if session.is_ended and in_trouble is not None:
        who = " ".join(f"--{name} {_shell_address(session, name, full=full)}" for name in ("agent", "customer"))
        found.append(Suggestion("call", "calls back the agent, then the customer", f"call {who}"))
    return tuple(found)


def suggested_commands(session: Session) -> list[Suggestion]:
    """Return the allowed commands that help a session, the likeliest first."""
    allowed = allowed_commands_of(session)
    return [
        Suggestion(kind, why, " ".join(filter(None, (kind, session.id, more))))
        for kind, why, more in _useful_commands(session)
        if kind in allowed
    ]


def _shell_address(session: Session, name: str, *, full: bool) -> str:
    """Return an address quoted for a shell; a placeholder if it is masked."""
    address = session.parties[name].address if name in session.parties else ""
    is_shown = full or (_PLAIN_ADDRESS.match(address) and display_address(address) == address)
    return shlex.quote(address) if address and is_shown else "ADDRESS"


def _useful_commands(session: Session) -> list[tuple[str, str, str]]:
    """Return useful commands, likeliest first: name, reason, and options.

    The caller leaves out those that the session does not allow.
    """
    end = ("end", "ends the call for everyone", "")
    if session.phase == Phase.PARKED:
        return [("retrieve", "connects someone to the parked call", "--to ADDRESS"), end]
    if session.phase == Phase.QUEUED:
        return [("retrieve", "connects someone to the caller", "--to ADDRESS"), end]
    if session.state == State.TRANSFERRING:
        return [*_commands_in_transfer(session.transfer_stage), end]
    if is_lone(session):
        return [("add", "adds a party, so that no one is alone", "--to ADDRESS --party NAME"), end]
    if held := held_parties(session):
        why = "takes {} off hold, so that everyone can talk"
        return [*(("unhold", why.format(one.name), f"--party {one.name}") for one in held), end]
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
