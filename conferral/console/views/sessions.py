"""The session list view."""

import asyncio
from collections.abc import Sequence

from conferral.console.messages import encode_message_with_lists
from conferral.console.session_feed import CachedSession, SessionFeed
from conferral.console.views.view import View

#: Rows encoded at a time (count); other tasks run in between.
ROWS_PER_MESSAGE = 200


class SessionListView(View):
    """The list as sent to one page."""

    def __init__(self, feed: SessionFeed, *, with_ended: bool, full: bool) -> None:
        self.with_ended = with_ended
        self._feed = feed
        self._full = full
        self._seen_revision = -1
        self._has_ended = with_ended

    async def new_messages(self) -> list[bytes]:
        """Return changed rows, and which are gone; at first, all rows."""
        if not self._feed.is_loaded:
            return []
        messages = []
        # The newest ended calls fill an empty list.
        has_ended = self.with_ended or not self._feed.has_live
        since = self._seen_revision if has_ended == self._has_ended else -1
        changes = self._feed.changes(since, with_ended=has_ended)
        if changes.is_complete or changes.sessions or changes.removed:
            rows = await self._rows(changes.sessions)
            messages.append(
                encode_message_with_lists("sessions", {"rows": rows}, whole=changes.is_complete, gone=changes.removed)
            )
        self._seen_revision, self._has_ended = changes.revision, has_ended
        return messages

    async def _rows(self, kept: Sequence[CachedSession]) -> list[bytes]:
        found: list[bytes] = []
        for start in range(0, len(kept), ROWS_PER_MESSAGE):
            found += [one.row(full=self._full) for one in kept[start : start + ROWS_PER_MESSAGE]]
            if start + ROWS_PER_MESSAGE < len(kept):
                await asyncio.sleep(0)
        return found
