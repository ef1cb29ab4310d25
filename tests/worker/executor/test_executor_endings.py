"""Endings overtake everything of their session, and nothing is sent without the lease."""

import asyncio

import pytest

from conferral.runtime.errors import LeaseLostError
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.worker.executor.job import Job, JobResult
from tests.worker.executor_harness import (
    BUSY,
    ELSEWHERE,
    START_MS,
    UNKNOWN,
    ExecutorHarness,
    FakeRecords,
    announcement,
    find,
    hang_up,
    read,
    redirect,
    straight,
    succeeded,
    update,
)

# ---- endings ---------------------------------------------------------------------------------------------------------


async def test_ending_runs_beside_what_is_in_flight_and_drops_what_is_unsent(system: ExecutorHarness) -> None:
    answer = system.hold_answer("a")
    for effect in (redirect("a"), redirect("b"), update("c")):
        system.submit(effect)
    await system.settle()

    system.submit(hang_up("h"))
    system.submit(hang_up("i"))
    await system.settle()
    assert system.finished == ["h", "i"]

    answer.set()
    await system.settle()
    assert system.calls.asked == ["a", "h", "i"]
    assert system.finished == ["h", "i", "a"]
    assert system.counts == (3, 0, 0, 2)


async def test_endings_leave_the_search_that_was_submitted_with_them(system: ExecutorHarness) -> None:
    for effect in (hang_up("h"), find("f"), hang_up("i")):
        system.executor.submit(Job(effect=effect, partition=0, committed_at_ms=START_MS))
    await system.settle()

    assert sorted(system.finished) == ["f", "h", "i"]


async def test_ending_drops_what_waits_for_its_next_try(system: ExecutorHarness) -> None:
    system.time.gate = asyncio.Event()
    system.calls.script["a"].append(BUSY)
    system.submit(redirect("a"))
    await system.settle()

    system.submit(hang_up("h"))
    await system.settle()

    assert system.calls.asked == ["a", "h"]
    assert system.finished == ["h"]
    assert system.counts == (1, 0, 0, 1)


@pytest.mark.parametrize("effect", [redirect("a"), read("a")], ids=lambda effect: effect.kind)
async def test_request_in_flight_is_not_repeated_after_an_ending(system: ExecutorHarness, effect: Effect) -> None:
    answer = asyncio.Event()
    system.calls.script["a"].extend([answer, BUSY])
    system.submit(effect)
    await system.settle()

    system.submit(hang_up("h"))
    answer.set()
    await system.settle()

    assert system.calls.asked == ["a", "h"]
    failed = system.outcomes[-1]
    assert isinstance(failed, EffectFailed)
    assert failed.http_status == 429
    assert system.time.sleeps == []


async def test_unconfirmed_redirect_is_not_sent_again_after_an_ending(system: ExecutorHarness) -> None:
    answer = asyncio.Event()
    system.calls.script["a"].append(UNKNOWN)
    system.calls.reads["a"].extend([answer, ELSEWHERE])
    system.submit(redirect("a"))
    await system.settle()

    system.submit(hang_up("h"))
    answer.set()
    await system.settle()

    assert system.calls.asked.count("a") == 1
    assert isinstance(system.outcomes[-1], EffectUnknown), "no list need show where it is"


async def test_hang_up_that_waits_for_its_next_try_outlives_the_session(system: ExecutorHarness) -> None:
    system.time.gate = asyncio.Event()
    system.calls.script["stray"].extend([BUSY, None])
    system.submit(hang_up("stray"), ends_session=False)
    await system.settle()

    system.executor.cancel_session("S1")
    system.submit(hang_up("h"))
    system.time.gate.set()
    await system.settle()

    assert system.calls.asked == ["stray", "h", "stray"]
    assert system.counts == (2, 1, 0, 0)


# ---- leases ----------------------------------------------------------------------------------------------------------


async def test_lease_is_checked_before_every_request(system: ExecutorHarness) -> None:
    """Before the job asks for a slot, and again once it has one."""
    system.calls.script["a"].extend([BUSY, UNKNOWN, None])
    system.calls.reads["a"].append(ELSEWHERE)

    await system.run(redirect("a"))

    assert system.permissions == 2 * len(system.calls.asked)
    assert system.calls.asked.count("a") == 3


async def test_verification_whose_lease_is_gone_when_it_has_its_connection_is_sent_later() -> None:
    answers = iter([False])
    system = ExecutorHarness(may_send=lambda _partition: next(answers, True))
    system.calls.reads["a"].append("CA9")

    outcome = await system.run(straight("a"), maybe_sent_until_s=0.0)

    assert outcome == succeeded(straight("a"), "CA9")
    assert (system.calls.asked, len(system.time.sleeps)) == (["look a"], 1)


async def test_lease_that_is_lost_between_two_tries_drops_the_order(system: ExecutorHarness) -> None:
    system.time.gate = asyncio.Event()
    system.calls.script["h"].append(BUSY)
    system.submit(hang_up("h"))
    await system.settle()

    system.lost.add(0)
    system.time.gate.set()
    await system.settle()

    assert (system.calls.asked, system.outcomes) == (["h"], [])
    assert system.counts == (0, 0, 0, 1)


async def test_dropped_partition_forgets_what_is_not_under_way(system: ExecutorHarness) -> None:
    answer = asyncio.Event()
    system.time.gate = asyncio.Event()
    system.calls.script["a"].append(answer)
    system.calls.script["c"].append(BUSY)
    system.calls.script["e"].append(answer)
    system.submit(redirect("a", "S1"), partition=1)
    system.submit(redirect("b", "S1"), partition=1)
    system.submit(redirect("c", "S2"), partition=1)
    system.submit(redirect("d", "S2"), partition=1)
    system.submit(redirect("e", "S3"), partition=2)
    system.submit(redirect("f", "S3"), partition=2)
    await system.settle()

    system.executor.drop_partition(1)
    await system.settle()
    answer.set()
    await system.settle()

    assert system.calls.asked == ["a", "c", "e", "f"]
    assert system.finished == ["a", "e", "f"]
    assert system.counts == (3, 0, 0, 3)


async def test_stopping_worker_leaves_only_what_the_next_owner_may_send(system: ExecutorHarness) -> None:
    """An announcement is marked before its first request: after that, the next owner could not repeat it."""
    system.time.gate = asyncio.Event()
    accepted = asyncio.Event()
    accepted.set()
    system.calls.script["a"].extend((BUSY, accepted))
    system.calls.script["b"].append(BUSY)
    system.submit(announcement("a", "S1"), partition=1)
    system.submit(redirect("b", "S2"), partition=1)
    await system.settle()

    system.executor.leave_partition(1)
    await system.settle()
    system.time.gate.set()
    await system.settle()

    assert system.calls.asked == ["a", "b", "a"]
    assert system.finished == ["a"]


async def test_outcome_that_finds_the_lease_gone_is_dropped() -> None:
    class Refusing(FakeRecords):
        async def finish(self, effect: Effect, outcome: JobResult) -> Effect | None:
            raise LeaseLostError

    system = ExecutorHarness(outbox=Refusing())

    system.submit(redirect("a"))
    system.submit(redirect("b"))
    await system.settle()

    assert system.calls.asked == ["a", "b"]
    assert system.dropped == 2
