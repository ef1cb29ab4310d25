"""The list of sessions."""

import asyncio
from collections.abc import Sequence

from conferral.console.looker import Kept, Looker
from conferral.console.messages import joined

#: Rows that are made in one go (count): others get their turn in between.
ROWS_AT_ONCE = 200


class SessionsView:
    """What one page has been told of the list."""

    def __init__(self, looker: Looker, *, with_ended: bool, full: bool) -> None:
        """Has told nothing yet.

        Args:
            looker: Knows the sessions.
            with_ended: Whether those that have ended are in the list.
            full: Whether numbers are whole.
        """
        self.with_ended = with_ended
        self._looker = looker
        self._full = full
        self._seen = -1

    async def news(self) -> list[bytes]:
        """Rows that have changed."""
        if not self._looker.is_loaded:
            return []
        messages = []
        changes = self._looker.changes(self._seen, with_ended=self.with_ended)
        if changes.is_whole or changes.rows or changes.gone:
            rows = await self._rows(changes.rows)
            messages.append(joined("sessions", {"rows": rows}, whole=changes.is_whole, gone=changes.gone))
        self._seen = changes.revision
        return messages

    async def _rows(self, kept: Sequence[Kept]) -> list[bytes]:
        found: list[bytes] = []
        for start in range(0, len(kept), ROWS_AT_ONCE):
            found += [one.row(full=self._full) for one in kept[start : start + ROWS_AT_ONCE]]
            if start + ROWS_AT_ONCE < len(kept):
                await asyncio.sleep(0)
        return found
