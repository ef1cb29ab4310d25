"""Sessions in the words of the people who look after them: addresses, ages, and what a log entry says."""

import re

import orjson

from conferral.access import Fields, LogEntry
from runtime.log import redacted
from streams.times import from_iso

_LONG_DIGITS = re.compile(r"\+?\d[\d().-]{5,}\d")

_ROLES = ("customer", "agent", "target")

_STATUSES = {
    "queued": "is about to be called",
    "initiated": "is being called",
    "ringing": "rings",
    "in-progress": "answers",
    "completed": "is off the line",
    "busy": "is busy",
    "failed": "can't be reached",
    "no-answer": "does not answer",
    "canceled": "is not called any more",
}
_EVENTS = {
    "call_received": "a call comes in",
    "call": "a call to an agent and a customer is asked for",
    "gate_reached": "somebody who was called has answered",
    "conference_started": "the conference has begun",
    "ring_overdue": "nobody has answered in time",
    "leave_overdue": "one side of the bridge is over",
    "convert_overdue": "the conversion takes too long",
    "repair_overdue": "the repair of the conversion takes too long",
    "lone_overdue": "one party has been alone long enough",
    "dial_overdue": "nothing is heard of somebody who was called",
    "confirm_overdue": "Twilio has not said yet what a hold or a flag is",
    "stage_overdue": "the transfer's next step takes too long",
    "age_overdue": "the session is too old",
}
_COMMANDS = frozenset({"convert", "complete", "cancel", "swap", "merge", "end"})
_CHANGES = {
    "participant-hold": "is held",
    "participant-unhold": "is off hold",
    "participant-mute": "is muted",
    "participant-unmute": "is heard again",
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
    "update_participant": "change hold or flags of {party}",
    "say_and_hang_up": "say a sentence to {party} and hang up",
    "hang_up_call": "hang {party} up",
    "end_conference": "end the conference",
    "read_calls": "say how the calls stand",
}
_DIALS = frozenset({"create_participant", "create_call"})
_OUTCOMES = {
    "effect_succeeded": "Twilio has done it: {what}",
    "effect_failed": "Twilio refused: {what}",
    "effect_unknown": "no answer from Twilio: {what}",
}


def address(value: str, *, full: bool = False) -> str:
    """An address for a table: a number is cut to its last two digits unless it is wanted whole.

    >>> address("+14155550123"), address("client:alice")
    ('+…23', 'client:alice')
    """
    if full or not value:
        return value
    if value.startswith("+"):
        return redacted(value)
    return _LONG_DIGITS.sub(lambda found: redacted("+" + found.group().lstrip("+")), value)


def state(fields: Fields) -> str:
    """State and phase in one."""
    return " ".join(filter(None, (fields.get("state", "?"), fields.get("phase", ""))))


def time_ms(text: str) -> int:
    """A time of a record, Unix milliseconds; 0 when there is none that can be read."""
    try:
        return from_iso(text)
    except ValueError:
        return 0


def age(since_ms: int, now_ms: int) -> str:
    """How long ago something was.

    >>> age(0, 59_000), age(1_000, 3_661_000)
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


def took(from_ms: int, until_ms: int) -> str:
    """How long something took, in seconds; empty when it has not begun or is not over.

    >>> took(1_000, 13_340), took(1_000, 0)
    ('12.3 s', '')
    """
    return f"{max(0, until_ms - from_ms) / 1000:.1f} s" if from_ms and until_ms else ""


def parties(fields: Fields) -> list[str]:
    """Names of a session's parties: customer and agent first, then who is called, then who was agent before."""
    names = {name[6:-7] for name in fields if name.startswith("party.") and name.endswith(".status")}
    return sorted(names, key=_place)


def _place(party: str) -> tuple[int, str, int, str]:
    role, _, number = party.partition("-")
    usual = _ROLES.index(party) if party in _ROLES else len(_ROLES) - (role == "target")
    # Only ASCII digits: whoever wrote the record may have named a party with others, of which no number can be made.
    return usual, role, int(number) if re.fullmatch(r"[0-9]{1,9}", number) else 0, party


def happened(entry: LogEntry) -> str:
    """What a log entry tells, in one line; its state and reason are told by `change`."""
    event, detail = entry["event"], entry["detail"]
    who, _, rest = detail.partition(" ")
    if event == "call_progressed":
        return f"{who} {_STATUSES.get(rest, rest)}"
    if event == "dial_ended":
        where, _, how = rest.partition(" ")
        return f"{who}'s bridge is over ({how})" if where == "bridge" else f"{who}'s stay is over ({how})"
    if event in ("participant_joined", "participant_left"):
        if event == "participant_joined":
            return f"{who} is in the conference"
        why = f" ({rest.replace('_', ' ')})" if rest else ""
        return f"{who} leaves the conference{why}"
    if event == "participant_changed":
        return _participant(who, rest)
    if event == "gate_decided":
        return f"somebody who was called {_GATE.get(rest, rest)}".rstrip()
    if event == "transfer":
        return f"a transfer is asked for ({detail})" if detail else "a transfer is asked for"
    if event == "conference_ended":
        return f"the conference is over ({detail})" if detail else "the conference is over"
    if event == "calls_read":
        return f"Twilio was asked: {detail}"
    if event in _OUTCOMES:
        return _OUTCOMES[event].format(what=_effect(detail))
    if event == "stage_overdue" and (dialled := [who for kind, who in _ordered(entry) if kind in _DIALS]):
        # What was waited for was the time of the call itself: nothing is late.
        return f"it is time to {'ring the agent again' if dialled == ['agent'] else 'call ' + ' and '.join(dialled)}"
    known = f"{event} is asked for" if event in _COMMANDS else _EVENTS.get(event)
    return known or " ".join(filter(None, (event.replace("_", " "), detail)))


def _participant(party: str, change: str) -> str:
    kind, _, flags = change.partition(" ")
    if kind == "participant-modify":
        return f"{party}'s leaving {'ends' if 'ends the conference' in flags else 'does not end'} the conference now"
    return f"{party} {_CHANGES.get(kind, change)}"


def _effect(detail: str) -> str:
    kind, _, rest = detail.partition(" ")
    party, _, more = rest.partition(" ")
    text = _EFFECTS.get(kind, kind.replace("_", " ")).format(party=party or "a party")
    return f"{text} ({more})" if more else text


def change(entry: LogEntry) -> str:
    """The state that an entry led to, why, and what was ordered; empty when nothing is to be said."""
    parts = []
    if entry["from"] != entry["to"] or entry["version"] == "1":
        parts.append(f"-> {entry['to']}")
    if entry["outcome"] in ("refused", "unexpected"):
        parts.append(entry["outcome"])
    if entry["reason"]:
        parts.append(f"({entry['reason']})")
    if asked := [_EFFECTS.get(kind, kind).format(party=party or "a party") for kind, party in _ordered(entry)]:
        parts.append(f"Twilio is asked to {' and '.join(asked)}")
    return " ".join(parts)


def _ordered(entry: LogEntry) -> list[tuple[str, str]]:
    try:
        effects = orjson.loads(entry["effects"] or "[]")
        return [(str(effect["kind"]), str(effect["party"])) for effect in effects]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
