"""Wording for people: addresses, ages, and descriptions of log entries."""

import re
from collections.abc import Callable, Sequence

import orjson

from conferral.operations.session_queries import Fields, LogEntry
from conferral.runtime.redaction import redact
from conferral.storage.codecs.session_codec import decode_public_changes
from conferral.storage.codecs.timestamps import from_iso, to_iso

_NO_PARTY = re.compile(r"HTTP \d|RE[0-9a-f]{32}\b")
_COACHES = re.compile(r"coaches ([A-Za-z][\w-]*)")
_STATUS_OF = re.compile(r"party\.([A-Za-z][\w-]*)\.status")
_ONE_OF = re.compile(r"agent \d+ of \d+")
_LONG_DIGITS = re.compile(r"\+?\d[\d().-]{5,}\d")
#: A phone number inside other text, such as the JSON of attempts: with a plus sign, or as a SIP or client name.
_NUMBER_IN_TEXT = re.compile(r"\+\d[\d().-]{3,}\d|(?:(?<=sip:)|(?<=sips:)|(?<=client:))\d[\d().-]{3,}\d")

#: An attempt count: no effect takes more requests than this in an hour.
_SMALL = re.compile(r"[1-9][0-9]{0,5}")
#: A result of failed attempts: `503 x2`, `429 code 20429 x1`, `no-answer x1`.
_FAILED_ATTEMPT = re.compile(r"(no-answer|[0-9]{3}(?: code [0-9]{1,6})?) x([1-9][0-9]{0,5})")
_UNANSWERED = "no-answer"
_TIMES = {"1": "once", "2": "twice"}
_ROLES = ("customer", "agent", "target")
#: Roles listed after added parties: former agents and supervisors.
_LAST_ROLES = ("agent", "supervisor")
_STATUSES = {
    "queued": "is about to be called",
    "initiated": "is being called",
    "ringing": "rings",
    "in-progress": "answers",
    "completed": "is off the line",
    "busy": "is busy",
    "rejected": "refuses the call",
    "failed": "can't be reached",
    "no-answer": "does not answer",
    "canceled": "is not called any more",
}
#: For statuses read from Twilio, which are states rather than changes.
_CALL_STATUSES = {"in-progress": "is on the line", "queued": "is to be called"}
_EVENTS = {
    "call": "a call to an agent and a customer is asked for",
    "conference_started": "the conference has begun",
    "ring_overdue": "nobody has answered in time",
    "leave_overdue": "one side of the bridge is over",
    "convert_overdue": "the conversion takes too long",
    "repair_overdue": "the repair of the conversion takes too long",
    "lone_overdue": "one party has been alone long enough",
    "dial_overdue": "nothing is heard of somebody who was called",
    "confirm_overdue": "no word has come from Twilio of a hold, a mute or a flag, so it is asked",
    "stage_overdue": "it is time to look after the transfer",
    "age_overdue": "the session is too old",
    "client_call_received": "somebody calls out from a browser or an app",
    "opening_overdue": "whoever is to wait has not come into the conference",
    "pending_command_overdue": "Twilio has not confirmed in time what was asked for",
    "park_overdue": "the call was parked for too long",
}
_COMMANDS = frozenset(
    {
        "convert", "complete", "cancel", "swap", "merge", "park", "retrieve", "add", "remove", "hold", "unhold",
        "mute", "unmute", "supervise", "announce", "record", "end",
    }
)  # fmt: skip
_OF_PARTY = frozenset({"add", "remove", "hold", "unhold", "mute", "unmute"})
_CHANGES = {
    "participant-hold": "is held",
    "participant-unhold": "is off hold",
    "participant-mute": "is muted",
    "participant-unmute": "is heard again",
}
#: For supervisors, whose mute and unmute are changes of mode.
_SUPERVISOR_CHANGES = {"participant-mute": "listens, heard by nobody", "participant-unmute": "is heard by all"}
_RECORDING = {
    "in-progress": "runs",
    "paused": "is paused",
    "stopped": "has stopped",
    "processing": "has stopped",
    "completed": "can be fetched",
    "absent": "holds nothing",
    "failed": "has failed",
}
_SWEEP_FINDINGS = {
    "call-missing": "the account's list does not show a call of it",
    "conference-missing": "the account's list does not show its conference",
    "call-answered": "the account's list shows a call of it as answered, which rings by all that is known",
    "call-live": "the account's list shows a call of it, though it has ended",
    "conference-live": "the account's list shows its conference, though it has ended",
    "rolled-back": "Redis was rolled back, so Twilio is asked how the call is now",
}
_GATE = {
    "accepted": "is let in",
    "rejected": "refuses the call",
    "no-confirmation": "presses no key",
    "taken": "comes second, somebody else has taken the call",
    "too-late": "comes too late",
}
_EFFECTS = {
    "redirect_call": "move {party} into the conference",
    "create_participant": "call {party} into the conference",
    "create_call": "call {party}",
    "find_call": "look for the call of {party}",
    "update_participant": "change how {party} takes part",
    "play_announcement": "play an announcement to {party}",
    "start_recording": "record {party}'s call",
    "change_recording": "change the recording",
    "say_and_hang_up": "say a sentence to {party} and hang up",
    "redirect_to_url": "send {party} on to what follows the conference",
    "hang_up_call": "hang {party} up",
    "end_conference": "end the conference",
    "read_calls": "say how the calls stand",
}
#: Effects with variants: by kind and by what they request.
_EFFECT_DETAILS = {
    ("update_participant", "hold"): "hold {party}",
    ("update_participant", "unhold"): "take {party} off hold",
    ("update_participant", "mute"): "mute {party}",
    ("update_participant", "unmute"): "let {party} be heard",
    ("update_participant", "set-end-on-exit"): "end the conference when {party} leaves",
    ("update_participant", "clear-end-on-exit"): "go on when {party} leaves",
    ("update_participant", "monitor"): "let {party} listen only",
    ("update_participant", "whisper"): "let {party} be heard by the agent",
    ("update_participant", "barge"): "let {party} be heard by all",
    ("change_recording", "paused"): "pause the recording",
    ("change_recording", "in-progress"): "go on recording",
    ("change_recording", "stopped"): "stop the recording",
}
_RECORDINGS_ASKED = frozenset(asked for asked in _EFFECT_DETAILS if asked[0] == "change_recording")
_DIALS = frozenset({"create_participant", "create_call"})
#: Effects of a transfer step's timeout that only check on parties without news.
_READ_EFFECTS = frozenset({"read_calls", "hang_up_call"})
#: Cut from a refusal: the command's own reply lists the allowed commands.
_ALLOWED = re.compile(r"; allowed now: .*$")
_OUTCOMES = {
    "effect_succeeded": "Twilio has done it: {what}",
    "effect_failed": "Twilio refused: {what}",
    "effect_unknown": "no answer from Twilio: {what}",
}


