"""Effect quarantine: finds and dead-letters an effect that kills workers.

Such a poison pill (out of memory, a crash in C) would kill the next holder, too; other effects in the outbox are
innocent. So each takeover counts a death for every open effect. After two, the effects of a few sessions are tried at a
time, with a mark. Effects on trial when a worker died are tried last, and alone. That death may be an accident, so only
three in a row convict. Surviving a trial, or a clean stop, resets the count.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.storage.partition.partition_store import PartitionStore
from conferral.worker.dead_letters import count_dead_letter
from conferral.worker.executor.job import Job, log_fields

log = structlog.get_logger()

#: Worker deaths after which an effect is tried with a mark, tried alone, and dead-lettered.
SUSPECT_AFTER_DEATHS = 2
ALONE_AFTER_DEATHS = 3
EFFECT_DEATHS_MAX = 5
#: Sessions tried concurrently before a death during a trial, count. One at a time would delay innocent effects.
TRIAL_SESSIONS_MAX = 8
#: Worker deaths after which a stream entry is dead-lettered.
ENTRY_DEATHS_MAX = 3
#: How long, at most, a suspect's first attempt delays the next, seconds.
TRIAL_WAIT_S = 1.0
REASON = "five workers died over it"
ENTRY_REASON = "workers crashed processing it"


class EffectQuarantine:
    """Submits the effects found in the outbox after a takeover."""

    def __init__(self, partition: int, store: PartitionStore, submit: Callable[[Job], None], metrics: Metrics) -> None:
        self._partition = partition
        self._store = store
        self._submit = submit
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Leave untried effects to the next holder."""
        for task in self._tasks:
            task.cancel()

    async def submit_all(
        self,
        jobs: Sequence[Job],
        bodies: Mapping[str, bytes],
        open_effects: Callable[[str], Mapping[str, object]],
        *,
        after_death: bool,
    ) -> None:
        """Submit innocent effects at once, try suspects, dead-letter killers.

        `jobs` are oldest first; `bodies` are the raw outbox entries, by effect id.
        """
        deaths = await self._count_deaths(jobs, after_death=after_death)
        killers = {name for name, count in deaths.items() if count >= EFFECT_DEATHS_MAX}
        for job in jobs:
            if job.effect.effect_id in killers:
                await self._dead_letter(job, bodies[job.effect.effect_id])
        # No await from here on, so that no job is submitted twice.
        suspects = Counter(
            {name: count for name, count in deaths.items() if SUSPECT_AFTER_DEATHS <= count < EFFECT_DEATHS_MAX}
        )
        suspected = {job.effect.session_id for job in jobs if job.effect.effect_id in suspects}
        waiting: list[Job] = []
        for job in jobs:
            if job.effect.effect_id in killers:
                self._submit(replace(job, internal_error=REASON))
            elif job.effect.session_id in suspected:  # the whole session waits, which preserves its order
                waiting.append(job)
            else:
                self._submit(job)
        if waiting:
            self._run_in_background(partial(self._try_sessions, waiting, suspects, open_effects))

    async def _count_deaths(self, jobs: Sequence[Job], *, after_death: bool) -> dict[str, int]:
        """Return how many workers died with each effect open, by effect id."""
        effect_ids = [job.effect.effect_id for job in jobs]
        deaths: dict[str, int] = {}
        try:
            if after_death:
                deaths = await self._store.count_deaths(self._partition, effect_ids, SUSPECT_AFTER_DEATHS)
            else:
                await self._store.cap_deaths(self._partition, effect_ids, SUSPECT_AFTER_DEATHS)
        except StoreError as error:  # a full Redis accepts no marks; the takeover must not wait
            log_unreachable(error, partition=self._partition)
        return deaths

    async def _dead_letter(self, job: Job, body: bytes) -> None:
        effect = job.effect
        refusal = await self._store.dead_letter_effect(
            self._partition, effect.effect_id, effect.session_id, body, REASON
        )
        if count_dead_letter(self._metrics, effect.effect_id, REASON, refusal):
            log.error("effect_dead_lettered", partition=self._partition, **log_fields(effect), reason=REASON)

    def _run_in_background(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        # A function, because a task canceled before it begins would never await a coroutine.
        task = asyncio.get_running_loop().create_task(self._run_contained(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run_contained(self, work: Callable[[], Awaitable[None]]) -> None:
        passing = (LeaseLostError,)
        with contain(ItemKind.TASK, self._metrics, passing=passing, task="suspects", partition=self._partition):
            try:
                await work()
            except StoreError as error:
                log_unreachable(error, partition=self._partition)

    async def _try_sessions(
        self, jobs: Sequence[Job], suspects: Counter[str], open_effects: Callable[[str], Mapping[str, object]]
    ) -> None:
        """Submit jobs in order per session; sessions with fewest deaths first."""
        sessions: dict[str, list[Job]] = {}
        for job in jobs:
            sessions.setdefault(job.effect.session_id, []).append(job)
        group_slots = asyncio.Semaphore(TRIAL_SESSIONS_MAX)

        def is_open(job: Job) -> bool:
            return job.effect.effect_id in open_effects(job.effect.session_id)

        async def try_alone(session_jobs: Sequence[Job]) -> None:
            for job in session_jobs:
                if is_open(job):
                    await self._try_effect(job, suspects[job.effect.effect_id], is_open)

        async def try_in_group(session_jobs: Sequence[Job]) -> None:
            async with group_slots:
                await try_alone(session_jobs)

        deaths = {name: max(suspects[job.effect.effect_id] for job in jobs) for name, jobs in sessions.items()}
        async with asyncio.TaskGroup() as group:
            for name, session_jobs in sessions.items():
                if deaths[name] < ALONE_AFTER_DEATHS:
                    group.create_task(try_in_group(session_jobs))
        for name in sorted((name for name in sessions if deaths[name] >= ALONE_AFTER_DEATHS), key=deaths.__getitem__):
            await try_alone(sessions[name])

    async def _try_effect(self, job: Job, deaths: int, is_open: Callable[[Job], bool]) -> None:
        """Count one more death, submit an effect, and await its first attempt.

        `deaths` is 0 if the effect only waits for its session's suspect.
        """
        attempted = asyncio.Event()
        effect_id = job.effect.effect_id
        if deaths:
            await self._save_deaths(effect_id, deaths + 1)
            if not is_open(job):
                await self._save_deaths(effect_id, 0)  # the commit that dropped it may precede the mark
                return
        self._submit(replace(job, on_attempted=attempted.set))
        # By then, the effect only waits for Twilio, so it does not cause later deaths, and earlier ones were accidents.
        trial = self._run_in_background(partial(self._end_trial, effect_id, attempted, is_suspect=bool(deaths)))
        ended, _ = await asyncio.wait({trial}, timeout=TRIAL_WAIT_S)
        if deaths and not ended:
            await self._save_deaths(effect_id, SUSPECT_AFTER_DEATHS)

    async def _save_deaths(self, effect_id: str, deaths: int) -> None:
        try:
            await self._store.set_deaths(self._partition, effect_id, deaths)
        except StoreError as error:
            log_unreachable(error, partition=self._partition)

    async def _end_trial(self, effect_id: str, attempted: asyncio.Event, *, is_suspect: bool) -> None:
        """Reset a suspect's deaths after its first attempt: the worker survived."""
        await attempted.wait()
        if is_suspect:
            await self._store.set_deaths(self._partition, effect_id, 0)
