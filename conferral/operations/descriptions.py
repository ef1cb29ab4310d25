"""Wording for people: addresses, ages, and descriptions of log entries."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from conferral.operations import catalog
from conferral.runtime.redaction import EXAMPLE, redact
from conferral.runtime.text import join_words
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from conferral.statemachine.states import CallStatus
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.text_codec import parse_time_ms as parse_time_ms
from conferral.storage.codecs.text_codec import to_iso

#: The results of requests: `503 x2`, `429 code 20429 x1`, `unknown x1` (no response).
_FAILED_ATTEMPT = re.compile(r"(unknown|[0-9]{3}(?: code [0-9]{1,6})?) x([1-9][0-9]{0,5})")


def describe_effect_attempts(entry: LogEntry) -> str:
    """Describe requests as `3 attempts: 503 x2`; empty if unrecorded."""
    count = entry.attempts
    if not count:
        return ""
    failed = ", ".join(one for one in entry.failed_attempts if _FAILED_ATTEMPT.fullmatch(one))
    attempts = f"{count} attempt{'s' if count > 1 else ''}"
    return f"{attempts}: {failed}" if failed else attempts


def has_failed_attempt(entry: LogEntry) -> bool:
    """Whether one of an effect's requests failed."""
    return any(map(_FAILED_ATTEMPT.fullmatch, entry.failed_attempts))


def failed_attempt_code(entry: LogEntry) -> int:
    """Return the first error code of an effect's failed requests; or 0."""
    found = filter(None, map(_FAILED_ATTEMPT.fullmatch, entry.failed_attempts))
    return next((int(code) for one in found if (code := one[1].partition(" code ")[2])), 0)


Details = Mapping[str, str]

_LONG_DIGITS = re.compile(r"\+?\d[\d().-]{5,}\d")
#: A phone number inside other text, such as the JSON of attempts: with a plus sign, or as a SIP or client name.
_NUMBER_IN_TEXT = re.compile(r"\+\d[\d().-]{3,}\d|(?:(?<=sip:)|(?<=sips:)|(?<=client:))\d[\d().-]{3,}\d")

#: Names in a sentence, at most (count): a conference has up to 250 parties.
LISTED_MAX = 10
_DIALS = frozenset({"create_participant", "create_call"})
#: Effects of a transfer step's timeout that only check on parties without news.
_READ_EFFECTS = frozenset({"read_calls", "hang_up_call"})
#: The command's own reply lists these.
_ALLOWED = re.compile(r"; allowed now: .*$")


def display_address(value: str, *, full: bool = False) -> str:
    """Return an address, with numbers such as `+…23` unless `full`."""
    if full or not value:
        return value
    if value.startswith("+"):
        return redact(value)
    return _LONG_DIGITS.sub(lambda found: redact(found.group()), value)


def mask_address_numbers(text: str, *, full: bool = False) -> str:
    """Mask numbers with a plus sign, or in SIP and client names.

    For our own texts, which may have `EXAMPLE`. `runtime.redaction.mask_numbers` masks all that may be a number.
    """
    return text if full else _NUMBER_IN_TEXT.sub(lambda one: one[0] if one[0] == EXAMPLE else redact(one[0]), text)


def format_age(since_ms: int, now_ms: int) -> str:
    """Return a duration such as `1 h 01 min`; empty without a start."""
    if not since_ms:
        return ""
    total_s = max(0, now_ms - since_ms) // 1000
    if total_s < 60:
        return f"{total_s} s"
    minutes, seconds = divmod(total_s, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} days"


def format_clock(at_ms: int) -> str:
    """Return a time of day, UTC, such as `08:01:01`."""
    return to_iso(at_ms)[11:19]


def utc_clock(at_ms: int) -> str:
    """Return a time of day with its zone, such as `08:01:01 UTC`."""
    return f"{format_clock(at_ms)} UTC"


def entry_clock(entry: LogEntry) -> str:
    """Return a log entry's time of day in UTC, with milliseconds."""
    return to_iso(entry.at_ms)[11:23]


