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
from conferral.storage.codecs.session_codec import StoredSession
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.queries.session_reader import Fields

#: Fields of addresses, or of data that may hold numbers in any form, separated by spaces or commas.
_ADDRESSES = re.compile(
    r"party\..+\.(address|options)|(transfer|internal_transfer)\.(to|options|fallback)|options|fallback|agents|parked_by|called_number|number"
)


def encode_message(about: str, **content: object) -> bytes:
    """Encode a message to a page: `about` is its kind, `content` its fields."""
    return msgspec.json.encode({"about": about, **{name: to_json_value(value) for name, value in content.items()}})


def redact_fields(fields: Fields, *, full: bool) -> Fields:
    """Return the fields, with phone numbers masked unless `full`.

    >>> redact_fields({"transfer.to": "+14155550123,client:bob", "id": "CA1"}, full=False)
    {'transfer.to': '+…23,client:bob', 'id': 'CA1'}
    """
    return fields if full else {name: _redact_value(name, value) for name, value in fields.items()}


def _redact_value(name: str, value: str) -> str:
    if not _ADDRESSES.fullmatch(name):
        return mask_address_numbers(value)
    return "".join(part if part in " ," else display_address(part) for part in re.split(r"([ ,])", value))


#: Last digits of a number that the search matches (count): what customers say on the phone.
SEARCHABLE_DIGITS = 4
_SID = re.compile(r"C[AF][0-9a-fA-F]{32}")


def row(session: StoredSession, attention: Attention | None, names: Mapping[str, str], *, full: bool) -> dict[str, Any]:
    """Return a session's row, with phone numbers in full or masked.

    `names` are those of agents at desks, by address.
    """
    fields, found = session.fields, _search_terms(session, names, full=full)
    session = with_names(session, names)
    return {
        **{name: fields.get(name, "") for name in ("id", "state", "phase", "end_reason", "direction")},
        **{name: fields.get(name) or None for name in ("created_at", "updated_at", "ended_at")},
        "version": session.version,
        "trouble": attention_mark(attention),
        # A separate flag: a session that is also overdue shows that as its worst problem.
        "lone": is_lone(session),
        "since": fields.get("state_since") or fields.get("updated_at") or None,
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
