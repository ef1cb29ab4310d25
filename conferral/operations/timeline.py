"""A session's log as a timeline: events, requests to Twilio, results."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from conferral.operations import catalog, descriptions
from conferral.statemachine.reasons import EndReason
from conferral.storage.codecs.log_codec import LogEntry, LogReport

_EFFECT_RESULTS = {
    "effect_succeeded": "succeeded",
    "effect_failed": "failed",
    "effect_unknown": "unknown",
    "calls_read": "succeeded",
}
_TWILIO_CODE = re.compile(r"[0-9]{1,6}")
#: Statuses of a call that was never answered. `canceled` isn't one: Conferral itself cancels calls.
_NOT_ANSWERED = frozenset({"busy", "failed", "no-answer", "rejected"})
#: Timers that fire only when something has gone wrong. The others belong to normal operation, or only read Twilio.
_TIMEOUT_EVENTS = frozenset({"convert_overdue", "repair_overdue", "opening_overdue", "park_overdue", "age_overdue"})
#: End reasons that no one intended and that are worse than an unanswered call.
BAD_ENDS = frozenset(
    {EndReason.AGENT_FAILED, EndReason.CUSTOMER_FAILED, EndReason.TRANSFER_FAILED, EndReason.RECALL_FAILED,
     EndReason.FALLBACK_FAILED, EndReason.PARK_TIMEOUT, EndReason.ALONE, EndReason.CONVERT_FAILED, EndReason.TOO_OLD}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EffectRequest:
    """A request to Twilio."""

    id: str
    kind: str
    party: str
    text: str
    requested_at_ms: int
    #: `succeeded`, `failed`, `unknown` (the request may have taken effect); empty while pending.
    outcome: str = ""
    #: From emitting the effect to processing its outcome, in milliseconds; None while pending.
    took_ms: int | None = None
    #: Whether it failed because Twilio answered with an error. Other failed requests were not done.
    is_refused: bool = False
    #: Twilio's error code; 0 for none.
    twilio_code: int = 0
    #: How many requests it took; 0 if not recorded, which usually means one.
    attempts: int = 0
    #: The same in words, with the failed attempts' results; empty if not recorded.
    attempts_note: str = ""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One log entry in words; variables call it a moment."""

    entry_id: str
    version: int
    at_ms: int
    #: Time since the previous entry, in milliseconds; 0 for the first.
    gap_ms: int
    event: str
    text: str
    #: The consequences in one line; empty for none.
    consequence: str
    #: `moved`, `stayed`, `refused`, `stale` or `unexpected`.
    outcome: str
    state_before: str
    state_after: str
    reason: str
    is_failure: bool
    effects: tuple[EffectRequest, ...]
    #: For an effect's outcome: the entry that emitted the effect.
    requested_by: str = ""
    #: Whether it only confirms what the timeline says elsewhere, and nothing follows from it.
    is_confirmation: bool = False
    #: Outcomes of commands that this entry reports, in words; a refused one has its reason instead.
    reports: tuple[str, ...] = ()
    failed_commands: tuple[str, ...] = ()


def build_timeline(log: Iterable[LogEntry], *, full: bool = False) -> tuple[TimelineEntry, ...]:
    """Return a log's timeline, oldest first."""
    moments: list[TimelineEntry] = []
    #: Requests without an outcome by id, each with the index of the entry that emitted it.
    pending: dict[str, tuple[int, EffectRequest]] = {}
    before_ms = 0
    for entry in log:
        at_ms, requested_by = entry.at_ms, ""
        if entry.event in _EFFECT_RESULTS and entry.effect_id in pending:
            requester, request = pending.pop(entry.effect_id)
            moment, settled = moments[requester], _with_outcome(request, entry, at_ms)
            effects = tuple(settled if one.id == settled.id else one for one in moment.effects)
            moments[requester] = replace(moment, effects=effects)
            requested_by = moment.entry_id
        moment = _timeline_entry(entry, at_ms, before_ms, requested_by, full=full)
        pending |= {one.id: (len(moments), one) for one in moment.effects}
        moments.append(moment)
        before_ms = at_ms or before_ms
    return tuple(moments)


def _timeline_entry(entry: LogEntry, at_ms: int, before_ms: int, requested_by: str, *, full: bool) -> TimelineEntry:
    return TimelineEntry(
        entry_id=entry.id,
        version=entry.version,
        at_ms=at_ms,
        gap_ms=max(0, at_ms - before_ms) if before_ms and at_ms else 0,
        event=entry.event,
        text=descriptions.mask_address_numbers(descriptions.describe_entry(entry), full=full),
        consequence=descriptions.mask_address_numbers(descriptions.describe_change(entry), full=full),
        outcome=entry.outcome,
        state_before=entry.state_before,
        state_after=entry.state_after,
        reason=descriptions.mask_address_numbers(descriptions.entry_reason(entry), full=full),
        is_failure=is_failure(entry),
        effects=_effect_requests(entry, at_ms),
        requested_by=requested_by,
        is_confirmation=_is_confirmation(entry),
        reports=tuple(
            descriptions.mask_address_numbers(one, full=full) for one in descriptions.describe_reports(entry)
        ),
        failed_commands=_failed_commands(entry),
    )


