"""Effects over which workers died: counted at each take-over, then tried in small groups, alone, and at last put aside.

An effect that kills the process (out of memory, a crash in C) stays in the outbox and would kill the next holder, too.
Others stand there with it and are innocent. So after two deaths those of a few sessions are tried at a time, with a
mark; those over whose trial a worker died are tried alone, and last. A worker that dies meanwhile may have been killed
by an accident, so only three deaths in a row during its trials convict an effect: a trial that the worker survives, or
that ends with a clean stop, takes the earlier ones back.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.storage.partition.partition_store import Entry, PartitionStore
from conferral.worker.executor.job import Job

log = structlog.get_logger()

#: After how many deaths of workers an effect is tried with a mark, after how many alone, and after how many it is put
#: aside, counts.
SUSPECT_AFTER_DEATHS = 2
ALONE_AFTER_DEATHS = 3
EFFECT_DEATHS_MAX = 5
#: Sessions whose suspects are tried at the same time while nobody has died over a trial, count. One at a time would
#: hold up innocent ones for seconds, in which the next worker may die by an accident.
TRIAL_SESSIONS_MAX = 8
#: After how many deaths of workers over an entry of the stream it is put aside, count.
ENTRY_DEATHS_MAX = 3
#: How long the first try of a suspect is waited for before the next one begins, seconds.
TRIAL_WAIT_S = 1.0
REASON = "five workers died over it"


class EffectQuarantine:
    """The effects that one partition's holder has found in the outbox after a death."""

    def __init__(self, partition: int, access: PartitionStore, submit: Callable[[Job], None], metrics: Metrics) -> None:
        self._partition = partition
        self._access = access
        self._submit = submit
        self._metrics = metrics
        #: The trial, and what waits for late first tries.
        self._tasks: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Leave what has not been tried to the next holder."""
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
        """Carry out what was found: most of it at once, suspects one at a time, killers not at all.

        Args:
            jobs: What was found, oldest first.
            bodies: The outbox, by effect id.
            open_effects: The effects of a session that are still in the outbox, by id.
            after_death: Whether the holder before has died, or may have.
        """
        deaths = await self._count_deaths(jobs, after_death=after_death)
        killers = {name for name, count in deaths.items() if count >= EFFECT_DEATHS_MAX}
        for job in jobs:
            if job.effect.effect_id in killers:
                await self._dead_letter(job, bodies[job.effect.effect_id])
        # From here on nothing is waited for, so that nothing is carried out twice.
        suspects = {name: count for name, count in deaths.items() if SUSPECT_AFTER_DEATHS <= count < EFFECT_DEATHS_MAX}
        suspected = {order.effect.session_id for order in jobs if order.effect.effect_id in suspects}
        waiting: list[Job] = []
        for job in jobs:
            if job.effect.effect_id in killers:
                self._submit(replace(job, internal_error=REASON))
            elif job.effect.session_id in suspected:  # its whole session, which keeps its order
                waiting.append(job)
            else:
                self._submit(job)
        if waiting:
            self._start(self._try_all(waiting, suspects, open_effects))

    async def _count_deaths(self, jobs: Sequence[Job], *, after_death: bool) -> dict[str, int]:
        effect_ids = [order.effect.effect_id for order in jobs]
        deaths: dict[str, int] = {}
        try:
            if after_death:
                deaths = await self._access.count_deaths(self._partition, effect_ids, SUSPECT_AFTER_DEATHS)
            else:
                await self._access.end_trials(self._partition, effect_ids, SUSPECT_AFTER_DEATHS)
        except StoreError as error:  # a full Redis takes no marks, and the take-over must not wait for it
            log_unreachable(error, partition=self._partition)
        return deaths

    async def _dead_letter(self, job: Job, body: bytes) -> None:
        effect = job.effect
        fields = {b"type": b"effect", b"session": effect.session_id.encode(), b"effect": body}
        await self._access.dead_letter_effect(self._partition, Entry(effect.effect_id, fields), REASON)
        self._metrics.dead_letters.labels(REASON).inc()
        log.error(
            "effect_dead_lettered",
            partition=self._partition,
            effect=effect.kind,
            effect_id=effect.effect_id,
            session_id=effect.session_id,
            reason=REASON,
        )

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._run_contained(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run_contained(self, work: Coroutine[Any, Any, None]) -> None:
        with contain(
            ItemKind.TASK, self._metrics, passing=(LeaseLostError,), task="suspects", partition=self._partition
        ):
            try:
                await work
            except StoreError as error:
                log_unreachable(error, partition=self._partition)

    async def _try_all(
        self, jobs: Sequence[Job], suspects: Mapping[str, int], open_effects: Callable[[str], Mapping[str, object]]
    ) -> None:
        """Try suspects session by session, which keeps each one's order; the least suspected first."""
        sessions: dict[str, list[Job]] = {}
        for job in jobs:
            sessions.setdefault(job.effect.session_id, []).append(job)
        together = asyncio.Semaphore(TRIAL_SESSIONS_MAX)

        async def try_session(of_session: Sequence[Job]) -> None:
            for order in of_session:
                if order.effect.effect_id in open_effects(order.effect.session_id):
                    await self._try(order, suspects.get(order.effect.effect_id, 0))

        async def try_in_company(of_session: Sequence[Job]) -> None:
            async with together:
                await try_session(of_session)

        deaths = {name: max(suspects.get(one.effect.effect_id, 0) for one in ones) for name, ones in sessions.items()}
        async with asyncio.TaskGroup() as group:
            for name, ones in sessions.items():
                if deaths[name] < ALONE_AFTER_DEATHS:
                    group.create_task(try_in_company(ones))
        for name in sorted((name for name in sessions if deaths[name] >= ALONE_AFTER_DEATHS), key=deaths.__getitem__):
            await try_session(sessions[name])

    async def _try(self, job: Job, deaths: int) -> None:
        """Try one effect; `deaths` workers have died over it, 0 for one that only waits for its session's suspect."""
        attempted = asyncio.Event()
        effect_id = job.effect.effect_id
        if deaths:
            await self._save_deaths(effect_id, deaths + 1)
        self._submit(replace(job, on_attempted=attempted.set))
        # A slow first try does not hold up the next suspect. It only waits for Twilio by then, so a later death is not
        # taken for its work, and the deaths of earlier trials were accidents.
        trial = self._start(self._end_trial(effect_id, attempted, is_suspect=bool(deaths)))
        ended, _ = await asyncio.wait({trial}, timeout=TRIAL_WAIT_S)
        if deaths and not ended:
            await self._save_deaths(effect_id, SUSPECT_AFTER_DEATHS)

    async def _save_deaths(self, effect_id: str, deaths: int) -> None:
        try:
            await self._access.set_deaths(self._partition, effect_id, deaths)
        except StoreError as error:
            log_unreachable(error, partition=self._partition)

    async def _end_trial(self, effect_id: str, attempted: asyncio.Event, *, is_suspect: bool) -> None:
        await attempted.wait()
        if is_suspect:
            await self._access.set_deaths(self._partition, effect_id, 0)