def display_address(value: str, *, full: bool = False) -> str:
    """Return an address for a table, with numbers masked to their last two digits unless `full`.

    >>> display_address("+14155550123"), display_address("client:alice")
    ('+…23', 'client:alice')
    """
    if full or not value:
        return value
    if value.startswith("+"):
        return redact(value)
    return _LONG_DIGITS.sub(lambda found: redact("+" + found.group().lstrip("+")), value)


def mask_numbers(text: str, *, full: bool = False) -> str:
    """Mask phone numbers within a text; other digits (times, SIDs) stay.

    >>> mask_numbers("to sip:14155550123@pbx.example at 1800000000000")
    'to sip:+…23@pbx.example at 1800000000000'
    """
    return text if full else _NUMBER_IN_TEXT.sub(lambda found: redact(f"+{found[0].lstrip('+')}"), text)


def state_label(fields: Fields) -> str:
    """Return state and phase as one label."""
    return " ".join(filter(None, (fields.get("state", "?"), fields.get("phase", ""))))


def parse_time_ms(text: str) -> int:
    """Parse a stored time into Unix milliseconds; 0 if it is missing or invalid."""
    try:
        return from_iso(text)
    except ValueError:
        return 0


def format_age(since_ms: int, now_ms: int) -> str:
    """Return a duration for people; empty without a start.

    >>> format_age(0, 59_000), format_age(1_000, 3_661_000)
    ('', '1 h 01 min')
    """
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
    """Return a time of day, UTC.

    >>> format_clock(1_800_000_061_000)
    '08:01:01'
    """
    return to_iso(at_ms)[11:19]


def format_duration(from_ms: int, until_ms: int) -> str:
    """Return a duration in seconds; empty if it hasn't started or ended.

    >>> format_duration(1_000, 13_340), format_duration(1_000, 0)
    ('12.3 s', '')
    """
    return f"{max(0, until_ms - from_ms) / 1000:.1f} s" if from_ms and until_ms else ""


