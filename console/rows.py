"""A session as a row of the console's list."""

from typing import Any

import orjson

from operators import standing, words
from operators.reader import Fields
from operators.trouble import Trouble, is_lone

#: How many last digits of a number are enough to find its session (count): what customers say on the phone.
DIGITS_TO_FIND = 4


def row(fields: Fields, trouble: Trouble | None, *, full: bool) -> bytes:
    """The row as JSON.

    Args:
        fields: The session's hash.
        trouble: What is wrong with it.
        full: Whether numbers are whole.
    """

    def text(name: str) -> str:
        return fields.get(name, "")

    told: dict[str, Any] = {
        "id": text("id"),
        "state": text("state"),
        "phase": text("phase"),
        "version": _number(text("version")),
        "trouble": None if trouble is None else {"rank": trouble.rank, "words": trouble.words},
        # By itself: of a session that is overdue too, that is the worse.
        "lone": is_lone(fields),
        "created_at": text("created_at") or None,
        "updated_at": text("updated_at") or None,
        "ended_at": text("ended_at") or None,
        "end_reason": text("end_reason"),
        "direction": text("direction"),
        **{party: standing.address_there(fields, party, full=full) for party in ("customer", "agent", "target")},
        "transfer": standing.transfer(fields, full=full),
        "transfer_status": text("transfer.status"),
        "more": "; ".join(standing.beside(fields)),
        "now": "" if text("state") == "ended" else standing.company(fields, full=full),
        "find": _to_find(fields, full=full),
    }
    return orjson.dumps(told)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _to_find(fields: Fields, *, full: bool) -> str:
    """What somebody may look for: SIDs, names, labels, and of numbers the last digits."""
    found = [fields.get("id", ""), fields.get("conference_sid", "")]
    for party in words.parties(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in ("call_sid", "label", "address")}
        found += [party, of["call_sid"], of["label"], _address_to_find(of["address"], full=full)]
    return " ".join(dict.fromkeys(filter(None, found))).lower()


def _address_to_find(address: str, *, full: bool) -> str:
    shown = words.address(address, full=full)
    if full or shown == address:
        return shown
    digits = "".join(letter for letter in address if letter.isdigit())
    # Of a SIP address with a number in it the rest is worth finding too.
    return f"{digits[-DIGITS_TO_FIND:]} {'' if address.startswith('+') else shown}".strip()
