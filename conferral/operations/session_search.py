"""Session search: by id, conference, number, name, or label."""

import re
from collections.abc import Callable, Iterable

from conferral.storage.codecs.session_view import SessionView

#: Digits that identify no one and may be repeated in messages (count).
SHOWN_DIGITS_MAX = 4
#: Shortest prefix of an id that selects a session (characters).
PREFIX_MIN = 4
#: Matches listed in a message (count).
LISTED_MAX = 5

#: Last digits of a number, or all of it. Source: ITU-T E.164, at most 15 digits.
_DIGITS = re.compile(r"\+?[0-9]{2,15}")
_CALL = re.compile(r"CA[0-9a-fA-F]{32}")
_CONFERENCE = re.compile(r"CF[0-9a-fA-F]{32}")
#: A number, alone or as the user part of a SIP address.
_NUMBER = re.compile(r"(?:sips?:)?\+?([0-9]{2,15})(?:@.*)?")


def matcher(named: str) -> Callable[[SessionView], bool]:
    """Return a predicate that tests whether a session matches `named`."""
    if _CONFERENCE.fullmatch(named):
        return lambda session: session.conference_sid == named
    wanted = named.lower()
    texts = {wanted, f"client:{wanted}"} - {""}
    digits = named.lstrip("+") if _DIGITS.fullmatch(named) else ""

    def matches(session: SessionView) -> bool:
        if len(named) >= PREFIX_MIN and session.id.startswith(named):
            return True
        # A party that has left a live session may be on another call by now.
        parties = session.parties if session.is_ended else session.present
        return any(
            not texts.isdisjoint((party.address.lower(), party.label.lower()))
            or name.lower() == wanted
            or (digits and number_of(party.address).endswith(digits))
            for name, party in parties.items()
        )

    return matches


def takes_part(party: str) -> Callable[[SessionView], bool]:
    """Return a predicate: whether this address or call SID takes part now."""
    wanted, number = party.lower(), number_of(party)

    def matches(session: SessionView) -> bool:
        return not session.is_ended and any(
            party == one.call_sid or wanted == one.address.lower() or (number and number == number_of(one.address))
            for one in session.present.values()
        )

    return matches


def is_party(text: str) -> bool:
    """Whether a text has the form of an address or a call SID.

    >>> is_party("client:alice"), is_party("+14155550123"), is_party("alice")
    (True, True, False)
    """
    return ":" in text or text.startswith("+") or bool(number_of(text) or _CALL.fullmatch(text))


def number_of(address: str) -> str:
    """Return a phone number's digits, also in a SIP address; or empty."""
    number = _NUMBER.fullmatch(address)
    return number[1] if number else ""


def describe_matches(sessions: Iterable[SessionView]) -> str:
    """Describe sessions in a sentence, with their states and last digits."""
    descriptions = [_describe(session) for session in sorted(sessions, key=lambda one: one.created_at_ms, reverse=True)]
    more = len(descriptions) - LISTED_MAX
    return ", ".join(descriptions[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")


def _describe(session: SessionView) -> str:
    # Lazy import: the Python client uses this module but not `wording`.
    from conferral.operations import wording
    from conferral.runtime.redaction import redact

    addresses = (session.parties[name].address for name in ("customer", "agent") if name in session.parties)
    # Show client names, with numbers in them masked; mask everything else.
    shown = [wording.display_address(one) if one.startswith("client:") else redact(one) for one in addresses if one]
    return f"{session.id or '?'} ({', '.join([session.state or '?', *shown])})"
