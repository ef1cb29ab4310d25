"""The dead letters view."""

from conferral.console.messages import encode_message
from conferral.console.redis_access import RedisAccess
from conferral.console.views.view import View
from conferral.operations.dead_letters import DeadLetters
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.clock import Clock

POLL_EVERY_S = 1.0
#: Maximum fraction of the time spent reading: counting the reasons reads every letter.
BUSY_MAX = 0.2
#: Number of letters shown, newest first.
SHOWN_MAX = 200


class DeadLettersView(View):
    """The dead letters as sent to one page."""

    def __init__(self, redis: RedisAccess, clock: Clock, reason: str, *, full: bool) -> None:
        self._redis = redis
        self._clock = clock
        self._reason = reason
        self._full = full
        self._poll_at_s = 0.0
        #: Count and newest id: every addition or removal changes one of them.
        self._seen: tuple[int, str] | None = None

    async def new_messages(self) -> list[bytes]:
        """Return all dead letters to show, if one was added or removed."""
        started_s = self._clock.monotonic_s()
        if started_s < self._poll_at_s:
            return []
        messages = await self._poll()
        took_s = self._clock.monotonic_s() - started_s
        self._poll_at_s = started_s + max(POLL_EVERY_S, took_s / BUSY_MAX)
        return messages

    async def _poll(self) -> list[bytes]:
        seen = await self._redis.run(_count_and_newest_id)
        if seen == self._seen:
            return []
        shown = await self._redis.run(lambda reader: _letters(reader).newest(SHOWN_MAX, self._reason, full=self._full))
        groups = await self._redis.run(lambda reader: _letters(reader).groups())
        self._seen = seen
        return [encode_message("dead", reason=self._reason, letters=shown, groups=groups, count=seen[0])]


def _letters(reader: SessionQueries) -> DeadLetters:
    return DeadLetters(reader.client, reader.keys)


async def _count_and_newest_id(reader: SessionQueries) -> tuple[int, str]:
    letters = _letters(reader)
    newest = await letters.newest(1)
    return await letters.count(), newest[0].id if newest else ""
