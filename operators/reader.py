"""Sessions as people look at them: all at once, by whatever names them, with their logs and outcomes."""

from operators import finding
from operators.errors import AmbiguousSession, UnknownSession
from streams.commands import ID_PATTERN, shown_id
from streams.connection import store_errors
from streams.reading import CHUNK as CHUNK
from streams.reading import Fields as Fields
from streams.reading import LogEntry as LogEntry
from streams.reading import SessionReader
from streams.texts import text_of


class Reader(SessionReader):
    """Reads what operators and programs look at. It never writes."""

    async def listed(self, state: str | None, *, with_ended: bool) -> list[Fields]:
        """Sessions, oldest first; those in one state, or all.

        Args:
            state: None for all.
            with_ended: Whether those that have ended are among all.
        """
        names = await self.live_ids()
        if with_ended or state == "ended":
            names += await self.ended_ids()
        found = (await self.records(dict.fromkeys(names))).values()
        chosen = [fields for fields in found if state in (None, fields.get("state"))]
        return sorted(chosen, key=lambda fields: (fields.get("created_at", ""), fields.get("id", "")))

    async def look_for(self, named: str) -> str:
        """The session that is named by its id or by one of its calls; empty when nobody knows it."""
        return (await super().find(named) or "") if ID_PATTERN.fullmatch(named) else ""

    async def find(self, named: str) -> str:
        """The session that somebody means: by its id, a call's or its conference's SID, or what people know of a call.

        That is the last digits of a party's number, an agent's name or address, or a party's label. Live sessions go
        before those that have ended.

        Raises:
            UnknownSession: nobody knows it.
            AmbiguousSession: several fit.
        """
        session_id = await self.look_for(named) or await self.search(named)
        if not session_id:
            raise UnknownSession(f"no session and no call {_shown(named)} is known")
        return session_id

    async def search(self, named: str) -> str:
        """The same among all sessions, whose ids and calls don't count; empty when nobody knows it.

        Raises:
            AmbiguousSession: several fit.
        """
        is_meant = finding.fits(named)
        for ids in (self.live_ids, self.ended_ids):
            found: dict[str, Fields] = {}
            names = await ids()
            for start in range(0, len(names), CHUNK):
                records = await self.records(names[start : start + CHUNK])
                found |= {name: fields for name, fields in records.items() if is_meant(fields)}
            if len(found) > 1:
                told = finding.among(found.values())
                raise AmbiguousSession(f"{len(found)} sessions fit {_shown(named)}: {told}", tuple(found))
            if found:
                return next(iter(found))
        return ""

    async def log(self, session_id: str) -> list[LogEntry]:
        """A session's log, oldest first."""
        return (await self.logs({session_id: ""}))[session_id]

    async def end_of_outcomes(self) -> str:
        """Id of the newest entry of the stream of outcomes; one before all others where there is none."""
        with store_errors():
            entries = await self.client.xrevrange(self.keys.outcomes, count=1)
        return str(entries[0][0].decode()) if entries else "0-0"

    async def outcomes(self, after: str) -> list[tuple[str, Fields]]:
        """Outcomes with their ids, oldest first, at most `CHUNK` at a time.

        Args:
            after: Id of the last entry seen.
        """
        with store_errors():
            entries = await self.client.xrange(self.keys.outcomes, f"({after}", "+", count=CHUNK)
        return [(entry_id.decode(), text_of(fields)) for entry_id, fields in entries]


def _shown(named: str) -> str:
    """What somebody has typed, to be repeated in a reason: a whole number is not."""
    if named.lstrip("+").isdigit() and len(named) > finding.SHOWN_DIGITS_MOST:
        from runtime.log import redacted

        return redacted(named) if named.startswith("+") else shown_id(named)
    return named
