"""A session's log in words: events, requests to Twilio, and their results."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from conferral.operations import catalog
from conferral.operations.catalog import with_notes
from conferral.operations.json_values import to_json_value
from conferral.runtime.redaction import mask_address_numbers
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from conferral.statemachine.reasons import Reason
from conferral.statemachine.states import CallStatus
from conferral.storage.codecs.log_codec import LogEntry, LogReport
from conferral.storage.codecs.text_codec import to_iso

Details = Mapping[str, str]

_EFFECT_RESULTS = {
    "effect_succeeded": "succeeded",
    "effect_failed": "failed",
    "effect_unknown": "unknown",
    "calls_read": "succeeded",
}
_TWILIO_CODE = re.compile(r"[0-9]{1,6}")
#: The results of requests: `503 x2`, `429 code 20429 x1`, `unknown x1` (no response).
_FAILED_ATTEMPT = re.compile(r"(?:unknown|[0-9]{3}(?: code ([0-9]{1,6}))?) x[1-9][0-9]{0,5}")
#: The command's own reply lists these.
_ALLOWED = re.compile(r"; allowed now: .*$")
#: Statuses of a call that was never answered. `canceled` isn't one: Conferral itself cancels calls.
_NOT_ANSWERED = frozenset({"busy", "failed", "no-answer", "rejected"})
#: Timers that fire only when something has gone wrong. The others belong to normal operation, or only read Twilio.
_TIMEOUT_EVENTS = frozenset({"convert_overdue", "park_overdue", "age_overdue"})
_DIALS = frozenset({"create_participant", "create_call"})
#: Effects of a transfer step's timeout that only check on parties without news.
_READ_EFFECTS = frozenset({"read_calls", "hang_up_call"})


@dataclass(frozen=True, slots=True)
class EffectRequest:
    """A request to Twilio."""

    id: str
    kind: str
    party: str
    what: str
    requested_at_ms: int
    #: `succeeded`, `failed`, `unknown` (the request may have taken effect); empty while pending.
    outcome: str = ""
    #: From emitting the effect to processing its result, in milliseconds; None while pending.
    took_ms: int | None = None
    #: Whether it failed because Twilio answered with an error. Other failed requests were not done.
    is_refused: bool = False
    #: Twilio's error code, if it gave one.
    twilio_code: int | None = None
    #: How many requests it took; None if not recorded, which usually means one.
    attempts: int | None = None
    #: The same in words, with the failed attempts' results; empty if not recorded.
    attempts_note: str = ""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One log entry in words; variables call it a moment."""

    entry: LogEntry
    #: Time since the previous entry, in milliseconds; 0 for the first.
    gap_ms: int
    what: str
    #: The consequences in one line; empty for none.
    consequence: str
    #: Why it was refused, ignored, or ended the session.
    reason: str
    is_failure: bool
    effects: tuple[EffectRequest, ...]
    #: For an effect's outcome: the entry that emitted the effect.
    requested_by: str | None
    #: Whether it only confirms what the timeline says elsewhere, and nothing follows from it.
    is_confirmation: bool
    #: Results of commands that this entry reports, in words; a refused one has its reason instead.
    reports: tuple[str, ...]
    failed_commands: tuple[str, ...]

    def public(self) -> dict[str, Any]:
        """Return its JSON; of the entry only what can't hold an address."""
        entry = self.entry
        return {
            "entry": entry.id,
            "version": entry.version,
            "at": to_iso(entry.at_ms) or None,
            "event": entry.event,
            "from": entry.state_before,
            "to": entry.state_after,
            "outcome": entry.outcome,
        } | {name: to_json_value(getattr(self, name)) for name in _OWN}


#: What is not in the log's entry itself.
_OWN = tuple(one.name for one in fields(TimelineEntry) if one.name != "entry")


def build_timeline(log: Iterable[LogEntry], *, full: bool = False) -> tuple[TimelineEntry, ...]:
    """Return a log's timeline, oldest first."""
    moments: list[TimelineEntry] = []
    #: Requests without a result by id, each with the index of the entry that emitted it.
    pending: dict[str, tuple[int, EffectRequest]] = {}
    before_ms = 0
    for entry in log:
        requested_by = None
        if entry.event in _EFFECT_RESULTS and entry.effect_id in pending:
            requester, request = pending.pop(entry.effect_id)
            moment, settled = moments[requester], _with_outcome(request, entry)
            effects = tuple(settled if one.id == settled.id else one for one in moment.effects)
            moments[requester] = replace(moment, effects=effects)
            requested_by = moment.entry.id
        moment = _timeline_entry(entry, before_ms, requested_by, full=full)
        pending |= {one.id: (len(moments), one) for one in moment.effects}
        moments.append(moment)
        before_ms = entry.at_ms or before_ms
    return tuple(moments)


