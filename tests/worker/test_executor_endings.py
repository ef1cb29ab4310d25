"""Endings overtake everything of their session, and nothing is sent without the lease."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conferral.runtime.errors import LeaseLostError
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import EffectFailed
from conferral.worker.executor import ExecutorPolicy, Outcome
from tests.worker.executor_world import BUSY, ELSEWHERE, UNKNOWN, FakeRecords, World, hang_up, read, redirect, update


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    assert (world.executor.in_flight, world.executor.waiting) == (0, 0)


# ---- endings ---------------------------------------------------------------------------------------------------------


async def test_ending_runs_beside_what_is_in_flight_and_drops_what_is_unsent(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    for effect in (redirect("a"), redirect("b"), update("c")):
        world.submit(effect)
    await world.settle()

    world.submit(hang_up("h"))
    world.submit(hang_up("i"))
    await world.settle()
    assert world.finished == ["h", "i"]

    answer.set()
    await world.settle()
    assert world.calls.asked == ["a", "h", "i"]
    assert world.finished == ["h", "i", "a"]
    assert world.counts == (3, 0, 0, 2)


async def test_ending_drops_what_was_submitted_in_the_same_turn(world: World) -> None:
    world.submit(redirect("a"))
    world.submit(hang_up("h"))
    await world.settle()

    assert world.calls.asked == world.finished == ["h"]
    assert world.counts == (1, 0, 0, 1)


async def test_ending_drops_what_waits_for_its_next_try(world: World) -> None:
    world.time.gate = asyncio.Event()
    world.calls.script["a"].append(BUSY)
    world.submit(redirect("a"))
    await world.settle()

    world.submit(hang_up("h"))
    await world.settle()

    assert world.calls.asked == ["a", "h"]
    assert world.finished == ["h"]
    assert world.counts == (1, 0, 0, 1)


async def test_ending_drops_what_waits_for_a_slot() -> None:
    world = World(ExecutorPolicy(requests_max=2, reserved_for_endings=1))
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    world.submit(redirect("a", "S1"))
    world.submit(redirect("b", "S2"))
    await world.settle()

    world.submit(hang_up("h", "S2"))
    answer.set()
    await world.settle()

    assert world.calls.asked == ["a", "h"]
    assert world.counts == (2, 0, 0, 1)


async def test_ending_leaves_other_sessions_alone(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    world.submit(redirect("a", "S1"))
    world.submit(read("b", "S1"))

    world.submit(hang_up("h", "S2"))
    answer.set()
    await world.settle()

    assert sorted(world.finished) == ["a", "b", "h"]


async def test_request_in_flight_is_not_repeated_after_an_ending(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].extend([answer, BUSY])
    world.submit(redirect("a"))
    await world.settle()

    world.submit(hang_up("h"))
    answer.set()
    await world.settle()

    assert world.calls.asked == ["a", "h"]
    failed = world.outcomes[-1]
    assert isinstance(failed, EffectFailed)
    assert failed.http_status == 429
    assert world.time.sleeps == []


async def test_redirect_in_doubt_is_not_sent_again_after_an_ending(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].extend([answer, ELSEWHERE])
    world.submit(redirect("a"))
    await world.settle()

    world.submit(hang_up("h"))
    answer.set()
    await world.settle()

    assert world.calls.asked.count("a") == 1
    assert isinstance(world.outcomes[-1], EffectFailed)


async def test_session_goes_on_after_an_ending_effect(world: World) -> None:
    world.submit(redirect("a"))
    world.submit(hang_up("h"))
    world.submit(read("b"))
    await world.settle()

    assert sorted(world.finished) == ["b", "h"]


async def test_hang_up_that_waits_for_its_next_try_outlives_the_session(world: World) -> None:
    world.time.gate = asyncio.Event()
    world.calls.script["stray"].extend([BUSY, None])
    world.submit(hang_up("stray"), ends_session=False)
    await world.settle()

    world.executor.withdraw("S1")
    world.submit(hang_up("h"))
    world.time.gate.set()
    await world.settle()

    assert world.calls.asked == ["stray", "h", "stray"]
    assert world.counts == (2, 1, 0, 0)


# ---- leases ----------------------------------------------------------------------------------------------------------


async def test_nothing_is_sent_without_the_lease(world: World) -> None:
    world.lost.add(3)

    world.submit(redirect("a"), partition=3)
    world.submit(read("b"), partition=3)
    await world.settle()

    assert (world.calls.asked, world.outcomes) == ([], [])
    assert world.counts == (0, 0, 0, 2)


async def test_lease_is_asked_for_before_every_request(world: World) -> None:
    world.calls.script["a"].extend([BUSY, UNKNOWN, None])
    world.calls.looks["a"].append(ELSEWHERE)

    await world.run(redirect("a"))

    assert world.permissions == len(world.calls.asked)
    assert world.calls.asked.count("a") == 3


async def test_lease_that_is_lost_between_two_tries_drops_the_order(world: World) -> None:
    world.time.gate = asyncio.Event()
    world.calls.script["h"].append(BUSY)
    world.submit(hang_up("h"))
    await world.settle()

    world.lost.add(0)
    world.time.gate.set()
    await world.settle()

    assert (world.calls.asked, world.outcomes) == (["h"], [])
    assert world.counts == (0, 0, 0, 1)


async def test_dropped_partition_forgets_what_is_not_under_way(world: World) -> None:
    answer = asyncio.Event()
    world.time.gate = asyncio.Event()
    world.calls.script["a"].append(answer)
    world.calls.script["c"].append(BUSY)
    world.calls.script["e"].append(answer)
    world.submit(redirect("a", "S1"), partition=1)
    world.submit(redirect("b", "S1"), partition=1)
    world.submit(redirect("c", "S2"), partition=1)
    world.submit(redirect("d", "S2"), partition=1)
    world.submit(redirect("e", "S3"), partition=2)
    world.submit(redirect("f", "S3"), partition=2)
    await world.settle()

    world.executor.drop_partition(1)
    await world.settle()
    answer.set()
    await world.settle()

    assert world.calls.asked == ["a", "c", "e", "f"]
    assert world.finished == ["a", "e", "f"]
    assert world.counts == (3, 0, 0, 3)


async def test_dropped_partition_leaves_doubts_to_the_successor(world: World) -> None:
    world.calls.script["a"].append(UNKNOWN)
    world.calls.looks["a"].append(asyncio.Event())
    world.submit(redirect("a"), partition=1)
    await world.settle()

    world.executor.drop_partition(1)
    await world.settle()

    assert (world.calls.asked, world.outcomes) == (["a", "look a"], [])
    assert world.counts == (0, 0, 0, 1)


async def test_outcome_that_finds_the_lease_gone_is_dropped() -> None:
    class Refusing(FakeRecords):
        async def finish(self, effect: Effect, outcome: Outcome) -> Effect | None:
            raise LeaseLostError

    world = World(records=Refusing())

    world.submit(redirect("a"))
    world.submit(redirect("b"))
    await world.settle()

    assert world.calls.asked == ["a", "b"]
    assert world.executor.dropped == 2
