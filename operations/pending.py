"""What a session waits for: people, Twilio, its timers, and finally the sweep."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conferral.operations import session_summary, wording
from conferral.operations.audibility import is_ringing_caller
from conferral.operations.history.timeline import EffectRequest
from conferral.operations.session_queries import Fields, LogEntry
from conferral.storage.codecs.session_codec import decode_public_changes

WaitSource = Literal["timer", "twilio", "person", "sweep"]

#: What happens when a timer fires.
_TIMER_EFFECTS = {
    "ring": "Conferral asks Twilio about the calls if no one has answered",
    "leave": "Conferral asks Twilio which of the two is still connected",
    "convert": "Conferral moves the missing party into the conference once more",
    "repair": "the conversion fails if a party is still missing",
    "lone": "Conferral hangs up the party left alone",
    "dial": "Conferral asks Twilio about the dialed call",
    "confirm": "Conferral asks Twilio whether the change took effect",
    "stage": "Conferral checks on the transfer",
    "opening": "Conferral checks whether the waiting party has joined",
    "pending_command": "the pending command fails",
    "park": "the parked call goes back to the agent who parked it",
    "age": "the call ends after 24 h",
}
_FOR_COMMAND = "the command {order} to finish"
_FOR_RECORDING = "Twilio's answer: {asked} the recording"
_FOR_UNHOLD = "someone to take {held} off hold (unhold)"
#: What a session waits for while its parties are talking.
CONVERSATION = "the parties, who are talking, to hang up"
_STATUSES: dict[str, tuple[str, WaitSource]] = {
    "dialing": ("Twilio to dial {party}", "twilio"),
    "ringing": ("{party} to answer", "person"),
    "confirming": ("{party} to press 1", "person"),
}
#: Pending participant updates, by the value of the field `pending_update`.
_CONFIRMED = {
    "hold": "that {party} is on hold",
    "unhold": "that {party} is off hold",
    "mute": "that {party} is muted",
    "unmute": "that {party} is unmuted",
    "set-end-on-exit": "that the conference ends when {party} leaves",
    "clear-end-on-exit": "that the conference keeps running when {party} leaves",
    "monitor": "that {party} is monitoring",
    "whisper": "that {party} is whispering to the agent",
    "barge": "that {party} is heard by everyone",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a session waits for."""

    #: A phrase that follows "waits for"; for a timer, what happens when it fires.
    for_: str
    #: Start of the wait, in Unix milliseconds; 0 if unknown.
    since_ms: int
    #: When it happens automatically, in Unix milliseconds; 0 if unknown.
    comes_at_ms: int
    by: WaitSource


def list_waits(fields: Fields, now_ms: int, pending: Sequence[EffectRequest] = ()) -> tuple[Wait, ...]:
    """Return what a session waits for: first Twilio and people, then timers, the soonest first.

    Args:
        fields: The session's hash.
        now_ms: Unix milliseconds, by Redis's clock.
        pending: Requests to Twilio without an outcome.
    """
    asked = [Wait(f"Twilio's answer: {one.text}", one.requested_at_ms, 0, "twilio") for one in pending]
    if fields.get("state") == "ended" or not fields.get("state"):
        return tuple(asked)
    waits = [*_waits_for_parties(fields), *_waits_for_commands(fields)] or _waits_for_people(fields)
    waits += asked
    due = sorted(timers(fields).items(), key=lambda item: item[1])
    # The age timer, a day away, matters only if it is the only one. In a pause, the stage timer says more.
    near = [(name, at_ms) for name, at_ms in due if name != "age" or at_ms < now_ms or len(due) == 1]
    waits += [Wait(timer_effect(name, fields), 0, at_ms, "timer") for name, at_ms in near]
    waits.append(Wait("the sweep, which detects lost callbacks", 0, 0, "sweep"))
    return tuple(waits)


def timers(fields: Fields) -> dict[str, int]:
    """Return when each of a session's timers is due, in Unix milliseconds."""
    pairs = (one.partition("=") for one in fields.get("timers", "").split())
    return {name: int(due) for name, _, due in pairs if re.fullmatch(r"[0-9]{1,15}", due)}


def timer_effect(timer: str, fields: Fields) -> str:
    """Describe what happens when a timer fires."""
    if timer == "stage" and fields.get("transfer.stage") == "waiting-to-recall":
        return "the agent is rung again"
    return _TIMER_EFFECTS.get(timer, f"the timer {timer}")


def _waits_for_parties(fields: Fields) -> list[Wait]:
    found = []
    later = session_summary.next_dialed_party(fields)
    for party in wording.party_names(fields):
        if party == later:
            continue
        of = {
            name: fields.get(f"party.{party}.{name}", "")
            for name in ("status", "dialed_at", "pending_update", "pending_since", "is_leaving")
        }
        if of["status"] in _STATUSES and not is_ringing_caller(fields, party) and of["is_leaving"] != "true":
            what, by = _STATUSES[of["status"]]
            if later and party == "agent":
                what += f"; then {later} is dialed"
            found.append(Wait(what.format(party=party), _since(of["dialed_at"], fields), 0, by))
        if of["pending_update"] and of["status"] != "left":
            known = _CONFIRMED.get(of["pending_update"])
            # Don't use an unknown value as a format string: it may contain braces.
            what = known.format(party=party) if known else f"of {of['pending_update']} for {party}"
            found.append(Wait(f"Twilio's confirmation {what}", wording.parse_time_ms(of["pending_since"]), 0, "twilio"))
        if of["is_leaving"] == "true" and of["status"] != "left":
            found.append(Wait(f"{party} to disconnect", 0, 0, "twilio"))
        if _is_joining(fields, party):
            found.append(Wait(f"{party} to join the conference", 0, 0, "twilio"))
    if fields.get("open_read_id"):
        found.append(
            Wait(
                "Twilio to report the state of the calls",
                wording.parse_time_ms(fields.get("open_read_since", "")),
                0,
                "twilio",
            )
        )
    return found