def format_gap(gap_ms: int) -> str:
    """Return a gap such as `+9999 ms`, `+217 s`, or `+12:05 min`."""
    if gap_ms < 10_000:
        return f"+{gap_ms} ms"
    minutes, seconds = divmod(gap_ms // 1000, 60)
    return f"+{gap_ms // 1000} s" if minutes < 10 else f"+{minutes}:{seconds:02} min"


def join_names(names: Sequence[str], also: Sequence[str] = ()) -> str:
    """Join names as `a, b, and c`: the first of a crowd, and all of `also`."""
    shown = [*names, *also]
    if len(names) > LISTED_MAX + 1:
        shown = [*names[:LISTED_MAX], f"{len(names) - LISTED_MAX} more", *also]
    return join_words(shown, "and")


def limit_notes(notes: Sequence[str], limit: int = LISTED_MAX) -> list[str]:
    """Return the notes up to a limit, and then a note such as `and 2 more`."""
    return list(notes) if len(notes) <= limit + 1 else [*notes[:limit], f"and {len(notes) - limit} more"]


def transfer_failure(reason: str, code: str) -> str:
    """Describe why a transfer failed, and what became of its fallback."""
    first, *places = reason.split(", ")
    found = [_with_notes(catalog.TRANSFER_FAILURES.get(first, first), twilio_error_note(code))]
    for place in places:  # such as `recall busy`
        name, _, why = place.partition(" ")
        known = catalog.NOT_REACHED.get(why)
        found.append(known.format(who="the agent" if name == "recall" else f"the {name}") if known else place)
    return ", ".join(found)


def describe_entry(entry: LogEntry) -> str:
    """Describe a log entry in one line, without its new state and reason."""
    event, details = entry.event, details_of(entry)
    if caller_gave_up(entry):
        text = f"{details['party']} hung up before anyone answered"
    elif event in _RENDERERS:
        text = _RENDERERS[event](details) + _submitted_by(entry)
    elif event == "dial_overdue" and not gave_up_dial(entry):
        text = "due: check on the dialed call"
    elif event in catalog.EVENTS:
        text = catalog.EVENTS[event].format_map(details) + _submitted_by(entry)
    elif event in COMMANDS_BY_NAME:
        notes = (details["party"], details["mode"], details["action"], catalog.AUDIO.get(details["audio"], ""))
        text = _with_notes(f"{event} requested", *notes) + _submitted_by(entry)
    elif event == "calls_read":
        text = _calls_read(entry)
    elif event == "stage_overdue":
        text = _timed_out_step(_emitted_effects(entry))
    else:
        text = " ".join((event.replace("_", " "), *details.values()))
    return "; ".join(filter(None, (text, describe_effect_attempts(entry))))


def details_of(entry: LogEntry) -> defaultdict[str, str]:
    """Return the event's own fields as text; a missing one is empty."""
    return defaultdict(str, {name: str(one) for name, one in entry.details.items() if isinstance(one, str | int)})


def caller_gave_up(entry: LogEntry) -> bool:
    """Whether a caller hung up unanswered; Twilio reports `no-answer`."""
    if entry.event != "call_progressed" or not entry.reason.endswith("-left"):
        return False
    details = details_of(entry)
    return details["status"] == CallStatus.NO_ANSWER and entry.reason == f"{details['party']}-left"


def describe_refusal(entry: LogEntry) -> str:
    """Describe a refusal, such as `hold customer was refused (by cli)`."""
    return f"{' '.join(filter(None, (entry.event, details_of(entry)['party'])))} was refused{_submitted_by(entry)}"


def _submitted_by(entry: LogEntry) -> str:
    return f" (by {entry.by})" if entry.by else ""


def _timed_out_step(emitted: Sequence[tuple[str, str, str]]) -> str:
    """Describe a step's timeout by its effects: kind, party, and variant."""
    if dialed := [who for kind, who, _ in emitted if kind in _DIALS]:
        # The dial was scheduled for now: nothing is late.
        return f"due: {'call the agent back' if dialed == ['agent'] else 'dial ' + ' and '.join(dialed)}"
    if all(kind in _READ_EFFECTS for kind, _, _ in emitted):
        return "due: check on the calls"
    return "a step of the transfer timed out"


def gave_up_dial(entry: LogEntry) -> bool:
    """Whether an overdue dial was given up; until then, it may still ring."""
    return any(name.endswith(".left_reason") for name in entry.changes)


def _with_notes(text: str, *notes: str) -> str:
    shown = ", ".join(filter(None, notes))
    return f"{text} ({shown})" if shown else text


def agent_position(details: Details) -> str:
    """Return which of several agents an entry is about; or empty."""
    return f"agent {details['agent']} of {details['agents']}" if details["agents"] else ""


def _agent_number(details: Details) -> str:
    return f"agent number {details['agent']}" if details["agent"] and not details["agents"] else ""


def _call_status(who: str, status: str, sentences: Mapping[str, str] = catalog.CALL_STATUSES) -> str:
    known = sentences.get(status)
    # A status that is none of Twilio's may hold braces.
    return known.format(who=who) if known else f"{who} {status}"


def twilio_error(code: str) -> str:
    """Return what an error code of Twilio's means; empty without a code."""
    return catalog.TWILIO_ERRORS.get(code, code and f"Twilio's error {code}")


def twilio_error_note(code: str) -> str:
    """Return an error code with what it means, if that is known; or empty."""
    known = catalog.TWILIO_ERRORS.get(code, "")
    return f"Twilio error {code}{f': {known}' if known else ''}" if code else ""


def _dial_ended(details: Details) -> str:
    cause = twilio_error(details["code"])
    if details["dial"] == "bridge":
        agent = agent_position(details) or _agent_number(details)
        return _with_notes(f"{details['party']}'s <Dial> ended", details["status"], cause, agent)
    # For a conference, "answered" says only that there was one.
    status = "" if details["status"] == "answered" else details["status"]
    return _with_notes(f"{details['party']}'s conference <Dial> ended", status, cause)


def _participant_left(details: Details) -> str:
    """Say that a party, such as the agent, has left the conference."""
    if details["left_reason"] == "participant_add_failed":
        return f"{details['party']} could not be added to the conference"
    return _with_notes(f"{details['party']} left the conference", details["left_reason"].replace("_", " "))


def _calls_read(entry: LogEntry) -> str:
    found = entry.details
    calls, inside = (found[name] if isinstance(found.get(name), dict) else {} for name in ("calls", "participants"))
    parts: list[str] = []
    if present := [who for who in inside if calls.get(who, "in-progress") == "in-progress"]:
        parts.append(f"{join_names(present)} {'are' if len(present) > 1 else 'is'} in the conference")
    for who, flags in inside.items():
        if marks := [word for flag, word in catalog.FLAGS.items() if isinstance(flags, list) and flag in flags]:
            parts.append(f"{who} is {' and '.join(marks)}")
    if not inside and found.get("conference_sid"):
        parts.append("the conference is empty")
    for who, status in calls.items():
        if who not in inside or status != "in-progress":  # participants are always on the line
            parts.append(_call_status(who, str(status), catalog.CALL_STATUSES | catalog.LISTED_STATUSES))
    return f"Twilio reports: {', '.join(parts)}" if parts else "Twilio lists none of the calls"


def _recording_changed(details: Details) -> str:
    whose = "conference" if details["of_conference"] else "call"
    what = "the customer's message" if details["of_voicemail"] else f"the {whose}'s recording"
    text = f"{what} {catalog.RECORDING.get(details['status'], details['status'])}"
    return _with_notes(text, details["duration_s"] and f"{details['duration_s']} s")


def _announcement_ended(details: Details) -> str:
    whom = details["party"] or "everyone"
    if not details["failed"]:
        return f"{whom} heard the announcement"
    return _with_notes(f"the announcement could not be played to {whom}", details["reason"])


def is_flag_change(entry: LogEntry) -> bool:
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
    return describe_update(update, party) or _with_notes(f"{party} {kind}", *notes)


def _effect_outcome(text: str, details: Details) -> str:
    what = describe_effect(details["kind"], details["party"], details["detail"])
    status = f"HTTP {details['http_status']} code {details['code'] or 0}" if details["http_status"] else ""
    return _with_notes(
        f"{text}: {what}",
        status,
        details["recording_sid"],
        catalog.LIMITS.get(details["reason"], details["reason"]),
    )


def describe_change(entry: LogEntry) -> str:
    """Describe the new state, its reason, and the effects; or empty."""
    parts = []
    if entry.state_before != entry.state_after or entry.version == 1:
        parts.append(f"-> {entry.state_after}")
    if entry.outcome in ("refused", "unexpected"):
        parts.append(entry.outcome)
    if reason := entry_reason(entry):
        parts.append(f"({reason})")
    wanted = [describe_effect(*emitted) for emitted in _emitted_effects(entry)]
    asking = f"asks Twilio to {' and '.join(wanted)}" if wanted else ""
    return "; ".join(filter(None, (" ".join(parts), asking, *describe_reports(entry))))


def entry_reason(entry: LogEntry) -> str:
    """Return why an entry was refused, ignored, or ended the session."""
    return _ALLOWED.sub("", entry.reason)


def describe_reports(entry: LogEntry) -> list[str]:
    """Describe command outcomes, except a refusal that the entry states."""
    results = [(one["type"], one["status"], one["reason"], one["code"]) for one in entry.reports]
    # A consult isn't over: "done" would promise too much.
    goes_on = results and entry.changes.get("transfer.status") in ("consulting", "merged")
    return [
        "transfer: target reached"
        if goes_on and (kind, status) == ("transfer", "done")
        else f"{kind or 'a command'} {catalog.CANCELED}"
        if (status, reason) == ("failed", catalog.CANCELED)
        else _with_notes(f"{kind or 'a command'} {status}{f': {reason}' if reason else ''}", twilio_error_note(code))
        for kind, status, reason, code in results
        if status not in ("", "rejected")
    ]


def describe_update(update: str, party: str) -> str:
    """Describe a participant after a change; empty for an unknown one."""
    return catalog.UPDATES[update][1].format(party=party) if update in catalog.UPDATES else ""


def describe_effect(kind: str, party: str, variant: str) -> str:
    """Describe an effect, such as `hold customer` for the variant `hold`."""
    default_party = "everyone" if kind == "play_announcement" else "a party"
    known = catalog.EFFECT_VARIANTS.get((kind, variant)) or catalog.EFFECTS.get(kind)
    # Don't use an unknown kind as a format string: it may contain braces.
    return known.format(party=party or default_party) if known else kind.replace("_", " ")


def _emitted_effects(entry: LogEntry) -> list[tuple[str, str, str]]:
    """Return an entry's effects: kind, party, and variant."""
    return [(one["kind"], one["party"], one["detail"]) for one in entry.effects if one["kind"]]


_RENDERERS: dict[str, Callable[[Details], str]] = {
    "call_received": lambda details: _with_notes(
        "call handed over" if details["handed_off"] else "incoming call",
        details["mode"] if details["mode"] == "conference" else "",
        details["agents"] and f"{details['agents']} agents",
    ),
    "call_progressed": lambda details: _with_notes(
        _call_status(agent_position(details) or details["party"], details["status"]), _agent_number(details)
    ),
    "dial_ended": _dial_ended,
    "gate_reached": lambda details: f"{details['party'] or catalog.CALLED_PARTY} answered; call screening started",
    "gate_decided": lambda details: _call_status(
        details["party"] or catalog.CALLED_PARTY, details["decision"], catalog.GATE_DECISIONS
    ),
    "participant_left": _participant_left,
    "participant_changed": _participant_changed,
    "conference_ended": lambda details: _with_notes("conference ended", details["conference_reason"]),
    "announcement_ended": _announcement_ended,
    "recording_changed": _recording_changed,
    "account_swept": lambda details: catalog.SWEEP_FINDINGS.get(
        details["finding"], _with_notes("sweep: Twilio's lists differ from the session", details["finding"])
    ),
    "conference_found": lambda details: (
        f"found a Conferral conference without a session, with {details['participants']} "
        f"participant{'s' if details['participants'] != '1' else ''}"
    ),
    "effect_succeeded": lambda details: _effect_outcome("Twilio confirmed", details),
    "effect_failed": lambda details: _effect_outcome(
        "Twilio refused" if details["http_status"] else "not done", details
    ),
    "effect_unknown": lambda details: _effect_outcome("outcome unknown", details),
    "transfer": lambda details: _with_notes(
        f"{details['mode']} transfer requested".strip(),
        f"{details['targets']} target{'s' if details['targets'] != '1' else ''}" if details["targets"] else "",
    ),
}
