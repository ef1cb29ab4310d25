"""Quarantine: finds and dead-letters what kills workers, or can't be read.

A poison pill (out of memory, a crash in C) would kill the next holder, too; whatever else was in flight is innocent. So
after a worker's death, stream entries are tried one by one, and so are effects after the second death. Reads are tried
together and first, because sessions wait for them. Before each try, the number of deaths that it would make is stored.
What a worker survives is forgotten; the third death dead-letters the entry or effect. A clean stop clears all counts.
"""

import asyncio
from collections.abc import Container, Mapping, Sequence
from collections.abc import Set as AbstractSet

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.effects import Effect, ReadCalls
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.partition.partition_store import Entry
from conferral.worker.consumer.context import WorkerContext
from conferral.worker.core import dead_letter
from conferral.worker.executor.job import Job, unknown

#: Worker deaths after which an entry or effect is dead-lettered, and after which an effect is tried alone.
DEATHS_BEFORE_DEAD_LETTER = 3
ALONE_AFTER_DEATHS = 2
#: How long, at most, an effect that is tried alone delays the next, seconds.
TRIAL_WAIT_S = 1.0
KILLER_REASON = "workers crashed processing it"
UNREADABLE_REASON = "outbox entry unreadable"


class Quarantine:
    """Counts the deaths of workers over one partition's entries and effects."""

    def __init__(self, partition: int, context: WorkerContext) -> None:
        self._partition = partition
        self._store = context.partition_store
        self._executor = context.executor
        self._core = context.core
        #: By entry or effect id, as the last holder left them.
        self._deaths: dict[str, int] = {}
        self._is_after_death = False
        self._trials: asyncio.Task[None] | None = None

    async def begin(self, *, after_death: bool) -> None:
        """Load the last holder's counts; clear them if it stopped by itself."""
        self._is_after_death = after_death
        try:
            if after_death:
                self._deaths = await self._store.deaths(self._partition)
            else:
                await self._store.clear_deaths(self._partition)
        except StoreError as error:  # the takeover must not wait
            log_unreachable(error, partition=self._partition)

    def stop(self) -> None:
        """Leave untried effects to the next holder."""
        if self._trials is not None:
            self._trials.cancel()

    async def begin_try(self, entry_id: str) -> bool:
        """Count a death in advance; False if the entry has caused too many."""
        deaths = self._deaths_over(entry_id)
        if deaths >= DEATHS_BEFORE_DEAD_LETTER:
            return False
        await self._save({entry_id: deaths + 1})
        return True

    async def cancel_try(self, entry_id: str) -> None:
        """Take back the death counted in advance: the entry waits, undecided."""
        await self._save({entry_id: self._deaths.get(entry_id, 0)})

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

    async def submit_all(self, jobs: Sequence[Job], bodies: Mapping[str, bytes], open_effects: Container[str]) -> None:
        """Submit the outbox's jobs, oldest first; suspects run one by one.

        Args:
            bodies: The raw outbox entries, by effect id.
            open_effects: The ids of the effects that are in the outbox at any later time.
        """
        deaths = {job.effect.effect_id: self._deaths_over(job.effect.effect_id) for job in jobs}
        for effect in [job.effect for job in jobs if deaths[job.effect.effect_id] >= DEATHS_BEFORE_DEAD_LETTER]:
            await self._dead_letter(effect.effect_id, bodies[effect.effect_id], KILLER_REASON, effect)
        # All that were in flight at one death run together now, and alone after a second.
        one_death = {name: ALONE_AFTER_DEATHS for name, count in deaths.items() if 0 < count < ALONE_AFTER_DEATHS}
        await self._save(one_death)
        # No await from here on, so that no job is submitted twice.
        suspects = {name for name, count in deaths.items() if count == ALONE_AFTER_DEATHS}
        suspected = {job.effect.session_id for job in jobs if job.effect.effect_id in suspects}
        reads: list[Job] = []
        waiting: list[Job] = []
        for job in jobs:
            if deaths[job.effect.effect_id] >= DEATHS_BEFORE_DEAD_LETTER:
                continue
            if job.effect.session_id not in suspected:
                self._executor.submit(job)
            elif isinstance(job.effect, ReadCalls):
                reads.append(job)
            else:  # the whole session waits, which preserves its order
                waiting.append(job)
        if reads or waiting:
            trials = [reads, *([job] for job in waiting)]
            self._trials = asyncio.get_running_loop().create_task(self._try_in_turn(trials, suspects, open_effects))

    def _deaths_over(self, name: str) -> int:
        """Return how many workers may have died over it: at least the last one."""
        return max(1, self._deaths.get(name, 0)) if self._is_after_death else 0

    async def _save(self, deaths: Mapping[str, int]) -> None:
        try:
            await self._store.set_deaths(self._partition, deaths)
        except StoreError as error:  # a full Redis accepts no counts; the work must not wait
            log_unreachable(error, partition=self._partition)

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

    async def _try_in_turn(
        self,
        trials: Sequence[Sequence[Job]],
        suspects: AbstractSet[str],
        open_effects: Container[str],
    ) -> None:
        """Run jobs in turn; a suspect counts a death until it is seen to survive."""
        with contain(
            ItemKind.TASK, self._core.metrics, passing=(LeaseLostError,), task="suspects", partition=self._partition
        ):
            for jobs in trials:
                tried = {job.effect.effect_id: job for job in jobs}
                await self._save(dict.fromkeys(tried.keys() & suspects, DEATHS_BEFORE_DEAD_LETTER))
                # The commit that dropped an effect may precede the mark.
                dropped = [name for name in tried if name not in open_effects]
                await self._save(dict.fromkeys(dropped, 0))
                running = {name: self._executor.submit(job) for name, job in tried.items() if name not in dropped}
                if tasks := [task for task in running.values() if task is not None]:
                    await asyncio.wait(tasks, timeout=TRIAL_WAIT_S)
                # A longer trial only waits for Twilio, so a later death has another cause.
                over = {name: task is not None and task.done() for name, task in running.items() if name in suspects}
                await self._save({name: 0 if is_over else ALONE_AFTER_DEATHS for name, is_over in over.items()})