def _timeline_entry(entry: LogEntry, before_ms: int, requested_by: str | None, *, full: bool) -> TimelineEntry:
    has_failed, at_ms, reports = is_failure(entry), entry.at_ms, _describe_reports(entry)
    return TimelineEntry(
        entry=entry,
        gap_ms=max(0, at_ms - before_ms) if before_ms and at_ms else 0,
        what=mask_address_numbers(_describe_event(entry), full=full),
        consequence=mask_address_numbers(_describe_change(entry, reports), full=full),
        reason=mask_address_numbers(catalog.reason_text(reason_of(entry)), full=full),
        is_failure=has_failed,
        effects=_effect_requests(entry),
        requested_by=requested_by,
        is_confirmation=not has_failed and _is_confirmation(entry),
        reports=tuple(mask_address_numbers(one, full=full) for one in reports),
        failed_commands=tuple(one["command"] for one in entry.reports if one["status"] in ("failed", "rejected")),
    )


def _is_confirmation(entry: LogEntry) -> bool:
    """Whether it repeats what a request's result says, or changes nothing."""
    if entry.state_before != entry.state_after or entry.effects or entry.reports:
        return False
    is_repeated = entry.event == "effect_succeeded" and not entry.attempts > 1
    # Both the request for wait audio and a callback report that a party has joined.
    is_repeated |= entry.event == "participant_joined" and not entry.changes
    return is_repeated or entry.outcome == "stale" or _is_flag_change(entry)


def effect_results(moment: TimelineEntry) -> str:
    """Describe the results of an entry's requests; empty while none has one."""
    known = [one for one in moment.effects if one.took_ms is not None]
    named = len(moment.effects) > 1
    return "; ".join(f"{one.what}: {effect_result(one)}" if named else effect_result(one) for one in known)


def effect_result(request: EffectRequest) -> str:
    """Describe a request's result and duration; empty while it has none."""
    if request.took_ms is None:
        return ""
    failed = "refused" if request.is_refused else "not done"
    word = {"succeeded": "done", "failed": failed, "unknown": "outcome unknown"}.get(request.outcome, request.outcome)
    when = "in" if request.outcome == "succeeded" else "after"
    code = f"code {request.twilio_code}" if request.twilio_code else ""
    return with_notes(f"{word} {when} {request.took_ms} ms", code, request.attempts_note)


def unfinished_effects(moments: Sequence[TimelineEntry]) -> tuple[EffectRequest, ...]:
    """Return requests without a result; a session's end drops unsent ones."""
    ended_at = next((index for index, one in enumerate(moments) if one.entry.is_end), 0)
    return tuple(request for one in moments[ended_at:] for request in one.effects if not request.outcome)


def is_failure(entry: LogEntry) -> bool:
    """Whether a command was refused or something went wrong."""
    if entry.outcome == "refused":
        return True
    if entry.outcome == "stale" or entry.event == "end":  # what an `end` interrupts did not fail by itself
        return False
    event, details = entry.event, details_of(entry)
    if event in ("effect_failed", "effect_unknown") or event in _TIMEOUT_EVENTS:
        return True
    if event in ("call_progressed", "dial_ended") and details["status"] in _NOT_ANSWERED:
        return not _caller_gave_up(entry)
    if event == "gate_decided" and details["decision"] in ("rejected", "no-confirmation", "answering-machine"):
        return True
    is_media_event = event in ("announcement_ended", "recording_changed")
    is_silent_message = details["of_voicemail"] and details["status"] == "absent"
    if is_media_event and not is_silent_message and (details["failed"] or details["status"] in ("failed", "absent")):
        return True
    if event == "dial_overdue" and _gave_up_dial(entry):
        return True
    if entry.is_end:
        # The reason names party and status: `agent-busy`.
        was_unanswered = entry.reason.partition("-")[2] in _NOT_ANSWERED
        if was_unanswered or catalog.is_bad_end(entry.reason):
            return True
    return any(_reports_failed_command(report) for report in entry.reports) or is_transfer_failure(entry)