def _is_confirmation(entry: LogEntry) -> bool:
    """Whether it repeats what a request's result says, or changes nothing."""
    follows = entry.state_before != entry.state_after or entry.effects or entry.reports
    if follows or is_failure(entry):
        return False
    is_repeated = entry.event == "effect_succeeded" and not entry.attempts > 1
    # Both the request for wait audio and a callback report that a party has joined.
    is_repeated |= entry.event == "participant_joined" and not entry.changes
    return is_repeated or entry.outcome == "stale" or descriptions.is_flag_change(entry)


def _failed_commands(entry: LogEntry) -> tuple[str, ...]:
    return tuple(one["command"] for one in entry.reports if one["status"] in ("failed", "rejected"))


def effect_results(moment: TimelineEntry) -> str:
    """Describe the results of an entry's requests; empty while none has one."""
    known = [one for one in moment.effects if one.took_ms is not None]
    named = len(moment.effects) > 1
    return "; ".join(f"{one.text}: {effect_result(one)}" if named else effect_result(one) for one in known)


def effect_result(request: EffectRequest) -> str:
    """Describe a request's result and duration; empty while it has none."""
    if request.took_ms is None:
        return ""
    failed = "refused" if request.is_refused else "not done"
    word = {"succeeded": "done", "failed": failed, "unknown": "outcome unknown"}.get(request.outcome, request.outcome)
    more = ", ".join(
        filter(None, (f"code {request.twilio_code}" if request.twilio_code else "", request.attempts_note))
    )
    when = "in" if request.outcome == "succeeded" else "after"
    return f"{word} {when} {request.took_ms} ms{f' ({more})' if more else ''}"


def unfinished_effects(moments: Sequence[TimelineEntry]) -> tuple[EffectRequest, ...]:
    """Return requests without an outcome; a session's end drops unsent ones."""
    ended_at = next((index for index, one in enumerate(moments) if is_end(one)), 0)
    return tuple(request for one in moments[ended_at:] for request in one.effects if not request.outcome)


def is_end(moment: TimelineEntry) -> bool:
    """Whether this entry ended the session."""
    return moment.state_after == "ended" and moment.state_before != "ended"


def is_failure(entry: LogEntry) -> bool:
    """Whether a command was refused or something went wrong."""
    if entry.outcome == "refused":
        return True
    if entry.outcome == "stale" or entry.event == "end":  # what an `end` interrupts did not fail by itself
        return False
    event, details = entry.event, descriptions.details_of(entry)
    if event in ("effect_failed", "effect_unknown") or event in _TIMEOUT_EVENTS:
        return True
    if event in ("call_progressed", "dial_ended") and details["status"] in _NOT_ANSWERED:
        return not descriptions.caller_gave_up(entry)
    if event == "gate_decided" and details["decision"] in ("rejected", "no-confirmation", "answering-machine"):
        return True
    is_media_event = event in ("announcement_ended", "recording_changed")
    is_silent_message = details["of_voicemail"] and details["status"] == "absent"
    if is_media_event and not is_silent_message and (details["failed"] or details["status"] in ("failed", "absent")):
        return True
    if event == "dial_overdue" and descriptions.gave_up_dial(entry):
        return True
    if entry.state_after == "ended" and entry.state_before != "ended":
        # The reason names party and status: `agent-busy`.
        was_unanswered = entry.reason.partition("-")[2] in _NOT_ANSWERED
        if was_unanswered or entry.reason in BAD_ENDS:
            return True
    return any(_reports_failed_command(report) for report in entry.reports) or is_transfer_failure(entry)


def _reports_failed_command(report: LogReport) -> bool:
    """Whether a command failed; one that an operator took back did not."""
    reason = report["reason"]
    return report["status"] == "failed" and reason != catalog.CANCELED and not reason.startswith(catalog.SUPERSEDED)


def is_transfer_failure(entry: LogEntry) -> bool:
    """Whether a transfer failed; a consult's command was done before."""
    return entry.changes.get("transfer.status") == "failed"


def twilio_code(entry: LogEntry) -> int:
    """Return Twilio's error code of a failed effect or `<Dial>`; 0 for none."""
    code = descriptions.details_of(entry)["code"] if entry.event in ("effect_failed", "dial_ended") else ""
    return int(code) if _TWILIO_CODE.fullmatch(code) else 0


def _effect_requests(entry: LogEntry, at_ms: int) -> tuple[EffectRequest, ...]:
    return tuple(
        EffectRequest(
            id=row["id"],
            kind=row["kind"],
            party=row["party"],
            text=descriptions.describe_effect(row["kind"], row["party"], row["detail"]),
            requested_at_ms=at_ms,
        )
        for row in entry.effects
        if row["kind"]
    )


def _with_outcome(request: EffectRequest, entry: LogEntry, at_ms: int) -> EffectRequest:
    return replace(
        request,
        outcome=_EFFECT_RESULTS[entry.event],
        took_ms=max(0, at_ms - request.requested_at_ms),
        is_refused=entry.event == "effect_failed" and bool(descriptions.details_of(entry)["http_status"]),
        twilio_code=twilio_code(entry),
        attempts=entry.attempts,
        attempts_note=descriptions.describe_effect_attempts(entry),
    )