def party_names(fields: Fields) -> list[str]:
    """Return the parties' names: customer and agent, dialed and added parties, then former agents and supervisors."""
    names = {name[6:-7] for name in fields if name.startswith("party.") and name.endswith(".status")}
    return sorted(names, key=_party_sort_key)


def _party_sort_key(party: str) -> tuple[int, str, int, str]:
    role, _, number = party.partition("-")
    usual = _ROLES.index(party) if party in _ROLES else len(_ROLES) + (role in _LAST_ROLES) - (role == "target")
    # ASCII digits only: another program may have named a party with digits that `int` rejects.
    return usual, role, int(number) if re.fullmatch(r"[0-9]{1,9}", number) else 0, party


def describe_entry(entry: LogEntry) -> str:
    """Describe a log entry in one line, without its state and reason, which `describe_change` covers."""
    event, detail = entry["event"], entry["detail"]
    if event in ("gate_reached", "gate_decided"):
        return _at_gate(entry)
    if event in _RENDERERS:
        return _RENDERERS[event](detail) + _after(entry)
    if event in _OUTCOMES:
        return _OUTCOMES[event].format(what=_effect_outcome(detail)) + _after(entry)
    if event == "stage_overdue" and (ordered := _describe_effects(entry)):
        return _timed_out_step(ordered)
    if event in _COMMANDS:
        return _with_detail(f"{event} is asked for", detail) + _submitted_by(entry)
    return _EVENTS.get(event) or " ".join(filter(None, (event.replace("_", " "), detail)))


def describe_refusal(entry: LogEntry) -> str:
    """Describe a refused command, without the reason.

    >>> describe_refusal(LogEntry("1-0", {"event": "hold", "detail": "customer", "by": "cli"}))
    'hold customer was refused (by cli)'
    """
    about = entry["detail"] if entry["event"] in _OF_PARTY else ""
    return f"{' '.join(filter(None, (entry['event'], about)))} was refused{_submitted_by(entry)}"


def _submitted_by(entry: LogEntry) -> str:
    """Return who submitted a command, if known."""
    return f" (by {entry['by']})" if entry["by"] else ""


def _timed_out_step(ordered: Sequence[tuple[str, str, str]]) -> str:
    """Describe a transfer step's timeout by the effects that followed."""
    if dialed := [who for kind, who, _ in ordered if kind in _DIALS]:
        # The timeout was the scheduled time of the dial: nothing is late.
        return f"it is time to {'ring the agent again' if dialed == ['agent'] else 'call ' + ' and '.join(dialed)}"
    if all(kind in _READ_EFFECTS for kind, _, _ in ordered):
        return "it is time to look how far the transfer has come"
    return "a step of the transfer takes too long"


def _with_detail(text: str, detail: str) -> str:
    return f"{text} ({detail})" if detail else text


def attempt_count(entry: LogEntry) -> int:
    """Return how many requests an outcome took (count); 0 if not recorded."""
    return int(entry["attempts"]) if _SMALL.fullmatch(entry["attempts"]) else 0


def describe_attempts(entry: LogEntry) -> str:
    """Describe how many requests an effect took, and the results of the failed ones.

    Empty if the entry doesn't record it, which usually means one request. Otherwise, for example, `3 attempts, 503
    twice`; or, if verification found that a failed request had taken effect, `1 attempt, answered 500 code 20500;
    looked, and it was there`.
    """
    count = attempt_count(entry)
    if not count:
        return ""
    try:
        failed_attempts = orjson.loads(entry["failed_attempts"] or "[]")
    except orjson.JSONDecodeError:
        failed_attempts = []
    found = (
        [_FAILED_ATTEMPT.fullmatch(one) for one in failed_attempts if isinstance(one, str)]
        if isinstance(failed_attempts, list)
        else []
    )
    known = [(one[1], one[2]) for one in found if one is not None]
    if _was_found_done(entry, count, known):
        told = [_failed_attempt_note(word if word == _UNANSWERED else f"answered {word}", times if count > 1 else "")
                for word, times in known]  # fmt: skip
        return f"{_with_count(count, told)}; looked, and it was there"
    return _with_count(count, [_failed_attempt_note(word, times) for word, times in known])


