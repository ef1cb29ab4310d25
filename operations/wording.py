"""Wording for people: addresses, ages, and descriptions of log entries."""

import re
from collections.abc import Callable, Mapping, Sequence

import orjson

from conferral.operations.attempts import describe_attempts
from conferral.operations.session_queries import Fields, LogEntry
from conferral.runtime.redaction import redact
from conferral.statemachine.events import Add, PartyCommand
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from conferral.storage.codecs.session_codec import decode_public_changes
from conferral.storage.codecs.timestamps import from_iso, to_iso

_NO_PARTY = re.compile(r"HTTP \d|RE[0-9a-f]{32}\b")
_COACHES = re.compile(r"coaches ([A-Za-z][\w-]*)")
_STATUS_OF = re.compile(r"party\.([A-Za-z][\w-]*)\.status")
_ONE_OF = re.compile(r"agent \d+ of \d+")
_LONG_DIGITS = re.compile(r"\+?\d[\d().-]{5,}\d")
#: A phone number inside other text, such as the JSON of attempts: with a plus sign, or as a SIP or client name.
_NUMBER_IN_TEXT = re.compile(r"\+\d[\d().-]{3,}\d|(?:(?<=sip:)|(?<=sips:)|(?<=client:))\d[\d().-]{3,}\d")

