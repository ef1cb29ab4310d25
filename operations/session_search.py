"""Find a session by what people know about a call: part of its id, its conference, a number, a name, a label."""

import re
from collections.abc import Callable, Iterable

#: Digits that identify no one and may be repeated in messages (count).
SHOWN_DIGITS_MAX = 4
#: Shortest prefix of an id that selects a session (characters).
PREFIX_MIN = 4
#: Maximum number of matches listed when several sessions match.
LISTED_MAX = 5

#: Last digits of a number, or all of it. Source: ITU-T E.164, at most 15 digits.
_DIGITS = re.compile(r"\+?[0-9]{2,15}")
_CONFERENCE = re.compile(r"CF[0-9a-fA-F]{32}")
_PARTY = re.compile(r"party\.([^.]+)\.(address|label)")
#: Party names that every session has, so they select none.
_SEARCHABLE_PARTIES = frozenset({"customer", "agent"})
#: A number, alone or as the user part of a SIP address.
_NUMBER = re.compile(r"(?:sips?:)?\+?([0-9]{2,15})(?:@.*)?")
Fields = dict[str, str]


def matcher(named: str) -> Callable[[Fields], bool]:
    """Return a predicate that tests whether a session's hash matches `named`.

    A party that has left a live session doesn't count: they may be on another call by now.

    Args:
        named: At least 4 characters of the session's id, the conference's SID, the last digits of a party's number, a
            party's name, address, or label.
    """
    if _CONFERENCE.fullmatch(named):
        return lambda fields: fields.get("conference_sid") == named
    wanted = named.lower()
    digits = named.lstrip("+") if _DIGITS.fullmatch(named) else ""

    def matches(fields: Fields) -> bool:
        if len(named) >= PREFIX_MIN and fields.get("id", "").startswith(named):
            return True
        return any(
            value.lower() in (wanted, f"client:{wanted}")
            or (party[1].lower() == wanted and wanted not in _SEARCHABLE_PARTIES)
            # Match digits in addresses only: a label may end in a digit.
            or (digits and name.endswith(".address") and _ends_with(value, digits))
            for name, value in fields.items()
            if value and (party := _PARTY.fullmatch(name)) and _is_searchable(fields, party[1])
        )

    return matches


def _is_searchable(fields: Fields, party: str) -> bool:
    return fields.get("state") == "ended" or fields.get(f"party.{party}.status") != "left"


def number_of(address: str) -> str:
    """Return the digits of a phone number, also in a SIP address; empty for other addresses."""
    number = _NUMBER.fullmatch(address)
    return number[1] if number else ""


def _ends_with(address: str, digits: str) -> bool:
    return number_of(address).endswith(digits)


def describe_matches(sessions: Iterable[Fields]) -> str:
    """Describe several sessions in a sentence, with their states and last digits."""
    told = [
        _describe(fields) for fields in sorted(sessions, key=lambda fields: fields.get("created_at", ""), reverse=True)
    ]
    more = len(told) - LISTED_MAX
    return ", ".join(told[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")


def _describe(fields: Fields) -> str:
    # Lazy import: the Python client uses this module but not `wording`.
    from conferral.operations import wording
    from conferral.runtime.redaction import redact

    addresses = (fields.get(f"party.{party}.address", "") for party in ("customer", "agent"))
    # Show client names, with numbers in them masked; mask everything else.
    shown = [wording.display_address(one) if one.startswith("client:") else redact(one) for one in addresses if one]
    return f"{fields.get('id', '?')} ({', '.join([fields.get('state', '?'), *shown])})"
