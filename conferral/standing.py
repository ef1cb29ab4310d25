"""How a session stands, in words: who talks to whom, who waits, and how far its transfer has come."""

from collections.abc import Sequence
from typing import Any

import orjson

from conferral import words
from conferral.access import Fields

_LOOKED_AT = ("status", "address", "held", "waits", "is_leaving")
_ON_THE_WAY = {"dialing": "is being called", "ringing": "rings", "confirming": "is asked to press 1"}


def company(fields: Fields, *, full: bool = False) -> str:
    """Who talks to whom, and what everybody else does; empty when nobody is there any more.

    Args:
        fields: The session's hash.
        full: Whether numbers are shown whole.
    """
    together, apart = [], []
    for party in words.parties(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in _LOOKED_AT}
        who = f"{party} {words.address(of['address'], full=full)}".strip()
        if of["status"] == "left":
            continue
        if of["status"] != "connected":
            apart.append(f"{who} {_ON_THE_WAY.get(of['status'], of['status'])}")
        elif of["is_leaving"] == "true":
            apart.append(f"{who} is leaving")
        elif of["held"] == "true":
            apart.append(f"{who} is held")
        elif of["waits"] == "true":
            apart.append(f"{who} waits")
        else:
            together.append(who)
    if len(together) > 1:
        return "; ".join([f"{listed(together)} talk", *apart])
    if together:
        apart.insert(0, f"{together[0]} {'waits' if apart else 'is alone'}")
    return "; ".join(apart)


def transfer(fields: Fields, *, full: bool = False) -> str:
    """The newest transfer: its mode, to whom, how far it has come, and why it came to nothing.

    Empty when there was none.
    """
    if not fields.get("transfer.mode"):
        return ""
    # Each destination by itself: a comma between two numbers must not make one of them.
    to = ", ".join(words.address(one, full=full) for one in fields.get("transfer.to", "").split(","))
    reason = fields.get("transfer.reason", "")
    return f"{fields['transfer.mode']} to {to} {fields.get('transfer.status', '')}{f' ({reason})' if reason else ''}"


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