_ROLES = ("customer", "agent", "target")
#: Roles listed after added parties: former agents and supervisors.
_LAST_ROLES = ("agent", "supervisor")
_STATUSES = {
    "queued": "{who} is queued to be dialed",
    "initiated": "dialing {who}",
    "ringing": "{who} is ringing",
    "in-progress": "{who} answered",
    "completed": "{who}'s call ended",
    "busy": "{who} was busy",
    "rejected": "{who} declined the call",
    "failed": "{who} could not be reached",
    "no-answer": "{who} did not answer",
    "canceled": "{who} is no longer being dialed",
}
#: For statuses read from Twilio, which are states rather than changes.
_LISTED_STATUSES = {"in-progress": "{who} is connected", "initiated": "{who} is being dialed"}
_EVENTS = {
    "call": "call requested: the agent first, then the customer",
    "conference_started": "conference started",
    "ring_overdue": "no one answered in time",
    "leave_overdue": "one side of the bridge disconnected",
    "convert_overdue": "conversion timed out",
    "repair_overdue": "repair of the conversion timed out",
    "lone_overdue": "one party was left alone for too long",
    "dial_overdue": "no callback about a dialed call arrived in time",
    "confirm_overdue": "no callback about a hold, mute, or flag arrived; asking Twilio",
    "stage_overdue": "time to check on the transfer",
    "age_overdue": "session reached its maximum age",
    "client_call_received": "outgoing call from a browser or app",
    "opening_overdue": "the waiting party did not join the conference in time",
    "pending_command_overdue": "Twilio did not confirm the command in time",
    "park_overdue": "park timed out",
}
_COMMANDS = COMMANDS_BY_NAME.keys() - {"call"}
_OF_PARTY = {name for name, command in COMMANDS_BY_NAME.items() if issubclass(command, Add | PartyCommand)}
_CHANGES = {
    "participant-hold": "is on hold",
    "participant-unhold": "is off hold",
    "participant-mute": "is muted",
    "participant-unmute": "is unmuted",
}
#: For supervisors, whose mute and unmute are changes of mode.
_SUPERVISOR_CHANGES = {
    "participant-mute": "is monitoring, heard by no one",
    "participant-unmute": "is heard by everyone",
}
_RECORDING = {
    "in-progress": "is running",
    "paused": "is paused",
    "stopped": "was stopped",
    "processing": "was stopped",
    "completed": "is available",
    "absent": "is empty",
    "failed": "could not be made",
}
_SWEEP_FINDINGS = {
    "call-missing": "sweep: Twilio's list of live calls lacks one of its calls",
    "conference-missing": "sweep: Twilio's list of live conferences lacks its conference",
    "call-answered": "sweep: Twilio lists a ringing call as answered",
    "call-live": "sweep: Twilio still lists a call, although the session has ended",
    "conference-live": "sweep: Twilio still lists the conference, although the session has ended",
    "rolled-back": "Redis lost recent writes; asking Twilio for the current state",
}
_GATE = {
    "accepted": "was admitted",
    "rejected": "declined the call",
    "no-confirmation": "pressed no key",
    "taken": "answered second: someone else had taken the call",
    "too-late": "answered too late",
}
_EFFECTS = {
    "redirect_call": "move {party} into the conference",
    "create_participant": "dial {party} into the conference",
    "create_call": "dial {party}",
    "find_call": "find {party}'s call",
    "update_participant": "update {party}",
    "play_announcement": "play an announcement to {party}",
    "start_recording": "record {party}'s call",
    "change_recording": "change the recording",
    "say_and_hang_up": "play a message to {party} and hang up",
    "redirect_to_url": "redirect {party} to the URL for after the conference",
    "hang_up_call": "hang up {party}",
    "end_conference": "end the conference",
    "read_calls": "report the state of the calls",
}
#: Effects with variants: by kind and by what they request.
_EFFECT_DETAILS = {
    ("update_participant", "hold"): "hold {party}",
    ("update_participant", "unhold"): "take {party} off hold",
    ("update_participant", "mute"): "mute {party}",
    ("update_participant", "unmute"): "unmute {party}",
    ("update_participant", "set-end-on-exit"): "end the conference when {party} leaves",
    ("update_participant", "clear-end-on-exit"): "keep the conference running when {party} leaves",
    ("update_participant", "monitor"): "switch {party} to monitor",
    ("update_participant", "whisper"): "switch {party} to whisper",
    ("update_participant", "barge"): "switch {party} to barge",
    ("change_recording", "paused"): "pause the recording",
    ("change_recording", "in-progress"): "resume the recording",
    ("change_recording", "stopped"): "stop the recording",
}
_RECORDINGS_ASKED = frozenset(asked for asked in _EFFECT_DETAILS if asked[0] == "change_recording")
_DIALS = frozenset({"create_participant", "create_call"})
#: Effects of a transfer step's timeout that only check on parties without news.
_READ_EFFECTS = frozenset({"read_calls", "hang_up_call"})
#: Cut from a refusal: the command's own reply lists the allowed commands.
_ALLOWED = re.compile(r"; allowed now: .*$")
_OUTCOMES = {
    "effect_succeeded": "Twilio confirmed: {what}",
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
        return _with_detail(f"{event} requested", detail) + _submitted_by(entry)
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
        return f"time to {'ring the agent again' if dialed == ['agent'] else 'dial ' + ' and '.join(dialed)}"
    if all(kind in _READ_EFFECTS for kind, _, _ in ordered):
        return "time to check on the transfer"
    return "a step of the transfer timed out"


def _with_detail(text: str, detail: str) -> str:
    return f"{text} ({detail})" if detail else text


def _after(entry: LogEntry) -> str:
    attempts = describe_attempts(entry)
    return f"; {attempts}" if attempts else ""


def _call_progressed(detail: str) -> str:
    who, _, rest = detail.partition(" ")
    status, _, which = rest.partition(", ")
    is_numbered = _ONE_OF.fullmatch(which)
    return _call_status(which, status) if is_numbered else _with_detail(_call_status(who, status), which)


def _call_status(who: str, status: str, sentences: Mapping[str, str] = _STATUSES) -> str:
    known = sentences.get(status)
    # A status that is none of Twilio's may hold braces.
    return known.format(who=who) if known else f"{who} {status}"


def _transfer_requested(detail: str) -> str:
    """Describe a detail such as `consult to 2 targets`."""
    mode, _, targets = detail.partition(" to ")
    return _with_detail(f"{mode} transfer requested" if mode else "transfer requested", targets)


def _dial_ended(detail: str) -> str:
    who, _, rest = detail.partition(" ")
    where, _, how = rest.partition(" ")
    if where == "bridge":
        return f"{who}'s <Dial> ended ({how})"
    # For a conference, "answered" says only that there was one.
    return _with_detail(f"{who}'s conference <Dial> ended", "" if how == "answered" else how)


def _left(detail: str) -> str:
    who, _, why = detail.partition(" ")
    if why == "participant_add_failed":
        return f"{who} could not be added to the conference"
    return _with_detail(f"{who} left the conference", why.replace("_", " "))


def _at_gate(entry: LogEntry) -> str:
    """Describe a gate event. The entry names only the call; its changes may reveal the party."""
    changed = [_STATUS_OF.fullmatch(name) for name in decode_public_changes(entry["changes"])]
    found = {one[1] for one in changed if one is not None}
    who = found.pop() if len(found) == 1 else "the called party"
    if entry["event"] == "gate_reached":
        return f"{who} answered at the gate"
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
        told += [
            f"{who} is {' and '.join('on hold' if flag == 'held' else flag for flag in flags.split())}"
            for who, flags in inside.items()
            if flags
        ]
    elif conference:
        told.append(conference)
    for who, _, status in (one.rpartition(" ") for one in calls.split(", ") if one):
        if who not in inside or status != "in-progress":  # participants are always on the line
            told.append(_call_status(who, status, _STATUSES | _LISTED_STATUSES))
    return f"Twilio reports: {', '.join(told)}" if told else "Twilio lists none of the calls"


def _recording_changed(detail: str) -> str:
    """Describe a detail such as `RE… completed, of the call, 61 s`."""
    told, *more = detail.split(", ")
    status = told.rpartition(" ")[2]
    whose = f" {more[0]}" if more else ""
    return _with_detail(f"the recording{whose} {_RECORDING.get(status, status)}".rstrip(), ", ".join(more[1:]))


def _announcement_ended(detail: str) -> str:
    """Describe a detail such as `agent`, `conference failed`, or `agent failed not-found`."""
    who, _, rest = detail.partition(" ")
    whom = "everyone" if who in ("", "conference") else who
    if not rest.startswith("failed"):
        return f"{whom} heard the announcement"
    return _with_detail(f"the announcement could not be played to {whom}", rest.removeprefix("failed").strip())


def _conference_found(detail: str) -> str:
    count = detail.rpartition("; ")[2].partition(" ")[0]
    return f"found one of our conferences that no session knew, with {count} in it"


def _account_swept(detail: str) -> str:
    return _SWEEP_FINDINGS.get(detail.partition(" ")[0], _with_detail("sweep: Twilio's lists differ", detail))


def _participant_changed(detail: str) -> str:
    party, _, told = detail.partition(" ")
    kind, _, flags = told.partition(" ")
    if coached := _COACHES.search(flags):
        return f"{party} is heard only by {coached[1]}"
    if party == "supervisor" and kind in _SUPERVISOR_CHANGES:
        return f"{party} {_SUPERVISOR_CHANGES[kind]}"
    if kind == "participant-modify":
        ends = "will end" if "ends the conference" in flags else "will no longer end"
        return f"conference {ends} when {party} leaves"
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
    asking = f"asks Twilio to {' and '.join(wanted)}" if wanted else ""
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
    default_party = "everyone" if kind == "play_announcement" else "a party"
    known = _EFFECT_DETAILS.get((kind, what)) or _EFFECTS.get(kind)
    # Don't use an unknown kind as a format string: it may contain braces.
    return known.format(party=party or default_party) if known else kind.replace("_", " ")


def _describe_effects(entry: LogEntry) -> list[tuple[str, str, str]]:
    """Return the emitted effects: kind, party, and variant."""
    try:
        effects = orjson.loads(entry["effects"] or "[]")
        return [(str(one["kind"]), str(one["party"]), str(one.get("detail", ""))) for one in effects]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return []


#: Renderers of events whose details matter most.
_RENDERERS: dict[str, Callable[[str], str]] = {
    "call_received": lambda detail: _with_detail("incoming call", detail),
    "call_progressed": _call_progressed,
    "dial_ended": _dial_ended,
    "participant_joined": lambda detail: f"{detail.partition(' ')[0]} joined the conference",
    "participant_left": _left,
    "participant_changed": _participant_changed,
    "conference_ended": lambda detail: _with_detail("conference ended", detail),
    "announcement_ended": _announcement_ended,
    "recording_changed": _recording_changed,
    "account_swept": _account_swept,
    "conference_found": _conference_found,
    "calls_read": _calls_read,
    "transfer": _transfer_requested,
}
