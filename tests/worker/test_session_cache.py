"""What a partition keeps of its sessions in memory: the cache, the gauge of states, and when the next timer is due."""

import asyncio
import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.worker.consumer import session_gauge
from conferral.worker.consumer.partition_timers import PartitionTimers
from conferral.worker.consumer.session_cache import SessionCache
from conferral.worker.consumer.session_gauge import SessionGauge


def test_session_used_least_recently_and_ended_ones_leave_the_cache() -> None:
    cache = SessionCache(2)
    sessions = {name: Session(name, version=1) for name in "abc"}
    for name in "abac":
        cache.put(sessions[name])

    assert {name: cache.get(name) for name in "abc"} == {**sessions, "b": None}
    assert len(cache) == 2
    cache.put(Session("a", State.ENDED, version=2))
    cache.put(Session("unknown", State.ENDED, version=2))
    assert (cache.get("a"), cache.get("unknown"), len(cache)) == (None, None, 1)
    cache.drop(["c", "unknown"])
    assert (cache.get("c"), len(cache)) == (None, 0)


class Sessions:
    """A partition's sessions in Redis; the first read of states waits for the gate."""

    def __init__(self, count: int) -> None:
        self.gate = asyncio.Event()
        self.reads: list[int] = []
        self._names = [f"s{number}" for number in range(count)]

    async def live_sessions(self, _partition: int) -> list[str]:
        if not self._names:
            raise StoreUnreachableError("away")
        return self._names

    async def states_of(self, session_ids: Sequence[str]) -> dict[str, State]:
        await self.gate.wait()
        self.reads.append(len(session_ids))
        return dict.fromkeys(session_ids, State.BRIDGED)


def gauge_of(sessions: Any) -> SessionGauge:
    return SessionGauge(0, sessions)


async def loaded(gauge: SessionGauge, sessions: Sessions) -> None:
    sessions.gate.set()
    while gauge._load_task is not None:
        await asyncio.sleep(0)


async def test_gauge_adds_sessions_from_before_to_what_was_decided_meanwhile(monkeypatch) -> None:
    monkeypatch.setattr(session_gauge, "CHUNK_MAX", 2)
    sessions = Sessions(5)
    gauge = gauge_of(sessions)
    gauge.start()
    await asyncio.sleep(0)
    gauge.update("s0", State.CONFERENCED)
    gauge.update("s1", State.ENDED)
    gauge.update("s9", State.BRIDGED)
    await loaded(gauge, sessions)

    assert sessions.reads == [2, 2, 1]
    assert gauge.states == {"s0": State.CONFERENCED, **dict.fromkeys(("s2", "s3", "s4", "s9"), State.BRIDGED)}
    gauge.update("s2", State.ENDED)
    gauge.update("s2", State.ENDED)
    assert "s2" not in gauge.states
    assert not gauge._ended_while_loading, "remembered only while it loads"


async def test_gauge_counts_on_without_redis() -> None:
    sessions = Sessions(0)
    gauge = gauge_of(sessions)
    gauge.stop()
    gauge.start()
    await loaded(gauge, sessions)
    gauge.update("s1", State.BRIDGED)
    assert gauge.states == {"s1": State.BRIDGED}
    sessions = Sessions(1)
    stopped = gauge_of(sessions)
    stopped.start()
    stopped.stop()
    sessions.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert stopped.states == {}


async def test_next_timer_is_the_earliest_of_those_in_redis_and_those_set_since() -> None:
    woken: list[float] = []
    due_in_redis: list[int | None] = [None, 900, 500, 500]
    set_while_firing: list[int] = []

    async def fire_timers(*_given: object) -> tuple[int, int | None]:
        for due_ms in set_while_firing:
            timers.note_set(due_ms)
        return 0, due_in_redis.pop(0)

    nothing: Any = None
    access: Any = SimpleNamespace(fire_timers=fire_timers)
    clock: Any = SimpleNamespace(now_ms=lambda: 400)
    timers = PartitionTimers(0, nothing, access, clock, lambda: woken.append(timers.ms_until_due()))
    assert timers.ms_until_due() == math.inf
    for due_ms in (700, 600, 600, 800):
        timers.note_set(due_ms)
    assert woken == [300, 200], "only an earlier one wakes the loop"

    for due_ms, until_due_ms in ((0, math.inf), (950, 500), (450, 50), (550, 100)):
        woken.clear()
        set_while_firing[:] = [due_ms, due_ms + 1] if due_ms else []
        await timers.fire()
        assert (timers.ms_until_due(), woken[-1]) == (until_due_ms, until_due_ms)
