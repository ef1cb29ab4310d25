"""Quarantine: finds and dead-letters what kills workers, or can't be read.

A poison pill (out of memory, a crash in C) would kill the next owner, too. Before a try, the number of deaths that it
would make is stored; the third death dead-letters the entry or effect. After a worker's death, stream entries are tried
one by one, because what else was read with them is innocent. Effects run together: those in flight at three deaths in a
row share the fate of the one that killed. Once processed, an entry's or effect's count is removed; a clean stop clears
all.
"""

from collections.abc import Iterable, Mapping

from conferral.runtime.errors import StoreError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.effects import Effect
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.partition.partition_store import Entry
from conferral.worker.core import WorkerCore
from conferral.worker.dead_letters import dead_letter
from conferral.worker.executor.job import unknown

#: Worker deaths after which an entry or effect is dead-lettered.
DEATHS_BEFORE_DEAD_LETTER = 3
KILLER_REASON = "workers crashed processing it"
UNREADABLE_REASON = "outbox entry unreadable"


class Quarantine:
    """Counts the deaths of workers over one partition's entries and effects."""

    def __init__(self, partition: int, core: WorkerCore) -> None:
        self._partition = partition
        self._store = core.partition_store
        self._core = core
        #: By entry or effect id, as the last owner left them.
        self._deaths: dict[str, int] = {}
        self._is_after_death = False
        #: Entries still to be decided one by one (count).
        self._one_by_one_left = 0

    async def begin(self, *, after_death: bool, one_by_one: int) -> None:
        """Load the last owner's counts; clear them if it stopped by itself.

        After a death, `one_by_one` entries are decided alone (count).
        """
        self._is_after_death = after_death
        self._one_by_one_left = one_by_one if after_death else 0
        try:
            if after_death:
                self._deaths = await self._store.deaths(self._partition)
            else:
                await self._store.clear_deaths(self._partition)
        except StoreError as error:  # the takeover must not wait
            log_unreachable(error, partition=self._partition)

    @property
    def is_one_by_one(self) -> bool:
        """Whether entries must be decided one by one."""
        return self._one_by_one_left > 0

    def has_killed(self, name: str) -> bool:
        """Whether an entry or effect must not be tried again."""
        return self._deaths_over(name) >= DEATHS_BEFORE_DEAD_LETTER

    async def begin_try(self, entry_id: str) -> bool:
        """Count a death in advance; False if the entry has caused too many."""
        if self.has_killed(entry_id):
            return False
        await self.begin_tries([entry_id])
        return True

    def end_try(self) -> None:
        """End an entry's try."""
        self._one_by_one_left -= 1

    def end_one_by_one(self) -> None:
        """Decide entries together again."""
        self._one_by_one_left = 0

    async def begin_tries(self, effect_ids: Iterable[str]) -> None:
        """Count, in advance, the deaths that effects would make."""
        await self._save({name: deaths + 1 for name in effect_ids if (deaths := self._deaths_over(name))})

    def _deaths_over(self, name: str) -> int:
        """Return how many workers may have died over it: at least the last one."""
        return max(1, self._deaths.get(name, 0)) if self._is_after_death else 0

    async def _save(self, deaths: Mapping[str, int]) -> None:
        try:
            await self._store.set_deaths(self._partition, deaths)
        except StoreError as error:  # a full Redis accepts no counts; the work must not wait
            log_unreachable(error, partition=self._partition)

    async def decode(self, outbox: Mapping[str, bytes]) -> list[OutboxEntry]:
        """Return the outbox's entries, oldest first; dead-letter unreadable ones."""
        entries = []
        for name, body in outbox.items():
            try:
                entries.append(effect_codec.decode(body))
            except BadEntryError:
                try:
                    await self._dead_letter(name, body, UNREADABLE_REASON)
                except StoreError as error:  # the next takeover finds the entry again
                    log_unreachable(error, partition=self._partition)
        return sorted(entries, key=lambda entry: (entry.committed_at_ms, entry.place))

    async def dead_letter(self, effect: Effect, body: bytes) -> None:
        """Dead-letter an effect that has killed workers: it may have been sent."""
        await self._dead_letter(effect.effect_id, body, KILLER_REASON, effect)

    async def _dead_letter(self, effect_id: str, body: bytes, reason: str, effect: Effect | None = None) -> None:
        """Dead-letter a body; a readable effect gets the outcome `unknown`."""
        session_id = effect.session_id if effect is not None else ""
        letter = Entry(effect_id, {b"type": b"effect", b"session": session_id.encode(), b"effect": body})
        outbox = self._core.keys.outbox(self._partition)
        await dead_letter(self._core, outbox, letter, reason, partition=self._partition, session_id=session_id)
        if effect is not None:
            await self._store.finish_effect(self._partition, effect_id, unknown(effect))
        else:
            await self._store.remove_from_outbox(self._partition, effect_id)
