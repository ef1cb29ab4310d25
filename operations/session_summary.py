"""A session's summary in words: who talks to whom, who waits, and the transfer's progress."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from conferral.operations import wording
from conferral.operations.session_queries import Fields

_RELEVANT_FIELDS = ("status", "address", "held", "muted", "waits_for_start", "is_leaving", "supervises", "coaches")
_CONNECTING = {"dialing": "is being dialed", "ringing": "is ringing", "confirming": "is asked to press 1"}
_NEXT_NOTE = "is dialed next"
_RECORDING = {
    "in-progress": "recording",
    "paused": "recording paused",
    "stopped": "recording stopped",
    "processing": "recording stopped",
    "completed": "recorded",
    "absent": "nothing recorded",
    "failed": "recording failed",
}
#: Final statuses of a recording: earlier pauses and stops no longer matter.
_RECORDING_OVER = frozenset({"completed", "absent", "failed"})


def next_dialed_party(fields: Fields) -> str:
    """Return the party dialed after the agent answers: an outbound call's customer. Empty for none."""
    of = {name: fields.get(f"party.customer.{name}", "") for name in ("status", "call_sid", "dial_id")}
    is_pending = fields.get("direction") == "outbound" and fields.get("phase") == "ringing"
    is_dialed = of["status"] != "dialing" or of["call_sid"] or of["dial_id"]
    return "customer" if is_pending and not is_dialed and fields.get("party.agent.status") in _CONNECTING else ""


def participants_line(fields: Fields, *, full: bool = False) -> str:
    """Describe who talks to whom, and what the other parties do; empty if everyone has left.

    Args:
        fields: The session's hash.
        full: Whether to show full phone numbers.
    """
    together, apart, following = [], [], []
    later = next_dialed_party(fields)
    for party in wording.party_names(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in _RELEVANT_FIELDS}
        who = f"{party} {wording.display_address(of['address'], full=full)}".strip()
        if of["status"] == "left":
            continue
        if party == later:
            following.append(f"{who} {_NEXT_NOTE}")
        elif of["status"] != "connected":
            apart.append(f"{who} {_CONNECTING.get(of['status'], of['status'])}")
        elif of["supervises"]:
            apart.append(f"{who} {_supervision_note(of)}")
        elif doing := _inactive_note(of):
            apart.append(f"{who} {doing}")
        else:
            together.append(who)
            if of["muted"] == "true":
                apart.append(f"{party} is muted")
    if len(together) > 1:
        return "; ".join([f"{wording.join_names(together)} are talking", *apart])
    if together:
        apart.insert(0, f"{together[0]} {'is waiting' if apart else 'is alone'}")
    return "; ".join(apart + following)


def held_parties(fields: Fields) -> list[str]:
    """Return the parties on confirmed hold, in a conference without a running transfer."""
    if fields.get("state") != "conferenced" or fields.get("phase"):
        return []
    there = [party for party in wording.party_names(fields) if fields.get(f"party.{party}.status") == "connected"]
    return [party for party in there if fields.get(f"party.{party}.held") == "true"]


def _inactive_note(of: Mapping[str, str]) -> str:
    """Describe a party that takes part without talking; empty for others."""
    if of["is_leaving"] == "true":
        return "is leaving"
    if of["held"] == "true":
        return "is on hold"
    return "is waiting" if of["waits_for_start"] == "true" else ""


def _supervision_note(of: Mapping[str, str]) -> str:
    """Describe a supervisor's mode as confirmed by Twilio."""
    if of["coaches"]:
        return "whispers to the agent"
    return "listens" if of["muted"] == "true" else "is heard by everyone"


def connected_address(fields: Fields, party: str, *, full: bool = False) -> str:
    """Return a party's address; empty if it has left a live session."""
    has_left = fields.get("state") != "ended" and fields.get(f"party.{party}.status") == "left"
    return "" if has_left else wording.display_address(fields.get(f"party.{party}.address", ""), full=full)


def party_notes(fields: Fields, party: str) -> list[str]:
    """Return notes on a party besides its status."""
    of = {name: fields.get(f"party.{party}.{name}", "") for name in (*_RELEVANT_FIELDS, "wait_audio", "left_reason")}
    if of["status"] == "left":
        return [of["left_reason"]] if of["left_reason"] else []  # earlier hold and mute no longer matter
    if party == next_dialed_party(fields):
        return [_NEXT_NOTE]
    found = [mark for mark in ("held", "muted") if of[mark] == "true"]
    if of["wait_audio"] and ("held" in found or of["waits_for_start"] == "true"):
        found.append(f"hears {of['wait_audio']}")
    if of["supervises"] and of["status"] == "connected":
        found = [_supervision_note(of)]
    return found


