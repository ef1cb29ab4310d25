"""Session queries: list, find by any name, read logs and time, follow."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from conferral.operations.errors import AmbiguousSession, UnknownSession
from conferral.runtime.redaction import display_address, mask_numbers, redact
from conferral.statemachine.ids import NAME_PATTERN, safe_id
from conferral.statemachine.session import Session
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import UNKNOWN_SESSION, StoredSession
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.connection.client import CHUNK as CHUNK
from conferral.storage.connection.client import as_store_errors
from conferral.storage.partition.partition_store import parse_entry_id
from conferral.storage.queries.session_reader import SCANNED_MAX, SessionReader
from conferral.storage.queries.session_reader import Fields as Fields

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


def allowed_commands_of(session: StoredSession) -> tuple[str, ...]:
    """Return the commands that the session accepts now; none if undecodable."""
    # Building the state machine is slow, and only a rejection needs it.
    from conferral.statemachine.machine import allowed_commands

    return () if session.damaged else allowed_commands(session)


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


class SessionQueries(SessionReader):
    """Read-only queries for operators and programs."""

    async def all_sessions(self, state: str | None, *, with_ended: bool, party: str = "") -> list[StoredSession]:
        """Return the sessions in one state, or with one party, oldest first.

        By default, all. With `party`, an address or a call SID, only live sessions in which it takes part now.
        """
        # No one takes part in an ended session.
        names, with_ended = await self.live_ids(), (with_ended or state == "ended") and not party
        if with_ended:
            names += await self.ended_ids()
        found = (await self.read_sessions(dict.fromkeys(names))).values()
        # A session may end after its id was read.
        matches = party_matcher(party) if party else lambda _session: True
        chosen = [
            one for one in found if state in (None, one.state) and (with_ended or not one.is_ended) and matches(one)
        ]
        return sorted(chosen, key=lambda session: (session.created_at_ms, session.id))

    async def find_exact(self, named: str) -> str:
        """Return the session with this id, or this SID of a call; or empty."""
        if not NAME_PATTERN.fullmatch(named):
            return ""
        if await self.exists(named):
            return named
        return (await self.session_ids_of_calls([named])).get(named, "")

    async def read_exact(self, named: str) -> StoredSession:
        """Read the session that `find_exact` finds; an empty one for none."""
        session_id = await self.find_exact(named)
        return await self.read_session(session_id) if session_id else UNKNOWN_SESSION

    async def find(self, named: str) -> str:
        """Return what `find_exact` or `search` finds, or raise UnknownSession."""
        session_id = await self.find_exact(named) or await self.search(named)
        if not session_id:
            raise UnknownSession(f"no call {displayed(named)} found")
        return session_id

    async def search(self, named: str, *, live_only: bool = False) -> str:
        """Return the session that matches what people know; empty if none does.

        That is an id's start, a conference's SID, a number's last digits, or a party's name, address, or label. Ended
        sessions match only if no live one does. Raise AmbiguousSession if several match, UnknownSession if `live_only`
        rejects the matches.
        """
        live = await self._sessions_matching(named, await self.live_ids())
        if len(live) > 1:
            matches = describe_matches(live.values())
            reason = f"{displayed(named)} matches {len(live)} live calls: {matches}; use an id"
            raise AmbiguousSession(reason, tuple(live))
        if live:
            return next(iter(live))
        ended = await self._sessions_matching(named, await self.ended_ids())
        if ended and (live_only or len(ended) > 1):
            count = "1 ended call does" if len(ended) == 1 else f"{len(ended)} ended calls do"
            matches = describe_matches(ended.values())
            reason = f"no live call matches {displayed(named)}; {count}: {matches}"
            raise UnknownSession(reason) if live_only else AmbiguousSession(f"{reason}; use an id", tuple(ended))
        return next(iter(ended), "")

    async def _sessions_matching(self, named: str, ids: list[str]) -> dict[str, Session]:
        matches = name_matcher(named)
        found: dict[str, Session] = {}
        for start in range(0, len(ids), CHUNK):
            some = await self.read_sessions(ids[start : start + CHUNK])
            found |= {name: session for name, session in some.items() if matches(session)}
        return found

    async def log(self, session_id: str) -> list[LogEntry]:
        """Return a session's log, oldest first."""
        return (await self.logs({session_id: ""}))[session_id]

    async def log_after(self, session_id: str, after: str) -> tuple[list[LogEntry], bool]:
        """Return a session's log entries after one, and whether none can follow."""
        # The session first: if it ends in between, the log has the end. One that was erased or has expired has no end.
        is_over = not (await self.read_session(session_id)).is_live
        found = (await self.logs({session_id: after}))[session_id]
        return found, is_over or any(one.is_end for one in found)

    async def last_outcome_id(self) -> str:
        """Return the newest outcome's id; one before all others without any."""
        with as_store_errors():
            entries = await self.client.xrevrange(self.keys.outcomes, count=1)
        return str(entries[0][0].decode()) if entries else "0-0"

    async def outcomes(self, after: str) -> list[tuple[str, Fields]]:
        """Return at most `CHUNK` outcomes after an id, oldest first, with ids."""
        with as_store_errors():
            entries = await self.client.xrange(self.keys.outcomes, f"({after}", "+", count=CHUNK)
        return [(entry_id.decode(), decode_fields(fields)) for entry_id, fields in entries]

    async def outcome_page(
        self, *, after: str, limit: int, kind: str | None = None, session: str = ""
    ) -> tuple[list[Fields], str]:
        """Return outcomes after a position, and the position reached.

        With `kind` or `session`, only those; then there may be fewer than `limit` before the last.
        """
        found: list[Fields] = []
        for _ in range(SCANNED_MAX // CHUNK):
            entries = await self.outcomes(after)
            for after, fields in entries:  # goes on there
                if kind in (None, fields.get("kind")) and session in ("", fields.get("session")):
                    found.append(fields)
                    if len(found) == limit:
                        return found, after
            if len(entries) < CHUNK:
                break
        return found, after


def last_id_before(at_ms: int) -> str:
    """Return the last id that an entry written before a time can have."""
    return f"{max(0, at_ms - 1)}-{2**64 - 1}"


def displayed(named: str) -> str:
    """Return what someone typed, with phone numbers masked."""
    if named.lstrip("+").isdigit() and len(named) > SHOWN_DIGITS_MAX:
        return redact(named) if named.startswith("+") else safe_id(named)
    return named if NAME_PATTERN.fullmatch(named) else mask_numbers(named)


POLL_INTERVAL_S = 0.2
#: Polls find sessions that ended up to this long ago, in milliseconds, which allows for a delayed poll.
ENDED_OVERLAP_MS = 10_000


@dataclass(slots=True)
class ChangeFeed:
    """Follows all live sessions from now on."""

    reader: SessionQueries
    #: The last entry seen, by session; no more is kept, so a restarted feed misses nothing that Redis still holds.
    positions: dict[str, str] = field(default_factory=dict)

    async def start(self, now_ms: int) -> None:
        """Start after the entries that there are."""
        names = await self.reader.live_ids()
        for gone in await self.reader.ended_ids(now_ms - ENDED_OVERLAP_MS):
            self.positions[gone] = "+"  # it ended before the start: skip its log
        self.positions |= await self.reader.last_log_ids(names)

    async def poll(self, now_ms: int) -> list[LogEntry]:
        """Return the entries since the last poll, in order of time."""
        recent = await self.reader.ended_ids(now_ms - ENDED_OVERLAP_MS)
        for name in (*await self.reader.live_ids(), *recent):
            self.positions.setdefault(name, "")
        # Drop the positions of sessions that ended long ago. Recently ended ones would repeat without theirs.
        self.positions = {
            name: position for name, position in self.positions.items() if position != "+" or name in recent
        }
        found = []
        open_positions = {name: position for name, position in self.positions.items() if position != "+"}
        for name, entries in (await self.reader.logs(open_positions)).items():
            for entry in entries:
                self.positions[name] = "+" if entry.is_end else entry.id
                found.append(entry)
        return sorted(found, key=lambda entry: parse_entry_id(entry.id))
