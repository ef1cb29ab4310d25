"""Dead letters: what lies there, and why."""

from conferral.console.messages import encode_message
from conferral.console.redis_access import RedisAccess
from conferral.operations.dead_letters import DeadLetterPage, DeadLetters
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.clock import Clock

#: How often is looked whether anything has changed, seconds.
POLL_EVERY_S = 1.0
#: Looking may take this part of the time at most: counting the reasons reads every letter.
BUSY_MAX = 0.2
#: Letters that are shown, the newest (count).
SHOWN_MAX = 200


class DeadLettersView:
    """What one page has been told of the dead letters."""

    with_ended = False

    def __init__(self, redis: RedisAccess, clock: Clock, reason: str, *, full: bool) -> None:
        """Has told nothing yet.

        Args:
            redis: Of Redis.
            clock: Of this machine.
            reason: Only those that were put aside for it; empty for all.
            full: Whether numbers are whole.
        """
        self._redis = redis
        self._clock = clock
        self._reason = reason
        self._full = full
        self._poll_at_s = 0.0
        #: How many there were, and the newest: whatever comes or goes changes one of the two.
        self._seen: tuple[int, str] | None = None

    async def new_messages(self) -> list[bytes]:
        """All of it, when anything has changed."""
        started_s = self._clock.monotonic_s()
        if started_s < self._poll_at_s:
            return []
        messages = await self._poll()
        took_s = self._clock.monotonic_s() - started_s
        self._poll_at_s = started_s + max(POLL_EVERY_S, took_s / BUSY_MAX)
        return messages

    async def _poll(self) -> list[bytes]:
        seen = await self._redis.run(_mark)
        if seen == self._seen:
            return []
        shown: DeadLetterPage = await self._redis.run(
            lambda reader: _letters(reader).list(SHOWN_MAX, "", self._reason, full=self._full)
        )
        groups = await self._redis.run(lambda reader: _letters(reader).groups())
        self._seen = seen
        counted = [{"reason": group.reason, "count": group.count, "retryable": group.retryable} for group in groups]
        return [encode_message("dead", reason=self._reason, letters=shown.letters, groups=counted, count=seen[0])]


def _letters(reader: SessionQueries) -> DeadLetters:
    return DeadLetters(reader.client, reader.keys)


async def _mark(reader: SessionQueries) -> tuple[int, str]:
    letters = _letters(reader)
    newest = (await letters.list(1)).letters
    return await letters.count(), newest[0].id if newest else ""
