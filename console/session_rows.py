"""A session as a row of the console's list."""

import re
from typing import Any

import orjson

from conferral.operations import session_summary, wording
from conferral.operations.attention import Attention, is_lone
from conferral.operations.held_calls import held_call
from conferral.operations.session_queries import Fields
from conferral.operations.session_search import number_of

#: How many last digits of a number the search matches (count): what customers say on the phone.
SEARCHABLE_DIGITS = 4
_SID = re.compile(r"C[AF][0-9a-fA-F]{32}")


def row(fields: Fields, attention: Attention | None, *, full: bool) -> bytes:
    """Return the row as JSON.

    Args:
        fields: The session's hash.
        attention: The session's problem.
        full: Whether to show full phone numbers.
    """

    def text(name: str) -> str:
        return fields.get(name, "")

    held = held_call(fields)
    told: dict[str, Any] = {
        "id": text("id"),
        "state": text("state"),
        "phase": text("phase"),
        "version": _number(text("version")),
        "trouble": attention_mark(attention),
        # A separate flag: a session that is also overdue shows that as its worst problem.
        "lone": is_lone(fields),
        "created_at": text("created_at") or None,
        "updated_at": text("updated_at") or None,
        "since": text("state_since") or text("updated_at") or None,
        "held": None if held is None else {"kind": held.kind, "since": held.since or None},
        "people": _parties(fields, full=full),
        "ended_at": text("ended_at") or None,
        "end_reason": text("end_reason"),
        "direction": text("direction"),
        **{
            party: session_summary.connected_address(fields, party, full=full)
            for party in ("customer", "agent", "target")
        },
        "transfer": session_summary.transfer_line(fields, full=full),
        "transfer_status": text("transfer.status"),
        "more": "; ".join(session_summary.short_notes(fields)),
        "now": "" if text("state") == "ended" else session_summary.participants_line(fields, full=full),
        **_search_terms(fields, full=full),
    }
    return orjson.dumps(told)


def _parties(fields: Fields, *, full: bool) -> list[list[str]]:
    """Return the parties except the customer: name, address, status, and a key that identifies the agent."""
    found: list[list[str]] = []
    for party in wording.party_names(fields):
        status, address = (fields.get(f"party.{party}.{name}", "") for name in ("status", "address"))
        if party == "customer" or status == "left" or not address:
            continue
        number = number_of(address)
        shown = wording.display_address(address, full=full)
        found.append([party, shown, status, f"{shown} {number if full else number[-SEARCHABLE_DIGITS:]}"])
    return found


def attention_mark(attention: Attention | None) -> dict[str, object] | None:
    """Return a session's problem for display, and whether a person has to act."""
    if attention is None:
        return None
    return {"rank": attention.rank, "words": attention.text, "attention": attention.needs_attention}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _search_terms(fields: Fields, *, full: bool) -> dict[str, Any]:
    """Return what the search compares: ends of phone numbers, SIDs, and words of names and labels, in lower case."""
    sids = [fields.get("conference_sid", "")]
    texts: list[str] = []
    digits: list[str] = []
    session_id = fields.get("id", "")
    (sids if _SID.fullmatch(session_id) else texts).append(session_id)
    for party in wording.party_names(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in ("call_sid", "label", "address")}
        sids.append(of["call_sid"])
        texts += [party, of["label"]]
        if number := number_of(of["address"]):
            digits.append(number if full else number[-SEARCHABLE_DIGITS:])
        if not of["address"].startswith("+"):
            texts.append(wording.display_address(of["address"], full=full))
    return {
        "find": " ".join(dict.fromkeys(filter(None, texts))).lower(),
        "sids": " ".join(dict.fromkeys(filter(None, sids))).lower(),
        "digits": list(dict.fromkeys(digits)),
    }