def _reports_failed_command(report: LogReport) -> bool:
    """Whether a command failed; one that an operator took back did not."""
    reason = report["reason"]
    return report["status"] == "failed" and reason != Reason.CANCELLED and not reason.startswith(catalog.SUPERSEDED)


def is_transfer_failure(entry: LogEntry) -> bool:
    """Whether a transfer failed; a consult's command was done before."""
    return entry.changes.get("transfer.status") == "failed"


def twilio_code(entry: LogEntry) -> int | None:
    """Return Twilio's error code of a failed effect or `<Dial>`; or None."""
    code = details_of(entry)["code"] if entry.event in ("effect_failed", "dial_ended") else ""
    return int(code) or None if _TWILIO_CODE.fullmatch(code) else None


def has_failed_attempt(entry: LogEntry) -> bool:
    """Whether one of an effect's requests failed."""
    return any(map(_FAILED_ATTEMPT.fullmatch, entry.failed_attempts))


def failed_attempt_code(entry: LogEntry) -> int | None:
    """Return the first error code of an effect's failed requests, if any."""
    found = filter(None, map(_FAILED_ATTEMPT.fullmatch, entry.failed_attempts))
    return next((int(one[1]) or None for one in found if one[1]), None)


def _describe_attempts(entry: LogEntry) -> str:
    """Describe requests as `3 attempts: 503 x2`; empty if unrecorded."""
    count = entry.attempts
    if not count:
        return ""
    failed = ", ".join(one for one in entry.failed_attempts if _FAILED_ATTEMPT.fullmatch(one))
    attempts = f"{count} attempt{'s' if count > 1 else ''}"
    return f"{attempts}: {failed}" if failed else attempts


def _effect_requests(entry: LogEntry) -> tuple[EffectRequest, ...]:
    return tuple(
        EffectRequest(
            id=row["id"],
            kind=row["kind"],
            party=row["party"],
            what=catalog.describe_effect(row["kind"], row["party"], row["detail"]),
            requested_at_ms=entry.at_ms,
        )
        for row in entry.effects
        if row["kind"]
    )


def _with_outcome(request: EffectRequest, entry: LogEntry) -> EffectRequest:
    return replace(
        request,
        outcome=_EFFECT_RESULTS[entry.event],
        took_ms=max(0, entry.at_ms - request.requested_at_ms),
        is_refused=entry.event == "effect_failed" and bool(details_of(entry)["http_status"]),
        twilio_code=twilio_code(entry),
        attempts=entry.attempts or None,
        attempts_note=_describe_attempts(entry),
    )


def details_of(entry: LogEntry) -> defaultdict[str, str]:
    """Return the event's own fields as text; a missing one is empty."""
    return defaultdict(str, {name: str(one) for name, one in entry.details.items() if isinstance(one, str | int)})


def describe_refusal(entry: LogEntry) -> str:
    """Describe a refusal, such as `hold customer was refused (by cli)`."""
    return f"{' '.join(filter(None, (entry.event, details_of(entry)['party'])))} was refused{_submitted_by(entry)}"


def _describe_event(entry: LogEntry) -> str:
    """Describe a log entry in one line, without its new state and reason."""
    event, details = entry.event, details_of(entry)
    if _caller_gave_up(entry):
        text = f"{details['party']} hung up before anyone answered"
    elif event in _RENDERERS:
        text = _RENDERERS[event](details) + _submitted_by(entry)
    elif event == "dial_overdue" and not _gave_up_dial(entry):
        text = "due: check on the dialed call"
    elif event in catalog.EVENTS:
        text = catalog.EVENTS[event].format_map(details) + _submitted_by(entry)
    elif event in COMMANDS_BY_NAME:
        notes = (details["party"], details["mode"], details["action"], catalog.AUDIO.get(details["audio"], ""))
        text = with_notes(f"{event} requested", *notes) + _submitted_by(entry)
    elif event == "calls_read":
        text = _calls_read(entry)
    elif event == "stage_overdue":
        text = _timed_out_step(entry)
    else:
        text = " ".join((event.replace("_", " "), *details.values()))
    return "; ".join(filter(None, (text, _describe_attempts(entry))))


