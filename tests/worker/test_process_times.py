"""How often a worker does what no one asks it for; in virtual time."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.states import State
from conferral.storage import config, outcome_queue, retention
from conferral.storage.queries import process_registry
from conferral.worker.process import Worker
from conferral.worker.wiring import Environment
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.local_system import settings_for
from tests.support.memory_redis import MemoryServer
from tests.worker.worker_cluster import ClusterClock


def worker_of(loop: VirtualLoop) -> Worker:
    settings = settings_for("redis://localhost", None, "https://example.com", CONFERRAL_OUTCOMES_TTL="3600")
    return Worker(settings, environment=Environment(clock=ClusterClock(loop, 0.0)))


@in_virtual_time
async def test_worker_reads_its_configuration_registers_and_trims_now_and_then(
    monkeypatch: pytest.MonkeyPatch, loop: VirtualLoop
) -> None:
    done: dict[str, list[float]] = {"read": [], "register": [], "trim": [], "forget": [], "warn": []}
    worker, stop = worker_of(loop), asyncio.Event()

    def note(name: str) -> Any:
        async def noted(*_given: Any, **options: Any) -> Any:
            done[name].append(round(loop.time(), 3))
            if name == "trim":
                assert options == {"outcomes_ttl_s": 3600, "dead_letters_ttl_s": 3600, "session_ttl_s": 86_400}
            if name == "read" and len(done[name]) == 3:
                raise StoreUnreachableError("away")
            return 1 if name == "read" else {}

        return noted

    monkeypatch.setattr(config, "ensure", note("read"))
    monkeypatch.setattr(process_registry, "register", note("register"))
    monkeypatch.setattr(retention, "trim", note("trim"))
    monkeypatch.setattr(outcome_queue, "forget_trimmed", note("forget"))
    monkeypatch.setattr(config, "read_warnings", note("warn"))
    loop.call_later(125.5, stop.set)
    await worker.maintain_redis(stop)
    assert done["read"] == list(range(126)), "every second"
    assert done["register"] == [at_s for at_s in range(126) if at_s != 2], "every second; the third read failed"
    assert len(done["warn"]) == 3, "once a minute"
    assert len(done["trim"]) == 2
    assert done["trim"][0] == 60
    assert done["forget"] == done["trim"]


def partition_of(waiting: int = 0, states: Sequence[State] = ()) -> Any:
    """A partition, with the states of its live sessions."""
    named = {f"s{number}": state.value for number, state in enumerate(states)}
    return SimpleNamespace(lease=SimpleNamespace(waiting=waiting), states=named)


def parts_of(partitions: dict[int, Any]) -> Any:
    return SimpleNamespace(
        ownership=SimpleNamespace(partitions=partitions, held=SimpleNamespace(is_sending_allowed=True))
    )


@in_virtual_time
async def test_gauges_follow_what_the_worker_holds(loop: VirtualLoop) -> None:
    worker, stop = worker_of(loop), asyncio.Event()
    partitions = {1: partition_of(7, [State.BRIDGED] * 500 + [State.CONFERENCED]), 2: partition_of()}
    updating = asyncio.create_task(worker.update_gauges(stop, parts_of(partitions)))

    def value(name: str, **labels: str) -> float | None:
        return worker.metrics.registry.get_sample_value(f"conferral_{name}", labels)

    await asyncio.sleep(1.0)  # a delay: virtual time
    assert [value("sessions", state=state) for state in ("bridged", "conferenced", "converting")] == [500, 1, 0]
    assert value("sessions", state="ended") is None
    assert [value("partition_lag_events", partition=number) for number in "123"] == [7, 0, None]
    del partitions[1]
    partitions[3] = partition_of(5, [State.CONVERTING])
    await asyncio.sleep(8.0)  # a delay: virtual time
    assert [value("sessions", state=state) for state in ("bridged", "conferenced", "converting")] == [0, 0, 1]
    assert [value("partition_lag_events", partition=number) for number in "123"] == [None, 0, 5]
    stop.set()
    await updating


@in_virtual_time
async def test_worker_has_connections_for_every_partition_that_it_may_hold(loop: VirtualLoop) -> None:
    made: list[dict[str, Any]] = []

    def redis(_url: str, _primary: object, **options: Any) -> Any:
        made.append(options)
        return MemoryServer(lambda: 0).client()

    settings = settings_for("redis://localhost", None, "https://example.com", CONFERRAL_PARTITIONS="16")
    Worker(settings, environment=Environment(clock=ClusterClock(loop, 0.0), redis=redis))
    sizes = [(one["max_connections"], one.get("blocking", False)) for one in made]
    assert sizes == [(256, False), (2 * 16 + 32, False), (16 + 8, True)]
