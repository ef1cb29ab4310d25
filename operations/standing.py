"""How a session stands, in words: who talks to whom, who waits, and how far its transfer has come."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from conferral.operations import words
from conferral.operations.reader import Fields

_LOOKED_AT = ("status", "address", "held", "muted", "waits", "is_leaving", "supervises", "coaches")
_ON_THE_WAY = {"dialing": "is being called", "ringing": "rings", "confirming": "is asked to press 1"}
_NEXT = "is dialed next"
_RECORDING = {
    "in-progress": "recording",
    "paused": "recording paused",
    "stopped": "recording stopped",
    "processing": "recording stopped",
    "completed": "recorded",
    "absent": "nothing recorded",
    "failed": "recording failed",
}
#: Once it has ended, a session's recording is told in these; that it was paused or stopped matters no more.
_RECORDED = frozenset({"completed", "absent", "failed"})


def next_dialed(fields: Fields) -> str:
    """The party that is dialed once the agent has answered: the customer of a call that we place. Empty for none."""
    of = {name: fields.get(f"party.customer.{name}", "") for name in ("status", "call_sid", "dial_id")}
    is_pending = fields.get("direction") == "outbound" and fields.get("phase") == "ringing"
    is_dialed = of["status"] != "dialing" or of["call_sid"] or of["dial_id"]
    return "customer" if is_pending and not is_dialed and fields.get("party.agent.status") in _ON_THE_WAY else ""


def company(fields: Fields, *, full: bool = False) -> str:
    """Who talks to whom, and what everybody else does; empty when nobody is there any more.

    Args:
        fields: The session's hash.
        full: Whether numbers are shown whole.
    """
    together, apart, following = [], [], []
    later = next_dialed(fields)
    for party in words.parties(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in _LOOKED_AT}
        who = f"{party} {words.address(of['address'], full=full)}".strip()
        if of["status"] == "left":
            continue
        if party == later:
            following.append(f"{who} {_NEXT}")
        elif of["status"] != "connected":
            apart.append(f"{who} {_ON_THE_WAY.get(of['status'], of['status'])}")
        elif of["supervises"]:
            apart.append(f"{who} {_supervising(of)}")
        elif doing := _apart(of):
            apart.append(f"{who} {doing}")
        else:
            together.append(who)
            if of["muted"] == "true":
                apart.append(f"{party} is muted")
    if len(together) > 1:
        return "; ".join([f"{listed(together)} talk", *apart])
    if together:
        apart.insert(0, f"{together[0]} {'waits' if apart else 'is alone'}")
    return "; ".join(apart + following)


def held(fields: Fields) -> list[str]:
    """Those who are on hold, as Twilio has confirmed it, in a conference where no transfer runs."""
    if fields.get("state") != "conferenced" or fields.get("phase"):
        return []
    there = [party for party in words.parties(fields) if fields.get(f"party.{party}.status") == "connected"]
    return [party for party in there if fields.get(f"party.{party}.held") == "true"]


def _apart(of: Mapping[str, str]) -> str:
    """What somebody does who takes part without talking; empty for everybody else."""
    if of["is_leaving"] == "true":
        return "is leaving"
    if of["held"] == "true":
        return "is held"
    return "waits" if of["waits"] == "true" else ""


def _supervising(of: Mapping[str, str]) -> str:
    """What a supervisor does, as Twilio has confirmed it."""
    if of["coaches"]:
        return "whispers to the agent"
    return "listens" if of["muted"] == "true" else "is heard by all"


def address_there(fields: Fields, party: str, *, full: bool = False) -> str:
    """A party's address; empty for one who has left a session that goes on."""
    has_left = fields.get("state") != "ended" and fields.get(f"party.{party}.status") == "left"
    return "" if has_left else words.address(fields.get(f"party.{party}.address", ""), full=full)


def party_notes(fields: Fields, party: str) -> list[str]:
    """What is to be said of one party beside its status."""
    of = {name: fields.get(f"party.{party}.{name}", "") for name in (*_LOOKED_AT, "tune", "left_reason")}
    if of["status"] == "left":
        return [of["left_reason"]] if of["left_reason"] else []  # what it heard or was no longer matters
    if party == next_dialed(fields):
        return [_NEXT]
    found = [mark for mark in ("held", "muted") if of[mark] == "true"]
    if of["tune"] and ("held" in found or of["waits"] == "true"):
        found.append(f"hears {of['tune']}")
    if of["supervises"] and of["status"] == "connected":
        found = [_supervising(of)]
    return found