def _describe_change(entry: LogEntry, reports: Sequence[str]) -> str:
    """Describe the new state, its reason, and the effects; or empty."""
    parts = []
    if entry.state_before != entry.state_after or entry.version == 1:
        parts.append(f"-> {entry.state_after}")
    if entry.outcome in ("refused", "unexpected"):
        parts.append(entry.outcome)
    if reason := reason_of(entry):
        parts.append(f"({catalog.reason_text(reason)})")
    wanted = [one.what for one in _effect_requests(entry)]
    asking = f"asks Twilio to {' and '.join(wanted)}" if wanted else ""
    return "; ".join(filter(None, (" ".join(parts), asking, *reports)))


def reason_of(entry: LogEntry) -> str:
    """Return an entry's reason as it was given, without the allowed commands."""
    return _ALLOWED.sub("", entry.reason)


def _describe_reports(entry: LogEntry) -> list[str]:
    """Describe command results, except a refusal that the entry states."""
    results = [(one["type"], one["status"], one["reason"], one["code"]) for one in entry.reports]
    # A consult isn't over: "done" would promise too much.
    goes_on = results and entry.changes.get("transfer.status") in ("consulting", "merged")
    return [
        "transfer: target reached"
        if goes_on and (kind, status) == ("transfer", "done")
        else catalog.command_report(kind, status, reason, code)
        for kind, status, reason, code in results
        if status not in ("", "rejected")
    ]


def _caller_gave_up(entry: LogEntry) -> bool:
    """Whether a caller hung up unanswered; Twilio reports `no-answer`."""
    if entry.event != "call_progressed" or not entry.reason.endswith("-left"):
        return False
    details = details_of(entry)
    return details["status"] == CallStatus.NO_ANSWER and entry.reason == f"{details['party']}-left"


def _submitted_by(entry: LogEntry) -> str:
    return f" (by {entry.by})" if entry.by else ""


def _timed_out_step(entry: LogEntry) -> str:
    """Describe a step's timeout by its effects."""
    emitted = [(one["kind"], one["party"]) for one in entry.effects if one["kind"]]
    if dialed := [who for kind, who in emitted if kind in _DIALS]:
        # The dial was scheduled for now: nothing is late.
        return f"due: {'call the agent back' if dialed == ['agent'] else 'dial ' + ' and '.join(dialed)}"
    if all(kind in _READ_EFFECTS for kind, _ in emitted):
        return "due: check on the calls"
    return "a step of the transfer timed out"


def _gave_up_dial(entry: LogEntry) -> bool:
    """Whether an overdue dial was given up; until then, it may still ring."""
    return any(name.endswith(".left_reason") for name in entry.changes)


def _agent_position(details: Details) -> str:
    """Return which of several agents an entry is about; or empty."""
    return f"agent {details['agent']} of {details['agents']}" if details["agents"] else ""


def _agent_number(details: Details) -> str:
    return f"agent number {details['agent']}" if details["agent"] and not details["agents"] else ""


def _dial_ended(details: Details) -> str:
    cause = catalog.twilio_error(details["code"])
    if details["dial_kind"] == "bridge":
        agent = _agent_position(details) or _agent_number(details)
        return with_notes(f"{details['party']}'s <Dial> ended", details["status"], cause, agent)
    # For a conference, "answered" says only that there was one.
    status = "" if details["status"] == "answered" else details["status"]
    return with_notes(f"{details['party']}'s conference <Dial> ended", status, cause)


def _participant_left(details: Details) -> str:
    """Say that a party, such as the agent, has left the conference."""
    if details["left_reason"] == "participant_add_failed":
        return f"{details['party']} could not be added to the conference"
    return with_notes(f"{details['party']} left the conference", details["left_reason"].replace("_", " "))


def _calls_read(entry: LogEntry) -> str:
    found = entry.details
    calls, inside = (found[name] if isinstance(found.get(name), dict) else {} for name in ("calls", "participants"))
    parts: list[str] = []
    ringing = [who for who, flags in inside.items() if isinstance(flags, list) and "ringing" in flags]
    calls = dict.fromkeys(ringing, "ringing") | calls
    if present := [who for who in inside if calls.get(who, "in-progress") == "in-progress" and who not in ringing]:
        parts.append(f"{catalog.join_names(present)} {'are' if len(present) > 1 else 'is'} in the conference")
    for who, flags in inside.items():
        if marks := [word for flag, word in catalog.FLAGS.items() if isinstance(flags, list) and flag in flags]:
            parts.append(f"{who} is {' and '.join(marks)}")
    if not inside and found.get("conference_sid"):
        parts.append("the conference is empty")
    for who, status in calls.items():
        if who not in inside or status != "in-progress":  # participants are always on the line
            parts.append(catalog.call_status(who, str(status), catalog.CALL_STATUSES | catalog.LISTED_STATUSES))
    return f"Twilio reports: {', '.join(parts)}" if parts else "Twilio lists none of the calls"


