"""A session as a row of the console's list."""

import re
from typing import Any

import orjson

from conferral.operations import standing, words
from conferral.operations.finding import number_of
from conferral.operations.held_calls import held_call
from conferral.operations.reader import Fields
from conferral.operations.trouble import Trouble, is_lone

#: How many last digits of a number are enough to find its session (count): what customers say on the phone.
DIGITS_TO_FIND = 4
_SID = re.compile(r"C[AF][0-9a-fA-F]{32}")


def row(fields: Fields, trouble: Trouble | None, *, full: bool) -> bytes:
    """The row as JSON.

    Args:
        fields: The session's hash.
        trouble: What is wrong with it.
        full: Whether numbers are whole.
    """

    def text(name: str) -> str:
        return fields.get(name, "")

    held = held_call(fields)
    told: dict[str, Any] = {
        "id": text("id"),
        "state": text("state"),
        "phase": text("phase"),
        "version": _number(text("version")),
        "trouble": mark(trouble),
        # By itself: of a session that is overdue too, that is the worse.
        "lone": is_lone(fields),
        "created_at": text("created_at") or None,
        "updated_at": text("updated_at") or None,
        "since": text("state_since") or text("updated_at") or None,
        "held": None if held is None else {"kind": held.kind, "since": held.since or None},
        "people": _people(fields, full=full),
        "ended_at": text("ended_at") or None,
        "end_reason": text("end_reason"),
        "direction": text("direction"),
        **{party: standing.address_there(fields, party, full=full) for party in ("customer", "agent", "target")},
        "transfer": standing.transfer(fields, full=full),
        "transfer_status": text("transfer.status"),
        "more": "; ".join(standing.beside(fields)),
        "now": "" if text("state") == "ended" else standing.company(fields, full=full),
        **_to_find(fields, full=full),
    }
    return orjson.dumps(told)


def _people(fields: Fields, *, full: bool) -> list[list[str]]:
    """Who is on the call besides the customer: party, address, status, and a key that tells agents apart."""
    found: list[list[str]] = []
    for party in words.parties(fields):
        status, address = (fields.get(f"party.{party}.{name}", "") for name in ("status", "address"))
        if party == "customer" or status == "left" or not address:
            continue
        number = number_of(address)
        shown = words.address(address, full=full)
        found.append([party, shown, status, f"{shown} {number if full else number[-DIGITS_TO_FIND:]}"])
    return found


def mark(trouble: Trouble | None) -> dict[str, object] | None:
    """What a page shows of what is wrong with a session, and whether a person has to act."""
    if trouble is None:
        return None
    return {"rank": trouble.rank, "words": trouble.words, "attention": trouble.needs_attention}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _to_find(fields: Fields, *, full: bool) -> dict[str, Any]:
    """What a search compares: the ends of phone numbers, SIDs, and the words of names and labels, in lower case."""
    sids = [fields.get("conference_sid", "")]
    texts: list[str] = []
    digits: list[str] = []
    session_id = fields.get("id", "")
    (sids if _SID.fullmatch(session_id) else texts).append(session_id)
    for party in words.parties(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in ("call_sid", "label", "address")}
        sids.append(of["call_sid"])
        texts += [party, of["label"]]
        if number := number_of(of["address"]):
            digits.append(number if full else number[-DIGITS_TO_FIND:])
        if not of["address"].startswith("+"):
            texts.append(words.address(of["address"], full=full))
    return {
        "find": " ".join(dict.fromkeys(filter(None, texts))).lower(),
        "sids": " ".join(dict.fromkeys(filter(None, sids))).lower(),
        "digits": list(dict.fromkeys(digits)),
    }
