"""Effects are carried out in order within a session, side by side between sessions, each with one outcome."""

import asyncio
import random
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.statemachine.effects import Effect, ReadCalls
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.worker.executor_harness import (
    AWAY,
    BUSY,
    ELSEWHERE,
    GONE,
    IN_CONFERENCE,
    OVER,
    REFUSED,
    START_MS,
    UNKNOWN,
    ExecutorHarness,
    gated,
    hang_up,
    in_flight,
    read,
    redirect,
    update,
    waiting,
)

# ---- order -----------------------------------------------------------------------------------------------------------


async def test_effects_of_one_session_run_one_after_the_other(system: ExecutorHarness) -> None:
    answer = system.hold_answer("a")

    for effect in (redirect("a"), update("b"), redirect("c")):
        system.submit(effect)
    await system.settle()
    assert (system.calls.asked, in_flight(system.executor), waiting(system.executor)) == (["a"], 1, 2)

    answer.set()
    await system.settle()
    assert system.calls.asked == system.finished == ["a", "b", "c"]
    assert system.counts == (3, 0, 0, 0)


async def test_requests_at_the_same_time_are_bounded_and_endings_have_slots_of_their_own() -> None:
    system = ExecutorHarness(requests_max=4)
    answer = asyncio.Event()
    for number in range(6):
        system.calls.script[f"r{number}"].append(answer)
        system.submit(redirect(f"r{number}", f"S{number}"))
    await system.settle()
    assert system.calls.asked == ["r0", "r1", "r2"]

    system.submit(hang_up("h", "S9"))
    await system.settle()
    assert system.finished == ["h"]

    answer.set()
    await system.settle()
    assert len(system.finished) == 7
    assert system.calls.at_once_max <= 4


# ---- outcomes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("now_s", "time_s"), [(0.5, 0.5), (-5.0, 0.0)], ids=["later", "clock-set-back"])
async def test_time_since_the_command_and_the_commit_is_measured(
    system: ExecutorHarness, now_s: float, time_s: float
) -> None:
    system.time.s = now_s

    with capture_logs() as lines:
        await system.run(redirect("a"), command_published_at_ms=START_MS)

    assert [line["duration_ms"] for line in lines] == [1_000 * time_s]
    sample = system.metrics.registry.get_sample_value
    assert sample("conferral_command_to_rest_seconds_count") == 1
    assert sample("conferral_command_to_rest_seconds_sum") == time_s


@pytest.mark.parametrize(
    ("answer", "event", "level", "result", "status", "code"),
    [
        (None, "effect_executed", "info", "succeeded", 0, 0),
        (GONE, "effect_executed", "info", "failed", 400, 21220),
        (REFUSED, "effect_abandoned", "error", "failed", 400, 21211),
        (UNKNOWN, "effect_abandoned", "error", "unknown", 0, 0),
    ],
)
async def test_retries_and_then_the_outcome_are_logged_and_counted(
    system: ExecutorHarness, answer: Any, event: str, level: str, result: str, status: int, code: int
) -> None:
    system.calls.script["d"].extend([BUSY, answer])

    with capture_logs() as lines:
        await system.run(gated("d"))

    retried, done = lines
    assert (retried["event"], retried["log_level"]) == ("effect_retried", "warning")
    assert (done["event"], done["log_level"]) == (event, level)
    assert all((line["effect_id"], line["session_id"], line["party"]) == ("d", "S1", "target") for line in lines)
    assert (done["outcome"], done["status"], done["code"], done["attempt"]) == (result, status, code, 2)
    assert "reason" not in done
    sample = system.metrics.registry.get_sample_value
    assert sample("conferral_effects_total", {"kind": "create_call", "outcome": result}) == 1
    assert sample("conferral_effect_retries_total", {"kind": "create_call"}) == 1


# ---- stopping --------------------------------------------------------------------------------------------------------


async def test_drain_waits_for_everything_taken_on(system: ExecutorHarness) -> None:
    answer = system.hold_answer("a")
    system.submit(redirect("a"))
    system.submit(redirect("b"))
    await system.settle()

    drain = asyncio.create_task(system.executor.drain(5))
    await system.settle()
    system.submit(redirect("c", "S2"))
    answer.set()
    await drain

    assert system.finished == ["a", "b"]
    assert system.counts == (2, 0, 0, 1)


@pytest.mark.parametrize("of_partition", [False, True])
@in_virtual_time
async def test_executor_waits_for_requests_as_long_as_it_may(of_partition: bool, loop: VirtualLoop) -> None:
    system = ExecutorHarness()
    for number, ends_after_s in enumerate((0.5, 60.0)):
        gate = asyncio.Event()
        loop.call_later(ends_after_s, gate.set)
        system.calls.script[f"r{number}"].extend([gate, None])
        system.submit(update(f"r{number}", f"S{number}"))
    await system.settle()
    began_s = loop.time()
    await (system.executor.drain_partition(0, 1.5) if of_partition else system.executor.drain(1.5))
    assert loop.time() - began_s == pytest.approx(1.5)
    assert system.finished == ["r0"]
    assert in_flight(system.executor) == 0


@in_virtual_time
async def test_job_that_waits_for_its_next_attempt_does_not_delay_a_handover(loop: VirtualLoop) -> None:
    system, answer = ExecutorHarness(), asyncio.Event()
    system.time.gate = asyncio.Event()
    system.calls.script["r"].extend([answer, BUSY])
    system.submit(update("r"))
    await system.settle()
    loop.call_later(0.3, answer.set)
    began_s = loop.time()
    await system.executor.drain_partition(0, 2.0)
    assert 0.3 <= loop.time() - began_s <= 0.351
    assert (system.finished, in_flight(system.executor)) == ([], 0)


# ---- all at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
async def test_each_order_has_one_outcome_or_is_dropped_and_sessions_keep_their_order(seed: int) -> None:
    chance = random.Random(seed)
    system = ExecutorHarness(requests_max=3)
    orders: list[Effect] = []
    for number in range(60):
        name, session = f"e{number:02}", f"S{chance.randrange(6)}"
        effect = chance.choices([redirect, update, read, hang_up], [4, 2, 3, 1])[0](name, session)
        orders.append(effect)
        troubles = [BUSY, AWAY, UNKNOWN, REFUSED, GONE, None, None, None]
        system.calls.script[name].extend(chance.choice(troubles) for _ in range(3))
        system.calls.reads[name].extend(chance.choice([IN_CONFERENCE, ELSEWHERE, OVER, BUSY]) for _ in range(3))
        system.submit(effect, partition=chance.randrange(2), maybe_sent_until_s=0.0 if chance.random() < 0.2 else None)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if chance.random() < 0.02:
            system.executor.drop_partition(chance.randrange(2))
    await system.executor.drain(20)

    assert len(set(system.finished)) == len(system.finished)
    assert system.dropped == len(orders) - len(system.finished)
    assert (in_flight(system.executor), waiting(system.executor)) == (0, 0)
    assert system.calls.at_once_max <= 3
    in_line = {order.effect_id for order in orders if not (order.is_ending or isinstance(order, ReadCalls))}
    for session in {order.session_id for order in orders}:
        mine = [o.effect_id for o in system.outcomes if o.session_id == session and o.effect_id in in_line]
        assert mine == sorted(mine)
