"""A session as a row of the console's list."""

import re
from typing import Any

import orjson

from conferral.operations import session_summary, wording
from conferral.operations.attention import Attention, is_lone
from conferral.operations.session_search import number_of
from conferral.operations.session_summary import held_call
from conferral.statemachine.session import CUSTOMER
from conferral.storage.codecs.session_view import SessionView
from conferral.storage.codecs.timestamps import to_iso

#: Last digits of a number that the search matches (count): what customers say on the phone.
SEARCHABLE_DIGITS = 4
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
        "transfer": session_summary.transfer_line(session, full=full),
        "transfer_status": session.transfer.status,
        "title": session_summary.people_line(session, full=full),
        "now": _now(session),
        **_search_terms(session, full=full),
    }
    return orjson.dumps(values)


def _now(session: SessionView) -> str:
    """Return what goes on, or why it ended, with times in ISO 8601."""
    if session.is_ended:
        return wording.END_REASONS.get(session.end_reason, session.end_reason)
    doing = session_summary.participants_line(session, addresses=False)
    return "; ".join(filter(None, (doing, *session_summary.session_notes(session, to_iso))))


def _parties(session: SessionView, *, full: bool) -> list[list[str]]:
    """Return name, address, status, and search key of all but the customer."""
    found: list[list[str]] = []
    for name, party in (session.parties if session.is_ended else session.present).items():
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
