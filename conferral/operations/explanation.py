"""Explains a session: waits, next steps, first failure, suggestions."""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from conferral.operations import attention, catalog, descriptions, pending, session_summary, timeline
from conferral.operations.attention import describe_damage, repair_of
from conferral.operations.pending import Wait, changes_of, state_or_field_changed_ms
from conferral.operations.session_queries import allowed_commands_of
from conferral.operations.timeline import TimelineEntry
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.states import Phase, State, TransferStage, TransferStatus
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import WRONG_TYPE, StoredSession

_TWILIO_ERRORS = "https://www.twilio.com/docs/api/errors"
#: Reasons that repeat what the text of a failure says.
_REASONS_IN_TEXT = catalog.NOT_REACHED.keys() | catalog.END_REASONS.keys()
_CALL_RESULTS = frozenset({"call_progressed", "dial_ended", "gate_decided"})
#: Without a worker, nothing that anyone does has an effect.
_NO_WORKER = Wait("a worker to start: none is live", 0, 0, "worker")
#: Beyond this distance, a time of day alone is ambiguous, in milliseconds.
_SAME_DAY_MS = 43_200_000
_PLAIN_ADDRESS = re.compile(r"(client|sip):")


@dataclass(frozen=True, slots=True)
class Failure:
    """The first thing that went wrong, or the last refused command."""

    entry_id: str
    at_ms: int
    text: str
    #: The refusal, or why a command failed; empty if unknown, or if the text says so already.
    guard: str
    #: 0 for none.
    twilio_code: int
    link: str
    #: The reason as the command's outcome has it; empty if unknown.
    reason: str = ""
    #: Whether it happened before the newest transfer began or succeeded, with no failure since.
    is_earlier: bool = False
    is_refusal: bool = False


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
    log: Sequence[LogEntry],
    now_ms: int,
    *,
    moments: Sequence[TimelineEntry] | None = None,  # the log's timeline, if built already with the same `full`
    full: bool = False,
    clock: Callable[[int], str] = descriptions.utc_clock,
    has_worker: bool = True,
) -> Explanation:
    """Explain a session at a time of Redis's clock; `log` is oldest first.

    `clock` puts the times in sentences into words. Without a live worker (`has_worker`), a session waits for one.
    """
    moments = timeline.build_timeline(log, full=full) if moments is None else moments
    waits = pending.list_waits(session, now_ms, timeline.unfinished_effects(moments), log)
    upcoming = tuple(_upcoming_line(wait, now_ms, clock) for wait in waits if wait.by != "person")
    if waits and not has_worker:
        waits = (_NO_WORKER, *(wait for wait in waits if wait.by != "person"))
        upcoming = ("None until a worker starts: events, commands, and timers wait in Redis.",)
    failure = _first_failure(session, log, moments, full=full)
    return Explanation(
        summary=tuple(_summary(session, log, moments, now_ms, full=full, clock=clock)),
        waits=waits,
        upcoming=upcoming,
        first_failure=failure,
        suggestions=_suggestions(session, now_ms, full=full, has_worker=has_worker or not waits),
    )


def explain_damage(session: StoredSession) -> Explanation | None:
    """Explain a hash that can't be decoded (no field is reliable), or None."""
    if not (field := session.damaged):
        return None
    repair, why = repair_of(field), "processes what has arrived in the meantime, once the field is repaired"
    retry = Suggestion("dead", why, "dead retry --all")
    forget = Suggestion("forget", "erases the session; its calls continue", f"forget {session.id or 'SESSION'}")
    suggestions = (forget,) if field == WRONG_TYPE else (retry, forget)
    return Explanation(
        summary=(f"The stored state of this session is damaged: {describe_damage(field)} is not what Conferral wrote.",
                  f"{repair[0].upper()}{repair[1:]}."),
        waits=(), upcoming=(), first_failure=None,
        suggestions=suggestions,
    )  # fmt: skip


def _summary(
    session: StoredSession,
    log: Sequence[LogEntry],
    moments: Sequence[TimelineEntry],
    now_ms: int,
    *,
    full: bool,
    clock: Callable[[int], str],
) -> list[str]:
    """Return sentences about the session's state, parties, and transfer."""
    if session.is_ended:
        return _summary_of_ended(session, log, moments, full=full, clock=clock)
    since_ms = state_or_field_changed_ms(log, "phase", "transfer.status") or session.created_at_ms
    lasts = descriptions.format_age(since_ms, now_ms)
    phase = f" ({session.phase})" if session.phase else ""
    state = catalog.STATES.get(session.state, "Unknown state") + phase
    sentences = [f"{state} for {lasts} (since {clock(since_ms)})." if lasts else f"{state}."]
    in_trouble = attention.attention_of(session, now_ms)
    # A later rank is no trouble: a refusal is shown as the last refused command, a hold limit among what comes next.
    if in_trouble and in_trouble.rank <= attention.RECOVERED:
        recovers = "Recovering" if session.phase in attention.RECOVERIES else "Recovered"
        mark = "Needs attention" if in_trouble.needs_attention else recovers
        sentences.append(f"{mark}. {_capitalized(in_trouble.text)}.")
    if participants := session_summary.activity_line(session, full=full):
        sentences.append(f"{_capitalized(participants)}.")
    if number := session_summary.number_line(session, full=full):
        sentences.append(f"{_capitalized(number)}.")
    if transfer := session_summary.transfer_line(session, full=full):
        if progress := catalog.TRANSFER_STATUSES.get(session.transfer_status):
            transfer = f"{transfer.removesuffix(f' {session_summary.transfer_word(session)}')}; {progress}"
        sentences.append(f"Last transfer: {transfer}.")
    return sentences + [f"{_capitalized(note)}." for note in session_summary.session_notes(session, clock)]


