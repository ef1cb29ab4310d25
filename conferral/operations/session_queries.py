"""Session queries: list all, find by any name, read logs and outcomes."""

from conferral.operations import session_search
from conferral.operations.errors import AmbiguousSession, UnknownSession
from conferral.operations.redis_limiter import RequestRunner, cancellable
from conferral.runtime.redaction import mask_numbers, redact
from conferral.statemachine.ids import NAME_PATTERN
from conferral.storage.codecs.session_view import SessionView
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.commands.command_stream import safe_id
from conferral.storage.connection.client import CHUNK as CHUNK
from conferral.storage.connection.client import store_errors
from conferral.storage.connection.node_limits import node_of
from conferral.storage.queries.session_reader import Fields as Fields
from conferral.storage.queries.session_reader import LogEntry as LogEntry
from conferral.storage.queries.session_reader import SessionReader


class SessionQueries(SessionReader):
    """Read-only queries for operators and programs."""

    async def all_sessions(self, state: str | None, *, with_ended: bool, party: str = "") -> list[SessionView]:
        """Return the sessions in one state, or with one party, oldest first.

        By default, all. With `party`, an address or a call SID, only live sessions in which it takes part now.
        """
        # No one takes part in an ended session.
        names, with_ended = await self.live_ids(), (with_ended or state == "ended") and not party
        if with_ended:
            names += await self.ended_ids()
        found = (await self.views(dict.fromkeys(names))).values()
        # A session may end after its id was read.
        matches = session_search.takes_part(party) if party else lambda _session: True
        chosen = [
            one for one in found if state in (None, one.state) and (with_ended or not one.is_ended) and matches(one)
        ]
        return sorted(chosen, key=lambda session: (session.created_at_ms, session.id))

    async def find_exact(self, named: str, run: RequestRunner = cancellable) -> str:
        """Return the session with this id, or this SID of a call; or empty."""
        if not NAME_PATTERN.fullmatch(named):
            return ""
        # The session first: its node may answer while that of the index of calls does not.
        if await run(self.exists(named), self.node_of_session(named)):
            return named
        return await run(self.session_of_call(named), node_of(self.client, self.keys.call(named))) or ""

    async def view_exact(self, named: str, run: RequestRunner = cancellable) -> SessionView:
        """Return the session that `find_exact` finds; an empty one for none."""
        session_id = await self.find_exact(named, run)
        return await run(self.view(session_id), self.node_of_session(session_id)) if session_id else SessionView()

    async def find(self, named: str) -> str:
        """Return what `find_exact` or `search` finds, or raise UnknownSession."""
        session_id = await self.find_exact(named) or await self.search(named)
        if not session_id:
            is_short = await self.is_short_prefix(named)
            hint = f": the start of an id needs at least {session_search.PREFIX_MIN} characters" if is_short else ""
            raise UnknownSession(f"no call {displayed(named)} found{hint}")
        return session_id

    async def is_short_prefix(self, named: str) -> bool:
        """Whether a session's id starts with this, but it is too short."""
        if len(named) >= session_search.PREFIX_MIN:
            return False
        return any(one.startswith(named) for one in await self.live_ids() + await self.ended_ids())

    async def search(self, named: str, *, live_only: bool = False) -> str:
        """Return the session that matches what people know; empty if none does.

        That is an id's start, a conference's SID, a number's last digits, or a party's name, address, or label. Ended
        sessions match only if no live one does. Raise AmbiguousSession if several match, UnknownSession if `live_only`
        rejects the matches.
        """
        live = await self._sessions_matching(named, await self.live_ids())
        if len(live) > 1:
            matches = session_search.describe_matches(live.values())
            reason = f"{displayed(named)} matches {len(live)} live calls: {matches}; use an id"
            raise AmbiguousSession(reason, tuple(live))
        if live:
            return next(iter(live))
        ended = await self._sessions_matching(named, await self.ended_ids())
        if ended and (live_only or len(ended) > 1):
            count = "1 ended call does" if len(ended) == 1 else f"{len(ended)} ended calls do"
            matches = session_search.describe_matches(ended.values())
            reason = f"no live call matches {displayed(named)}; {count}: {matches}"
            raise UnknownSession(reason) if live_only else AmbiguousSession(f"{reason}; use an id", tuple(ended))
        return next(iter(ended), "")

    async def _sessions_matching(self, named: str, ids: list[str]) -> dict[str, SessionView]:
        matches = session_search.matcher(named)
        found: dict[str, SessionView] = {}
        for start in range(0, len(ids), CHUNK):
            some = await self.views(ids[start : start + CHUNK])
            found |= {name: session for name, session in some.items() if matches(session)}
        return found

    async def log(self, session_id: str) -> list[LogEntry]:
        """Return a session's log, oldest first."""
        return (await self.logs({session_id: ""}))[session_id]

    async def last_outcome_id(self) -> str:
        """Return the newest outcome's id; one before all others without any."""
        with store_errors():
            entries = await self.client.xrevrange(self.keys.outcomes, count=1)
        return str(entries[0][0].decode()) if entries else "0-0"

    async def outcomes(self, after: str) -> list[tuple[str, Fields]]:
        """Return at most `CHUNK` outcomes after an id, oldest first, with ids."""
        with store_errors():
            entries = await self.client.xrange(self.keys.outcomes, f"({after}", "+", count=CHUNK)
        return [(entry_id.decode(), decode_fields(fields)) for entry_id, fields in entries]


def displayed(named: str) -> str:
    """Return what someone typed, with phone numbers masked."""
    if named.lstrip("+").isdigit() and len(named) > session_search.SHOWN_DIGITS_MAX:
        return redact(named) if named.startswith("+") else safe_id(named)
    return named if NAME_PATTERN.fullmatch(named) else mask_numbers(named)