def _since(dialed_at: str, fields: Fields) -> int:
    """Return when dialing began. A leg dialed by TwiML has no dial time, so the session's start counts."""
    first = fields.get("created_at", "") if fields.get("phase") == "ringing" else ""
    return wording.parse_time_ms(dialed_at) or wording.parse_time_ms(first)


def _is_joining(fields: Fields, party: str) -> bool:
    """Whether a party is moving from the bridge into the conference."""
    is_there = fields.get(f"party.{party}.status") == "connected"
    moves = fields.get("state") == "converting" or fields.get("transfer.stage") == "moving-customer"
    concerned = party == "customer" or (party == "agent" and fields.get("state") == "converting")
    return is_there and moves and concerned and fields.get(f"party.{party}.in_conference") != "true"


def _waits_for_commands(fields: Fields) -> list[Wait]:
    """Return the pending commands that aren't transfers; only the log knows since when."""
    found = [
        Wait(_FOR_COMMAND.format(order=order), 0, 0, "twilio")
        for order in session_summary.pending_command_notes(fields)
    ]
    if asked := fields.get("recording.pending_update"):
        found.append(Wait(_FOR_RECORDING.format(asked=asked), 0, 0, "twilio"))
    return found


def commands_since(fields: Fields, log: Sequence[LogEntry]) -> dict[str, int]:
    """Return when each pending command was accepted, in Unix milliseconds, keyed by the wait's phrase.

    Args:
        fields: The session's hash.
        log: Oldest first; 0 for commands from before its start.
    """
    found = {
        _FOR_COMMAND.format(order=order): _accepted_at_ms(order, log)
        for order in session_summary.pending_command_notes(fields)
    }
    if asked := fields.get("recording.pending_update"):
        found[_FOR_RECORDING.format(asked=asked)] = _changed_at_ms("recording.pending_update", log)
    return found


def held_since(fields: Fields, log: Sequence[LogEntry]) -> dict[str, int]:
    """Return when the first held party was put on hold, in Unix milliseconds, keyed by the wait's phrase.

    Args:
        fields: The session's hash.
        log: Oldest first; 0 for holds from before its start.
    """
    if not (held := session_summary.held_parties(fields)):
        return {}
    since = min(_changed_at_ms(f"party.{party}.held", log, to="true") for party in held)
    return {_FOR_UNHOLD.format(held=wording.join_names(held)): since}


def _accepted_at_ms(order: str, log: Sequence[LogEntry]) -> int:
    """Return when a pending command was accepted."""
    at_ms, is_there = 0, False
    for entry in log:
        if "pending_commands" not in entry["changes"] or "pending_commands" not in (
            changed := decode_public_changes(entry["changes"])
        ):
            continue
        was_there, is_there = (
            is_there,
            order in session_summary.pending_command_notes({"pending_commands": changed["pending_commands"] or ""}),
        )
        if is_there and not was_there:
            at_ms = wording.parse_time_ms(entry["at"])
    return at_ms


def _changed_at_ms(name: str, log: Sequence[LogEntry], to: str = "") -> int:
    """Return when a field last changed; 0 if unknown, or if the last change set another value than `to`."""
    for entry in reversed(log):
        if name in entry["changes"] and name in (changed := decode_public_changes(entry["changes"])):
            return wording.parse_time_ms(entry["at"]) if not to or changed[name] == to else 0
    return 0


def _waits_for_people(fields: Fields) -> list[Wait]:
    """Return which person has to act next, if nothing else is pending."""
    if fields.get("phase") == "parked":
        return [Wait("someone to retrieve the parked call", 0, 0, "person")]
    stage = fields.get("transfer.stage", "")
    if fields.get("state") == "transferring":
        if stage != "talking":
            return []
        steps = (
            "complete, cancel, swap, or merge"
            if fields.get("transfer.status") == "consulting"
            else "complete or cancel"
        )
        return [Wait(f"the agent to {steps}", 0, 0, "person")]
    there = [party for party in wording.party_names(fields) if fields.get(f"party.{party}.status") == "connected"]
    if fields.get("state") not in ("bridged", "conferenced") or len(there) < 2:
        return []
    held = session_summary.held_parties(fields)
    found = [Wait(_FOR_UNHOLD.format(held=wording.join_names(held)), 0, 0, "person")] if held else []
    # Count the talking parties without supervisors.
    talk = [one for one in there if one not in held and not (held and fields.get(f"party.{one}.supervises"))]
    if len(talk) > 1:
        found.append(Wait(CONVERSATION, 0, 0, "person"))
    return found