def _summary_of_ended(
    session: StoredSession,
    log: Sequence[LogEntry],
    moments: Sequence[TimelineEntry],
    *,
    full: bool,
    clock: Callable[[int], str],
) -> list[str]:
    ended_ms, created_ms, reason = session.ended_at_ms, session.created_at_ms, session.end_reason
    why = catalog.END_REASONS.get(reason, reason) or "no reason was recorded"
    removed_party, removal = _removal(moments, log, reason)
    if removal:
        why = f"an operator removed the {removed_party}"
    lasted = f" after {descriptions.format_age(created_ms, ended_ms)}" if created_ms and ended_ms else ""
    sentences = [f"Ended at {clock(ended_ms)}{lasted}: {why}." if ended_ms else f"Ended: {why}."]
    if reason != EndReason.RETURNED and (by := next(filter(timeline.is_end, moments), None)):  # a returned call goes on
        sentences += [f"{cause}." for cause in _ended_by(by, reason, removal)]
    if number := session_summary.number_line(session, full=full):
        sentences.append(f"{_capitalized(number)}.")
    if transfer := session_summary.transfer_line(session, full=full):
        sentences.append(f"Last transfer: {transfer}.")
    return sentences


def _removal(moments: Sequence[TimelineEntry], log: Sequence[LogEntry], reason: str) -> tuple[str, str]:
    """Return the party whose removal ended it, and the command; or empty."""
    party = reason.removesuffix("-left").removesuffix("-failed")  # a removed party that still rang counts as failed
    for entry, moment in zip(reversed(log), reversed(moments), strict=True):
        if descriptions.details_of(entry)["party"] != party:
            continue
        if moment.event == "remove" and moment.outcome != "refused":
            return party, moment.text
        if moment.event == "participant_joined":
            break
    return "", ""


def _ended_by(by: TimelineEntry, reason: str, removal: str) -> list[str]:
    """Return what ended a session, unless that seems to contradict the reason."""
    if removal:
        return [f"Cause: {removal}. Event that ended it: {by.text}"]
    who, reported = reason.removesuffix("-left"), re.match(r"(?:customer|agent)\b(?!-)", by.text)
    if not reason.endswith("-left") or reported is None or reported[0] == who:
        return [f"Ended by: {by.text}"]
    return []  # one party hung up, but Twilio reported first that the other left, too


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _upcoming_line(wait: Wait, now_ms: int, clock: Callable[[int], str]) -> str:
    """Return a sentence about what is awaited, and when it is due."""
    if wait.by == "sweep":
        return "If a callback was lost, the next sweep detects it by comparing with Twilio's lists."
    if wait.by == "twilio":
        lasts = f" (requested {descriptions.format_age(wait.since_ms, now_ms)} ago)" if wait.since_ms else ""
        return f"Conferral is waiting for {wait.for_}{lasts}."
    if wait.comes_at_ms < now_ms:
        return f"Overdue by {descriptions.format_age(wait.comes_at_ms, now_ms)}: {wait.for_}."
    until = descriptions.format_age(now_ms, wait.comes_at_ms)
    if wait.comes_at_ms - now_ms > _SAME_DAY_MS:
        return f"In {until}: {wait.for_}."
    return f"At {clock(wait.comes_at_ms)}, in {until}: {wait.for_}."