def _was_found_done(entry: LogEntry, count: int, failed_attempts: Sequence[tuple[str, str]]) -> bool:
    """Whether no request succeeded, but verification found that one with an unknown outcome had taken effect."""
    is_unknown = any(not word.startswith("429") for word, _ in failed_attempts)  # a 429 means that Twilio did nothing
    is_done = entry["event"] == "effect_succeeded"
    return is_done and is_unknown and sum(int(times) for _, times in failed_attempts) == count


def _failed_attempt_note(word: str, times: str) -> str:
    return " ".join(filter(None, (word.replace("-", " "), _TIMES.get(times, times and f"{times} times"))))


def _with_count(attempts: int, failed_attempts: Sequence[str]) -> str:
    return ", ".join((f"{attempts} attempt{'s' if attempts > 1 else ''}", *failed_attempts))


def _after(entry: LogEntry) -> str:
    attempts = describe_attempts(entry)
    return f", after {attempts}" if attempts else ""


def _call_progressed(detail: str) -> str:
    who, _, told = detail.partition(" ")
    status, _, which = told.partition(", ")
    text = _STATUSES.get(status, status)
    return f"{which} {text}" if _ONE_OF.fullmatch(which) else _with_detail(f"{who} {text}", which)


def _dial_ended(detail: str) -> str:
    who, _, rest = detail.partition(" ")
    where, _, how = rest.partition(" ")
    if where == "bridge":
        return f"{who}'s bridge is over ({how})"
    # For a conference, "answered" says only that there was one.
    return _with_detail(f"{who}'s time in the conference is over", "" if how == "answered" else how)


def _left(detail: str) -> str:
    who, _, why = detail.partition(" ")
    return _with_detail(f"{who} leaves the conference", why.replace("_", " "))


def _at_gate(entry: LogEntry) -> str:
    """Describe a gate event. The entry names only the call; its changes may reveal the party."""
    changed = [_STATUS_OF.fullmatch(name) for name in decode_public_changes(entry["changes"])]
    found = {one[1] for one in changed if one is not None}
    who = found.pop() if len(found) == 1 else "somebody who was called"
    if entry["event"] == "gate_reached":
        return f"{who} has answered"
    decision = entry["detail"].partition(" ")[2]
    return f"{who} {_GATE.get(decision, decision)}".rstrip()


def _calls_read(detail: str) -> str:
    """Describe a detail such as `customer in-progress, agent in-progress; in the conference: customer held, agent`.

    Older entries have SIDs instead of names, and only the number of participants.
    """
    calls, _, conference = detail.partition("; ")
    pairs = (one.partition(" ") for one in conference.partition(": ")[2].split(", "))
    inside = {who: flags for who, _, flags in pairs if who}
    *others, last = inside or [""]
    told: list[str] = []
    if inside:
        names = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        told.append(f"{names} in the conference")
        told += [f"{who} is {how.replace(' ', ' and ')}" for who, how in inside.items() if how]
    elif conference:
        told.append(conference)
    for who, _, status in (one.rpartition(" ") for one in calls.split(", ") if one):
        if who not in inside or status != "in-progress":  # participants are always on the line
            told.append(f"{who} {_CALL_STATUSES.get(status) or _STATUSES.get(status, status)}")
    return f"Twilio says: {', '.join(told)}" if told else "Twilio shows none of the calls"


def _recording_changed(detail: str) -> str:
    """Describe a detail such as `RE… completed, of the call, 61 s`."""
    told, *more = detail.split(", ")
    status = told.rpartition(" ")[2]
    whose = f" {more[0]}" if more else ""
    return _with_detail(f"the recording{whose} {_RECORDING.get(status, status)}".rstrip(), ", ".join(more[1:]))


def _announcement_ended(detail: str) -> str:
    """Describe a detail such as `agent`, `conference failed`, or `agent failed not-found`."""
    who, _, rest = detail.partition(" ")
    whom = "everybody" if who in ("", "conference") else who
    if not rest.startswith("failed"):
        return f"{whom} has heard the announcement"
    return _with_detail(f"the announcement can't be played to {whom}", rest.removeprefix("failed").strip())


def _conference_found(detail: str) -> str:
    count = detail.rpartition("; ")[2].partition(" ")[0]
    return f"a conference of ours was found of which nothing was known any more, with {count} in it"


def _account_swept(detail: str) -> str:
    return _SWEEP_FINDINGS.get(detail.partition(" ")[0], _with_detail("the account's lists differ", detail))


