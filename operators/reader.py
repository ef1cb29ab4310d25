"""Sessions as people look at them: all at once, by whatever names them, with their logs and outcomes."""

from collections.abc import Mapping

from operators.errors import UnknownSession
from streams.commands import ID_PATTERN, shown_id
from streams.connection import store_errors
from streams.reading import CHUNK as CHUNK
from streams.reading import Fields as Fields
from streams.reading import LogEntry as LogEntry
from streams.reading import SessionReader


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
        """The same for somebody who must be told when nobody knows it.

        Raises:
            UnknownSession: nobody does.
        """
        session_id = await self.look_for(named)
        if not session_id:
            raise UnknownSession(f"no session and no call {shown_id(named)} is known")
        return session_id

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
        return [(entry_id.decode(), _text(fields)) for entry_id, fields in entries]


def _text(record: Mapping[bytes, bytes]) -> Fields:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in record.items()}