def _first_failure(
    session: StoredSession, log: Sequence[LogEntry], moments: Sequence[TimelineEntry], *, full: bool
) -> Failure | None:
    """Return the last failing transfer's first failure, or the last refusal."""
    pairs = [(entry, moment) for entry, moment in zip(log, moments, strict=True) if moment.is_failure]
    begins = [entry.version for entry in log if session.transfer is not None and _begins_transfer(entry)]
    # A truncated log may lack the newest transfer's failure; don't claim then that nothing has failed since.
    newest = 0 if session.transfer_status == TransferStatus.FAILED else max(begins, default=0)
    for are_refused in (False, True):  # a refused command causes nothing, so it comes last
        if some := [pair for pair in pairs if (pair[1].outcome == "refused") == are_refused]:
            begin = max((version for version in begins if version <= some[-1][1].version), default=0)
            entry, moment = some[-1] if are_refused else next(pair for pair in some if pair[1].version >= begin)
            if not are_refused:
                entry, moment = _late_result(log, moments, moment) or (entry, moment)
            failure = _failure(entry, moment, full=full)
            if entry.event == "call_progressed" and not are_refused:
                failure = _with_code_of_dial(failure, log[log.index(entry) + 1 :])
            return replace(failure, is_earlier=moment.version < newest)
    return None


def _late_result(
    log: Sequence[LogEntry], moments: Sequence[TimelineEntry], timeout: TimelineEntry
) -> tuple[LogEntry, TimelineEntry] | None:
    """Return the failed result of a request that a timeout had waited for.

    Twilio may answer every attempt with an error. The result is logged only when the attempts end.
    """
    if not timeout.event.endswith("_overdue"):
        return None
    at = next(index for index, moment in enumerate(moments) if moment is timeout)
    earlier = {moment.entry_id for moment in moments[:at]}
    for entry, moment in zip(log[at + 1 :], moments[at + 1 :], strict=True):
        if moment.requested_by in earlier and (moment.is_failure or descriptions.has_failed_attempt(entry)):
            return entry, moment
    return None


def _begins_transfer(entry: LogEntry) -> bool:
    changed = changes_of(entry, "transfer.status", "transfer.number")
    return "transfer.number" in changed or changed.get("transfer.status") == TransferStatus.COMPLETED


def _with_code_of_dial(failure: Failure, later: Sequence[LogEntry]) -> Failure:
    """Add why a call failed: only the action of its `<Dial>` has the code."""
    ended = next((entry for entry in later if entry.event == "dial_ended"), None)
    code = timeline.twilio_code(ended) if ended is not None else 0
    if not code:
        return failure
    return replace(
        failure, twilio_code=code, link=f"{_TWILIO_ERRORS}/{code}", guard=descriptions.twilio_error(str(code))
    )


def _failure(entry: LogEntry, moment: TimelineEntry, *, full: bool) -> Failure:
    """Return what an entry that shows a failure or a refusal says."""
    reason = moment.reason or next((one["reason"] for one in entry.reports if one["status"] == "failed"), "")
    if not reason and timeline.is_transfer_failure(entry):
        reason = changes_of(entry, "transfer.reason").get("transfer.reason") or ""
    reason = descriptions.mask_address_numbers(reason, full=full)
    code = timeline.twilio_code(entry) or descriptions.failed_attempt_code(entry)
    is_refusal = moment.outcome == "refused"
    return Failure(
        entry_id=moment.entry_id,
        at_ms=moment.at_ms,
        text=descriptions.mask_address_numbers(descriptions.describe_refusal(entry), full=full)
        if is_refusal
        else moment.text,
        guard=""
        if reason in _REASONS_IN_TEXT and entry.event in _CALL_RESULTS
        else (catalog.LIMITS | catalog.END_REASONS).get(reason, reason),
        twilio_code=code,
        link=f"{_TWILIO_ERRORS}/{code}" if code else "",
        reason=reason,
        is_refusal=is_refusal,
    )


def _suggestions(session: StoredSession, now_ms: int, *, full: bool, has_worker: bool) -> tuple[Suggestion, ...]:
    found = suggested_commands(session)
    in_trouble = attention.attention_of(session, now_ms)
    if not has_worker or (in_trouble is not None and in_trouble.rank == attention.OVERDUE):
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
    is_shown = full or (_PLAIN_ADDRESS.match(address) and descriptions.display_address(address) == address)
    return shlex.quote(address) if address and is_shown else "ADDRESS"


def _useful_commands(session: StoredSession) -> list[tuple[str, str, str]]:
    """Return useful commands, likeliest first: name, reason, and options.

    The caller leaves out those that the session does not allow.
    """
    end = ("end", "ends the call for everyone", "")
    if session.phase == Phase.PARKED:
        return [("retrieve", "connects someone to the parked call", "--to ADDRESS"), end]
    if session.phase == Phase.VOICEMAIL:
        return [("retrieve", "connects someone to the customer, who leaves the voicemail", "--to ADDRESS"), end]
    if session.state == State.TRANSFERRING:
        return [*_commands_in_transfer(session.transfer_stage), end]
    if attention.is_lone(session):
        return [("add", "adds a party, so that no one is alone", "--to ADDRESS --party NAME"), end]
    if held := session_summary.held_parties(session):
        why = "takes {} off hold, so that everyone can talk"
        return [*(("unhold", why.format(party), f"--party {party}") for party in held), end]
    if session.public_transfer is not None and session.transfer_status == TransferStatus.FAILED:
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
