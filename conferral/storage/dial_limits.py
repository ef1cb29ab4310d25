"""Limits of dials by REST, for each call and for the whole installation.

A dial is counted by the script that marks it as sent, under its own id. A command whose dials would exceed a limit is
refused before; nothing is reserved for it.
"""

from dataclasses import dataclass
from typing import NamedTuple

from conferral.statemachine.ids import call_of_visit
from conferral.storage.connection.client import Client, run_each
from conferral.storage.keys import Keys
from conferral.storage.server import server_time_ms


class DialLimit(NamedTuple):
    """One limit, and where its dials are counted."""

    #: `minute` or `session`.
    name: str
    key: str
    #: 0 for no limit.
    most: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class DialLimits:
    """The limits (counts); 0 for none."""

    keys: Keys
    per_session: int = 0
    per_minute: int = 0

    def of(self, session_id: str, *, is_offer: bool = False) -> list[DialLimit]:
        """Return the limits of a session's dials, in the order of `MarkResult`.

        The offers of a caller in a queue count in the first only.
        """
        call_dials = self.keys.call_dials(call_of_visit(session_id) or session_id)
        minute = DialLimit("minute", self.keys.dials, self.per_minute, 60_000)
        return [minute, *([] if is_offer else [DialLimit("session", call_dials, self.per_session, 86_400_000)])]

    async def exceeded(self, client: Client, session_id: str, count: int, *, is_offer: bool = False) -> str:
        """Return a limit that so many dials more exceed; may raise StoreError."""
        if not (limits := [one for one in self.of(session_id, is_offer=is_offer) if one.most]):
            return ""
        now_ms = await server_time_ms(client, self.keys.dials)  # by which the marks count
        counts = await run_each(
            client, [("ZCOUNT", one.key, f"({now_ms - one.window_ms}", f"({now_ms + one.window_ms}") for one in limits]
        )
        # Another program's key, of another type, counts nothing.
        found = (one.name for one, used in zip(limits, counts, strict=True) if int(used or 0) + count > one.most)
        return next(found, "")
