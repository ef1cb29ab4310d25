"""Dead letters: what lies there, and why."""

from conferral.console.messages import told
from conferral.console.store import Store
from conferral.operations.dead_letters import DeadLetters, Letters
from conferral.operations.reader import Reader
from conferral.runtime.clock import Clock

#: How often is looked whether anything has changed, seconds.
LOOK_EVERY_S = 1.0
#: Looking may take this part of the time at most: counting the reasons reads every letter.
BUSY_MOST = 0.2
#: Letters that are shown, the newest (count).
SHOWN_MAX = 200


class DeadView:
    """What one page has been told of the dead letters."""

    with_ended = False

    def __init__(self, store: Store, clock: Clock, reason: str, *, full: bool) -> None:
        """Has told nothing yet.

        Args:
            store: Of Redis.
            clock: Of this machine.
            reason: Only those that were put aside for it; empty for all.
            full: Whether numbers are whole.
        """
        self._store = store
        self._clock = clock
        self._reason = reason
        self._full = full
        self._look_at_s = 0.0
        #: How many there were, and the newest: whatever comes or goes changes one of the two.
        self._seen: tuple[int, str] | None = None

    async def news(self) -> list[bytes]:
        """All of it, when anything has changed."""
        started_s = self._clock.monotonic_s()
        if started_s < self._look_at_s:
            return []
        messages = await self._look()
        took_s = self._clock.monotonic_s() - started_s
        self._look_at_s = started_s + max(LOOK_EVERY_S, took_s / BUSY_MOST)
        return messages

    async def _look(self) -> list[bytes]:
        seen = await self._store.ask(_mark)
        if seen == self._seen:
            return []
        shown: Letters = await self._store.ask(
            lambda reader: _letters(reader).list(SHOWN_MAX, "", self._reason, full=self._full)
        )
        groups = await self._store.ask(lambda reader: _letters(reader).groups())
        self._seen = seen
        counted = [{"reason": group.reason, "count": group.count, "retryable": group.retryable} for group in groups]
        return [told("dead", reason=self._reason, letters=shown.letters, groups=counted, count=seen[0])]


def _letters(reader: Reader) -> DeadLetters:
    return DeadLetters(reader.client, reader.keys)


async def _mark(reader: Reader) -> tuple[int, str]:
    letters = _letters(reader)
    newest = (await letters.list(1)).letters
    return await letters.count(), newest[0].id if newest else ""