def _participant_changed(detail: str) -> str:
    party, _, told = detail.partition(" ")
    kind, _, flags = told.partition(" ")
    if coached := _COACHES.search(flags):
        return f"{party} is heard by {coached[1]} alone"
    if party == "supervisor" and kind in _SUPERVISOR_CHANGES:
        return f"{party} {_SUPERVISOR_CHANGES[kind]}"
    if kind == "participant-modify":
        return f"{party}'s leaving {'ends' if 'ends the conference' in flags else 'does not end'} the conference now"
    return f"{party} {_CHANGES.get(kind, told)}"


def _effect_outcome(detail: str) -> str:
    kind, _, rest = detail.partition(" ")
    # Without a party, the request or the outcome follows at once.
    is_about_none = _NO_PARTY.match(rest) or (kind, rest.partition(" ")[0]) in _RECORDINGS_ASKED
    party, _, rest = ("", "", rest) if is_about_none else rest.partition(" ")
    what, _, more = rest.partition(" ")
    if (kind, what) not in _EFFECT_DETAILS:
        what, more = "", rest
    return _with_detail(describe_effect(kind, party, what), more)


def describe_change(entry: LogEntry) -> str:
    """Describe the new state, its reason, and the effects; empty if there is nothing to say."""
    parts = []
    if entry["from"] != entry["to"] or entry["version"] == "1":
        parts.append(f"-> {entry['to']}")
    if entry["outcome"] in ("refused", "unexpected"):
        parts.append(entry["outcome"])
    if reason := entry_reason(entry):
        parts.append(f"({reason})")
    wanted = [describe_effect(*ordered) for ordered in _describe_effects(entry)]
    asking = f"Twilio is asked to {' and '.join(wanted)}" if wanted else ""
    return "; ".join(filter(None, (" ".join(parts), asking, *describe_reports(entry))))


def entry_reason(entry: LogEntry) -> str:
    """Return why an entry was refused, ignored, or ended the session; empty for none."""
    return _ALLOWED.sub("", entry["reason"])


def describe_reports(entry: LogEntry) -> list[str]:
    """Describe the outcomes of commands, except for a refusal that the entry itself states."""
    try:
        reports = orjson.loads(entry["reports"] or "[]")
        told = [(str(one["type"]), str(one["status"]), str(one["reason"])) for one in reports]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return []
    # A transfer in which the agent first talks to the target isn't over: "done" would promise too much.
    goes_on = told and decode_public_changes(entry["changes"]).get("transfer.status") in ("consulting", "merged")
    return [
        "transfer: target reached"
        if goes_on and (kind, status) == ("transfer", "done")
        else f"{kind or 'a command'} {status}{f': {reason}' if reason else ''}"
        for kind, status, reason in told
        if status != "rejected"
    ]


def describe_effect(kind: str, party: str, what: str) -> str:
    """Describe the request of an effect to Twilio, such as `hold customer`."""
    everybody = "everybody" if kind == "play_announcement" else "a party"
    known = _EFFECT_DETAILS.get((kind, what)) or _EFFECTS.get(kind)
    # Don't use an unknown kind as a format string: it may contain braces.
    return known.format(party=party or everybody) if known else kind.replace("_", " ")


def _describe_effects(entry: LogEntry) -> list[tuple[str, str, str]]:
    """Return the emitted effects: kind, party, and variant."""
    try:
        effects = orjson.loads(entry["effects"] or "[]")
        return [(str(one["kind"]), str(one["party"]), str(one.get("detail", ""))) for one in effects]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return []


#: Renderers of events whose details matter most.
_RENDERERS: dict[str, Callable[[str], str]] = {
    "call_received": lambda detail: _with_detail("a call comes in", detail),
    "call_progressed": _call_progressed,
    "dial_ended": _dial_ended,
    "participant_joined": lambda detail: f"{detail.partition(' ')[0]} is in the conference",
    "participant_left": _left,
    "participant_changed": _participant_changed,
    "conference_ended": lambda detail: _with_detail("the conference is over", detail),
    "announcement_ended": _announcement_ended,
    "recording_changed": _recording_changed,
    "account_swept": _account_swept,
    "conference_found": _conference_found,
    "calls_read": _calls_read,
    "transfer": lambda detail: _with_detail("a transfer is asked for", detail),
}