def short_notes(fields: Fields) -> list[str]:
    """Return brief notes on a session besides state, customer, agent, and transfer."""
    found = []
    for party in wording.party_names(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in _RELEVANT_FIELDS}
        is_usual = party in ("customer", "agent") or party.partition("-")[0] == "target"
        if of["status"] == "left" or (is_usual and of["status"] != "connected"):
            continue
        if of["status"] != "connected":
            found.append(f"{party} {_CONNECTING.get(of['status'], of['status'])}")
        elif of["supervises"]:
            found.append(f"{party} {_supervision_note(of)}")
        elif doing := _inactive_note(of) or ("is muted" if of["muted"] == "true" else ""):
            found.append(f"{party} {doing}")
        elif not is_usual:
            found.append(f"{party} is connected")
    return found + session_notes(fields)


def session_notes(fields: Fields) -> list[str]:
    """Return notes on a session besides who talks to whom: parking, recording, pending commands."""
    found = []
    if (parked_ms := wording.parse_time_ms(fields.get("parked_until", ""))) and fields.get("state") != "ended":
        found.append(f"parked until {wording.format_clock(parked_ms)} UTC")
    agents = fields.get("agents", "").split()
    if len(agents) > 1 and fields.get("phase") == "ringing":
        found.append(f"agent {_agents_tried_count(fields) + 1} of {len(agents)}")
    status = fields.get("recording.status", "")
    if status and (fields.get("state") != "ended" or status in _RECORDING_OVER):
        found.append(_RECORDING.get(status, f"recording {status}"))
    return found + [f"{order} in progress" for order in pending_command_notes(fields)]


def agent_attempts_note(fields: Fields) -> list[tuple[str, str]]:
    """Return the agents dialed on an inbound call before the current one: position and address."""
    agents = fields.get("agents", "").split()
    tried = agents[: _agents_tried_count(fields)]
    return [(f"agent {place} of {len(agents)}", one) for place, one in enumerate(tried, start=1)]


def _agents_tried_count(fields: Fields) -> int:
    """Return how many agents were dialed before the current one; 0 if the hash can't be decoded."""
    number = fields.get("agent_number", "")
    return int(number) if re.fullmatch(r"[0-9]{1,4}", number) else 0


def pending_command_notes(fields: Fields) -> list[str]:
    """Return the pending commands that aren't transfers, each with its party."""
    try:
        found = orjson.loads(fields.get("pending_commands") or "[]")
        return [" ".join(filter(None, (str(one["name"]), str(one.get("party", ""))))) for one in found]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return []  # the hash can't be decoded


def transfer_line(fields: Fields, *, full: bool = False) -> str:
    """Describe the newest transfer: its mode, targets, progress, and reason for failing.

    Empty without a transfer.
    """
    if not fields.get("transfer.mode"):
        return ""
    # Mask each destination separately, so that a comma can't join two numbers.
    to = ", ".join(wording.display_address(one, full=full) for one in fields.get("transfer.to", "").split(","))
    reason = fields.get("transfer.reason", "")
    # A park has no target.
    whom, why = f"to {to}" if to else "", f"({reason})" if reason else ""
    return " ".join(filter(None, (fields["transfer.mode"], whom, fields.get("transfer.status", ""), why)))


def dial_attempts(fields: Fields, now_ms: int, *, full: bool = False) -> list[tuple[str, ...]]:
    """Return each dial attempt of the newest transfer, oldest first.

    Args:
        fields: The session's hash.
        now_ms: Unix milliseconds; the end of a running attempt.
        full: Whether to show full phone numbers.

    Returns:
        For each: party, address, result, time until answered or given up, and time connected.
    """
    # An open attempt lasts until the session's end, or until now.
    open_until_ms = wording.parse_time_ms(fields.get("ended_at", "")) or now_ms
    try:
        tries = orjson.loads(fields.get("transfer.attempts") or "[]")
        return [_dial_attempt(one, open_until_ms, full=full) for one in tries]
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError):
        return []  # the hash can't be decoded


def _dial_attempt(one: dict[str, Any], open_until_ms: int, *, full: bool) -> tuple[str, ...]:
    party, to, result = (str(one.get(name, "")) for name in ("party", "to", "result"))
    started_ms, answered_ms, ended_ms = (
        int(one.get(name, 0)) for name in ("started_at_ms", "answered_at_ms", "ended_at_ms")
    )
    until_ms = ended_ms or open_until_ms
    return (
        party,
        wording.display_address(to, full=full),
        result or "in progress",
        wording.format_duration(started_ms, answered_ms or until_ms),
        wording.format_duration(answered_ms, until_ms),
    )