def beside(fields: Fields) -> list[str]:
    """What is to be said of a session beside state, customer, agent and transfer, in few words."""
    found = []
    for party in words.parties(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in _LOOKED_AT}
        is_usual = party in ("customer", "agent") or party.partition("-")[0] == "target"
        if of["status"] == "left" or (is_usual and of["status"] != "connected"):
            continue
        if of["status"] != "connected":
            found.append(f"{party} {_ON_THE_WAY.get(of['status'], of['status'])}")
        elif of["supervises"]:
            found.append(f"{party} {_supervising(of)}")
        elif doing := _apart(of) or ("is muted" if of["muted"] == "true" else "" if is_usual else "takes part"):
            found.append(f"{party} {doing}")
    return found + notes(fields)


def notes(fields: Fields) -> list[str]:
    """What is to be said of a session beside who talks to whom: parking, recording, what is under way."""
    found = []
    if (parked_ms := words.time_ms(fields.get("parked_until", ""))) and fields.get("state") != "ended":
        found.append(f"parked until {words.clock(parked_ms)} UTC")
    agents = fields.get("agents", "").split()
    if len(agents) > 1 and fields.get("phase") == "ringing":
        found.append(f"agent {_agents_tried(fields) + 1} of {len(agents)}")
    status = fields.get("recording.status", "")
    if status and (fields.get("state") != "ended" or status in _RECORDED):
        found.append(_RECORDING.get(status, f"recording {status}"))
    return found + [f"{order} under way" for order in orders(fields)]


def tried_agents(fields: Fields) -> list[tuple[str, str]]:
    """Those who were tried on an incoming call before the one who is agent: which of how many, and the address."""
    agents = fields.get("agents", "").split()
    tried = agents[: _agents_tried(fields)]
    return [(f"agent {place} of {len(agents)}", one) for place, one in enumerate(tried, start=1)]


def _agents_tried(fields: Fields) -> int:
    """How many were tried before the one who is agent; none where the record can't be understood."""
    number = fields.get("agent_number", "")
    return int(number) if re.fullmatch(r"[0-9]{1,4}", number) else 0


def orders(fields: Fields) -> list[str]:
    """The commands under way that are no transfers, each with the party that it is about."""
    try:
        found = orjson.loads(fields.get("orders") or "[]")
        return [" ".join(filter(None, (str(one["name"]), str(one.get("party", ""))))) for one in found]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return []  # a record that can't be understood: nothing is known of it


def transfer(fields: Fields, *, full: bool = False) -> str:
    """The newest transfer: its mode, to whom, how far it has come, and why it came to nothing.

    Empty when there was none.
    """
    if not fields.get("transfer.mode"):
        return ""
    # Each destination by itself: a comma between two numbers must not make one of them.
    to = ", ".join(words.address(one, full=full) for one in fields.get("transfer.to", "").split(","))
    reason = fields.get("transfer.reason", "")
    # A park is to nobody.
    whom, why = f"to {to}" if to else "", f"({reason})" if reason else ""
    return " ".join(filter(None, (fields["transfer.mode"], whom, fields.get("transfer.status", ""), why)))


def attempts(fields: Fields, now_ms: int, *, full: bool = False) -> list[tuple[str, ...]]:
    """Every try of the newest transfer to reach somebody, oldest first.

    Args:
        fields: The session's hash.
        now_ms: Unix milliseconds; a try that is under way has lasted until then.
        full: Whether numbers are shown whole.

    Returns:
        For each: party, address, result, how long it took until the answer or until it was given up, and how long the
        party was there.
    """
    # What nobody has put an end to lasts until now, or until the session's end.
    open_until_ms = words.time_ms(fields.get("ended_at", "")) or now_ms
    try:
        tries = orjson.loads(fields.get("transfer.attempts") or "[]")
        return [_attempt(one, open_until_ms, full=full) for one in tries]
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError):
        return []  # a record that can't be understood: nothing is known of it


def _attempt(one: dict[str, Any], open_until_ms: int, *, full: bool) -> tuple[str, ...]:
    party, to, result = (str(one.get(name, "")) for name in ("party", "to", "result"))
    started_ms, answered_ms, ended_ms = (
        int(one.get(name, 0)) for name in ("started_at_ms", "answered_at_ms", "ended_at_ms")
    )
    until_ms = ended_ms or open_until_ms
    return (
        party,
        words.address(to, full=full),
        result or "under way",
        words.took(started_ms, answered_ms or until_ms),
        words.took(answered_ms, until_ms),
    )


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
