"""Finds a session by what people know of a call: its conference, the last digits of a number, an agent, a label."""

import re
from collections.abc import Callable, Iterable

#: Digits that are nobody's number yet, and may be repeated (count).
SHOWN_DIGITS_MOST = 4
#: Sessions that are named when several fit (count).
NAMED_MOST = 5

#: Last digits of a number, or all of it. Source: ITU-T E.164, at most 15 digits.
_DIGITS = re.compile(r"\+?[0-9]{2,15}")
_CONFERENCE = re.compile(r"CF[0-9a-fA-F]{32}")
_PARTY = re.compile(r"party\.([^.]+)\.(address|label)")
#: A number by itself, or before the host of a SIP address.
_NUMBER = re.compile(r"(?:sips?:)?\+?([0-9]{2,15})(?:@.*)?")
Fields = dict[str, str]


def fits(named: str) -> Callable[[Fields], bool]:
    """Whether a session's hash is one that somebody means by `named`.

    Args:
        named: A conference's SID, the last digits of a party's number, an agent's name or address, a party's label.
    """
    if _CONFERENCE.fullmatch(named):
        return lambda fields: fields.get("conference_sid") == named
    wanted = named.lower()
    digits = named.lstrip("+") if _DIGITS.fullmatch(named) else ""

    def is_meant(fields: Fields) -> bool:
        return any(
            value.lower() in (wanted, f"client:{wanted}")
            # Of addresses alone: a label may end in a digit.
            or (digits and name.endswith(".address") and _ends_with(value, digits))
            for name, value in fields.items()
            if value and _PARTY.fullmatch(name)
        )

    return is_meant


def _ends_with(address: str, digits: str) -> bool:
    number = _NUMBER.fullmatch(address)
    return number is not None and number[1].endswith(digits)


def among(sessions: Iterable[Fields]) -> str:
    """Several sessions in a sentence: each with its state and the numbers' last digits."""
    told = [_told(fields) for fields in sorted(sessions, key=lambda fields: fields.get("created_at", ""), reverse=True)]
    more = len(told) - NAMED_MOST
    return ", ".join(told[:NAMED_MOST]) + (f" and {more} more" if more > 0 else "")


def _told(fields: Fields) -> str:
    # Here, since the log brings much that the Python client, which finds sessions too, has no use for.
    from operators import words
    from runtime.log import redacted

    addresses = (fields.get(f"party.{party}.address", "") for party in ("customer", "agent"))
    # A client's name is shown, but for a number in it; everything else may hold one.
    shown = [words.address(one) if one.startswith("client:") else redacted(one) for one in addresses if one]
    return f"{fields.get('id', '?')} ({', '.join([fields.get('state', '?'), *shown])})"
