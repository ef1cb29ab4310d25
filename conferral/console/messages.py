"""Messages to the pages: JSON, redacted, and the rows of the list."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from conferral.operations import catalog
from conferral.operations.explain import facts, people
from conferral.operations.explain.attention import Attention, is_lone
from conferral.operations.explain.naming import with_names
from conferral.operations.explain.people import held_call
from conferral.operations.json_values import to_json_value
from conferral.operations.session_search import number_of
from conferral.runtime.redaction import display_address, mask_address_numbers
from conferral.statemachine.session import AGENT, CUSTOMER, Session
from conferral.statemachine.states import Phase
from conferral.storage.codecs.text_codec import to_iso


def encode_message(about: str, **content: object) -> bytes:
    """Encode a message to a page: `about` is its kind, `content` its fields."""
    return msgspec.json.encode({"about": about, **{name: to_json_value(value) for name, value in content.items()}})


def fields_of(session: Session, *, full: bool) -> dict[str, str]:
    """Return what a session's page shows; numbers are masked unless `full`."""
    return {
        **{name: getattr(session, name) for name in ("state", "phase", "direction", "conference_sid")},
        "number": display_address(session.number, full=full),
        "ref": mask_address_numbers(session.ref, full=full),
        "created_at": to_iso(session.created_at_ms),
        "ended_at": to_iso(session.ended_at_ms),
    }


#: Last digits of a number that the search matches (count): what customers say on the phone.
SEARCHABLE_DIGITS = 4
_SID = re.compile(r"C[AF][0-9a-fA-F]{32}")


def row(session: Session, attention: Attention | None, names: Mapping[str, str], *, full: bool) -> dict[str, Any]:
    """Return a session's row, with phone numbers in full or masked.

    `names` are those of agents at desks, by address.
    """
    found = _search_terms(session, names, full=full)
    session = with_names(session, names)
    updated_at = to_iso(session.updated_at_ms) or None
    return {
        **{name: getattr(session, name) for name in ("id", "state", "phase", "end_reason", "direction")},
        "created_at": to_iso(session.created_at_ms) or None,
        "updated_at": updated_at,
        "ended_at": to_iso(session.ended_at_ms) or None,
        "version": session.version,
        "trouble": attention_mark(attention),
        # A separate flag: a session that is also overdue shows that as its worst problem.
        "lone": is_lone(session),
        "since": to_iso(session.state_since_ms) or updated_at,
        "held": held_call(session),
        "queued_since": to_iso(session.queued_since_ms) if session.phase is Phase.QUEUED else None,
        **_columns(session, full=full),
        "transfer": facts.transfer_line(session, full=full),
        "transfer_status": session.transfer_status,
        "title": people.people_line(session, full=full),
        "now": _now(session),
        **found,
    }


def _columns(session: Session, *, full: bool) -> dict[str, str]:
    """Return who is on the call, by column: as people name each other."""
    there = session.parties if session.is_ended else session.present
    names = {name: people.person(party, full=full) for name, party in there.items()}
    others = [
        shown if session.is_ended or there[name].is_connected else f"{shown} ({there[name].status})"
        for name, shown in names.items()
        if name not in (CUSTOMER, AGENT) and there[name].left_reason not in catalog.UNREACHED
    ]
    return {
        "customer": names.get(CUSTOMER, ""),
        "agent": names.get(AGENT, ""),
        "with": ", ".join(catalog.limit_notes(others, facts.SHORT_NOTES_MAX)),
        "number": display_address(session.number, full=full),
    }


def _now(session: Session) -> str:
    """Return what goes on, or why it ended, with times in ISO 8601."""
    if session.is_ended:
        return catalog.reason_text(session.end_reason)
    doing = people.activity_line(session, addresses=False)
    return "; ".join(filter(None, (doing, *facts.session_notes(session, to_iso))))


def attention_mark(attention: Attention | None) -> dict[str, object] | None:
    """Return a session's problem, and whether a person has to act."""
    if attention is None:
        return None
    return {
        "rank": attention.rank,
        "words": attention.text,
        "label": attention.label,
        "attention": attention.needs_attention,
    }


def _searchable_digits(address: str, *, full: bool) -> str:
    number = number_of(address)
    return number if full else number[-SEARCHABLE_DIGITS:]


def _search_terms(session: Session, agents: Mapping[str, str], *, full: bool) -> dict[str, Any]:
    """Return what the search compares, in lower case."""
    sids: list[str] = [session.conference_sid]
    texts: list[str] = []
    digits = [_searchable_digits(session.number, full=full)]
    (sids if _SID.fullmatch(session.id) else texts).append(session.id)
    for name, party in session.parties.items():
        sids.append(party.call_sid)
        texts += [name, party.label, agents.get(party.address, "")]
        digits.append(_searchable_digits(party.address, full=full))
        if not party.address.startswith("+"):
            texts.append(display_address(party.address, full=full))
    return {
        "find": " ".join(dict.fromkeys(filter(None, texts))).lower(),
        "sids": " ".join(dict.fromkeys(filter(None, sids))).lower(),
        "digits": list(dict.fromkeys(filter(None, digits))),
    }
