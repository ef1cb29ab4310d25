"""Search: sessions by an id, a name, an address, or last digits."""

import re
from collections.abc import Callable, Iterable

from conferral.operations.errors import AmbiguousSession, UnknownSession
from conferral.runtime.redaction import display_address, mask_numbers, redact
from conferral.statemachine.ids import REFERENCE_PATTERN, safe_id
from conferral.statemachine.session import Session
from conferral.storage.connection.client import CHUNK
from conferral.storage.queries.session_reader import SessionReader

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


def allowed_commands_of(session: Session | None) -> tuple[str, ...]:
    """Return the commands that the session accepts now; none without one."""
    # Building the state machine is slow, and only a rejection needs it.
    from conferral.statemachine.machine import allowed_commands

    return () if session is None else allowed_commands(session)


def name_matcher(named: str) -> Callable[[Session], bool]:
    """Return a predicate: whether a name, id, or digits mean a session."""
    if _CONFERENCE.fullmatch(named):
        return lambda session: session.conference_sid == named
    wanted = named.lower()
    texts = {wanted, f"client:{wanted}"} - {""}
    digits = named.lstrip("+") if _DIGITS.fullmatch(named) else ""

    def matches(session: Session) -> bool:
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


def party_matcher(party: str) -> Callable[[Session], bool]:
    """Return a predicate: whether this address or call SID takes part now."""
    wanted, number = party.lower(), number_of(party)

    def matches(session: Session) -> bool:
        return not session.is_ended and any(
            party == one.call_sid or wanted == one.address.lower() or (number and number == number_of(one.address))
            for one in session.present.values()
        )

    return matches


def is_address_or_call_sid(text: str) -> bool:
    """Whether a text has the form of an address or a call SID.

    >>> is_address_or_call_sid("client:alice"), is_address_or_call_sid("+14155550123"), is_address_or_call_sid("alice")
    (True, True, False)
    """
    return ":" in text or text.startswith("+") or bool(number_of(text) or _CALL.fullmatch(text))


def number_of(address: str) -> str:
    """Return a phone number's digits, also in a SIP address; or empty."""
    number = _NUMBER.fullmatch(address)
    return number[1] if number else ""


def describe_matches(sessions: Iterable[Session]) -> str:
    """Describe sessions in a sentence, with their states and last digits."""
    descriptions = [_describe(session) for session in sorted(sessions, key=lambda one: one.created_at_ms, reverse=True)]
    more = len(descriptions) - LISTED_MAX
    return ", ".join(descriptions[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")


def _describe(session: Session) -> str:
    addresses = (session.parties[name].address for name in ("customer", "agent") if name in session.parties)
    # Show client names, with numbers in them masked; mask everything else.
    shown = [display_address(one) if one.startswith("client:") else redact(one) for one in addresses if one]
    return f"{session.id or '?'} ({', '.join([session.state or '?', *shown])})"


async def all_sessions(reader: SessionReader, state: str | None, *, with_ended: bool, party: str = "") -> list[Session]:
    """Return the sessions in a state or phase, or with a party, oldest first.

    By default, all. With `party`, an address or a call SID, only live sessions in which it takes part now.
    """
    # No one takes part in an ended session.
    names, with_ended = await reader.live_ids(), (with_ended or state == "ended") and not party
    if with_ended:
        names += await reader.ended_ids()
    found = (await reader.read_sessions(dict.fromkeys(names))).values()
    # A session may end after its id was read.
    matches = party_matcher(party) if party else lambda _session: True
    chosen = [one for one in found if one.is_in(state) and (with_ended or not one.is_ended) and matches(one)]
    return sorted(chosen, key=lambda session: (session.created_at_ms, session.id))


async def find_session(reader: SessionReader, named: str) -> str:
    """Return the id of the session that is meant, or raise UnknownSession."""
    session_id = await reader.find_exact(named) or await match_session(reader, named)
    if not session_id:
        raise UnknownSession(f"no call {displayed(named)} found")
    return session_id


async def only_session(reader: SessionReader, state: str | None) -> str:
    """Return the only live session, or the only one in a state.

    Raise AmbiguousSession, which lists them, if there are several; UnknownSession if there is none.
    """
    found = await all_sessions(reader, state, with_ended=False)
    kind = f"{state or 'live'} call"
    if len(found) > 1:
        reason = f"there are {len(found)} {kind}s: {describe_matches(found)}; use an id"
        raise AmbiguousSession(reason, tuple(one.id for one in found))
    if not found:
        raise UnknownSession(f"there is no {kind}")
    return found[0].id


async def match_session(reader: SessionReader, named: str, *, live_only: bool = False) -> str:
    """Return the session that matches what people know; empty if none does.

    That is an id's start, a conference's SID, a number's last digits, or a party's name, address, or label. Ended
    sessions match only if no live one does. Raise AmbiguousSession if several match, UnknownSession if `live_only`
    rejects the matches.
    """
    live = await _sessions_matching(reader, named, await reader.live_ids())
    if len(live) > 1:
        matches = describe_matches(live.values())
        reason = f"{displayed(named)} matches {len(live)} live calls: {matches}; use an id"
        raise AmbiguousSession(reason, tuple(live))
    if live:
        return next(iter(live))
    ended = await _sessions_matching(reader, named, await reader.ended_ids())
    if ended and (live_only or len(ended) > 1):
        count = "1 ended call does" if len(ended) == 1 else f"{len(ended)} ended calls do"
        matches = describe_matches(ended.values())
        reason = f"no live call matches {displayed(named)}; {count}: {matches}"
        raise UnknownSession(reason) if live_only else AmbiguousSession(f"{reason}; use an id", tuple(ended))
    return next(iter(ended), "")


async def _sessions_matching(reader: SessionReader, named: str, ids: list[str]) -> dict[str, Session]:
    matches = name_matcher(named)
    found: dict[str, Session] = {}
    for start in range(0, len(ids), CHUNK):
        some = await reader.read_sessions(ids[start : start + CHUNK])
        found |= {name: session for name, session in some.items() if matches(session)}
    return found


def displayed(named: str) -> str:
    """Return what someone typed, with phone numbers masked."""
    if named.lstrip("+").isdigit() and len(named) > SHOWN_DIGITS_MAX:
        return redact(named) if named.startswith("+") else safe_id(named)
    return named if REFERENCE_PATTERN.fullmatch(named) else mask_numbers(named)