def _recording_changed(details: Details) -> str:
    whose = "conference" if details["of_conference"] else "call"
    what = "the customer's message" if details["of_voicemail"] else f"the {whose}'s recording"
    text = f"{what} {catalog.RECORDING.get(details['status'], details['status'])}"
    return with_notes(text, details["duration_s"] and f"{details['duration_s']} s")


def _announcement_ended(details: Details) -> str:
    whom = details["party"] or "everyone"
    if not details["failed"]:
        return f"{whom} heard the announcement"
    return with_notes(f"the announcement could not be played to {whom}", details["reason"])


def _is_flag_change(entry: LogEntry) -> bool:
    """Whether a callback confirms a conference flag: no one hears it."""
    details = details_of(entry)
    return entry.event == "participant_changed" and details["kind"] == "participant-modify" and not details["coaches"]


def _participant_changed(details: Details) -> str:
    party, kind = details["party"], details["kind"]
    if details["coaches"]:
        return f"{party} is heard only by {details['coaches']}"
    update = kind.removeprefix("participant-")
    if party == "supervisor":  # mute and unmute are changes of mode
        update = {"mute": "monitor", "unmute": "barge"}.get(update, update)
        if update == "modify":  # no longer coaches anyone
            update = "monitor" if details["muted"] else "barge"
    if update == "modify":
        update = "set-end-on-exit" if details["end_on_exit"] else "clear-end-on-exit"
    notes = (word for flag, word in catalog.FLAGS.items() if details[flag])
    return catalog.describe_update(update, party) or with_notes(f"{party} {kind}", *notes)


def _effect_outcome(text: str, details: Details) -> str:
    what = catalog.describe_effect(details["kind"], details["party"], details["detail"])
    status = f"HTTP {details['http_status']} code {details['code'] or 0}" if details["http_status"] else ""
    reason = catalog.reason_text(details["reason"])
    return with_notes(f"{text}: {what}", status, details["recording_sid"], reason)


_RENDERERS: dict[str, Callable[[Details], str]] = {
    "call_received": lambda details: with_notes(
        "call handed over" if details["handed_off"] else "incoming call",
        details["mode"] if details["mode"] == "conference" else "",
        details["agents"] and f"{details['agents']} agents",
    ),
    "call_progressed": lambda details: with_notes(
        catalog.call_status(_agent_position(details) or details["party"], details["status"]),
        _agent_number(details),
        "has a desk" if details["desk"] else "",
    ),
    "dial_ended": _dial_ended,
    "gate_reached": lambda details: f"{details['party'] or catalog.CALLED_PARTY} answered; call screening started",
    "gate_decided": lambda details: catalog.call_status(
        details["party"] or catalog.CALLED_PARTY, details["decision"], catalog.GATE_DECISIONS
    ),
    "participant_left": _participant_left,
    "participant_changed": _participant_changed,
    "conference_ended": lambda details: with_notes(
        "conference ended", details["conference_reason"], details["label_ending"] and f"{details['label_ending']} left"
    ),
    "announcement_ended": _announcement_ended,
    "recording_changed": _recording_changed,
    "account_swept": lambda details: catalog.SWEEP_FINDINGS.get(
        details["finding"], with_notes("sweep: Twilio's lists differ from the session", details["finding"])
    ),
    "offer": lambda details: with_notes("offered to a desk", details["number"] and f"try {details['number']}"),
    "desks_left": lambda _details: "no desk of the number was there for a while: the caller waits no longer",
    "conference_found": lambda details: (
        f"found a Conferral conference without a session, with {details['participants']} "
        f"participant{'s' if details['participants'] != '1' else ''}"
    ),
    "effect_succeeded": lambda details: _effect_outcome("Twilio confirmed", details),
    "effect_failed": lambda details: _effect_outcome(
        "Twilio refused" if details["http_status"] else "not done", details
    ),
    "effect_unknown": lambda details: _effect_outcome("outcome unknown", details),
    "transfer": lambda details: with_notes(
        f"{details['mode']} transfer requested".strip(),
        f"{details['targets']} target{'s' if details['targets'] != '1' else ''}" if details["targets"] else "",
    ),
}
