"""A session as a row of the console's list."""

import re
from typing import Any

import orjson

from conferral.operations import session_summary, wording
from conferral.operations.attention import Attention, is_lone
from conferral.operations.session_search import number_of
from conferral.operations.session_summary import held_call
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET
from conferral.storage.codecs.session_view import SessionView

#: Last digits of a number that the search matches (count): what customers say on the phone.
SEARCHABLE_DIGITS = 4
_SHOWN_ROLES = (CUSTOMER, AGENT, TARGET)
_SID = re.compile(r"C[AF][0-9a-fA-F]{32}")


def row(session: SessionView, attention: Attention | None, *, full: bool) -> bytes:
    """Return a session's row as JSON, with phone numbers in full or masked."""
    fields, held = session.fields, held_call(session)
    values: dict[str, Any] = {
        **{name: fields.get(name, "") for name in ("id", "state", "phase", "end_reason", "direction")},
        **{name: fields.get(name) or None for name in ("created_at", "updated_at", "ended_at")},
        "version": session.version,
        "trouble": attention_mark(attention),
        # A separate flag: a session that is also overdue shows that as its worst problem.
        "lone": is_lone(session),
        "since": fields.get("state_since") or fields.get("updated_at") or None,
        "held": None if held is None else {"kind": held.kind, "since": held.since or None},
        "people": _parties(session, full=full),
        **{name: session_summary.connected_address(session, name, full=full) for name in _SHOWN_ROLES},
        "transfer": session_summary.transfer_line(session, full=full),
        "transfer_status": session.transfer.status,
        "more": "; ".join(session_summary.short_notes(session)),
        "now": "" if session.is_ended else session_summary.participants_line(session, full=full),
        **_search_terms(session, full=full),
    }
    return orjson.dumps(values)


def _parties(session: SessionView, *, full: bool) -> list[list[str]]:
    """Return name, address, status, and search key of all but the customer."""
    found: list[list[str]] = []
    for name, party in session.present.items():
        if name != CUSTOMER and party.address:
            shown = wording.display_address(party.address, full=full)
            found.append([name, shown, party.status, f"{shown} {_searchable_digits(party.address, full=full)}"])
    return found


def attention_mark(attention: Attention | None) -> dict[str, object] | None:
    """Return a session's problem, and whether a person has to act."""
    if attention is None:
        return None
    return {"rank": attention.rank, "words": attention.text, "attention": attention.needs_attention}


def _searchable_digits(address: str, *, full: bool) -> str:
    number = number_of(address)
    return number if full else number[-SEARCHABLE_DIGITS:]


def _search_terms(session: SessionView, *, full: bool) -> dict[str, Any]:
    """Return what the search compares, in lower case."""
    sids: list[str] = [session.conference_sid]
    texts: list[str] = []
    digits: list[str] = []
    (sids if _SID.fullmatch(session.id) else texts).append(session.id)
    for name, party in session.parties.items():
        sids.append(party.call_sid)
        texts += [name, party.label]
        digits.append(_searchable_digits(party.address, full=full))
        if not party.address.startswith("+"):
            texts.append(wording.display_address(party.address, full=full))
    return {
        "find": " ".join(dict.fromkeys(filter(None, texts))).lower(),
        "sids": " ".join(dict.fromkeys(filter(None, sids))).lower(),
        "digits": list(dict.fromkeys(filter(None, digits))),
    }
