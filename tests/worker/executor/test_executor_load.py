"""Queues of effects: reads bypass them, and a queued dial is checked before it is sent: it may be withdrawn."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from conferral.runtime.clock import StoreClock
from conferral.runtime.errors import RateLimitedError
from conferral.statemachine.effects import Dial, Effect, ReadCalls
from conferral.statemachine.events import CallsRead, EffectFailed, EffectSucceeded
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus
from conferral.telephony.http_client import RequestResult
from conferral.telephony.parameters import PlacedCall
from conferral.worker.executor.execution import CONCURRENT_EFFECTS_MAX
from conferral.worker.executor.job import RETRIES, RetryPolicy
from conferral.worker.executor.outbox import DialStatus
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.worker.executor_harness import (
    AWAY,
    UNWANTED,
    ExecutorHarness,
    FakeCalls,
    both_ways,
    find,
    gated,
    hang_up,
    in_flight,
    read,
    redirect,
    straight,
    update,
    waiting,
)
from tests.worker.worker_cluster import ClusterClock

both_reads = pytest.mark.parametrize("read_effect", [read("look"), find("look")], ids=lambda one: one.kind)


def session(name: str = "S1", dial_id: str = "d", **target: object) -> Session:
    """A session that has dialed a target; more about whom."""
    return Session(name, parties={"target": Party("target", "target-2", dial_id=dial_id, **target)})


LEAVING = session(is_leaving=True)
#: Sessions in which no one waits for the dial `d`.
unwanted = pytest.mark.parametrize(
    "changed",
    [LEAVING, session(status=PartyStatus.LEFT), session(dial_id="another"), Session("S1")],
    ids=["leaving", "left", "dialled again", "forgotten"],
)


def review(system: ExecutorHarness, *sessions: Session) -> None:
    system.executor.cancel_unwanted_dials({one.id: one for one in sessions})


# ---- reads bypass the queues -----------------------------------------------------------------------------------------


@both_reads
async def test_nothing_waits_behind_a_slow_read_and_no_read_behind_anything(
    system: ExecutorHarness, read_effect
) -> None:
    slow, answer = asyncio.Event(), asyncio.Event()
    system.calls.script["look"].append(slow)
    system.calls.script["u"].append(answer)

    for effect in (read_effect, update("t"), update("u"), update("v"), read("r", "S2")):
        system.submit(effect)
    await system.settle()
    assert sorted(system.finished) == ["r", "t"]
    assert (in_flight(system.executor), waiting(system.executor)) == (2, 1)

    answer.set()
    await system.settle()
    assert system.finished[2:] == ["u", "v"]

    slow.set()
    await system.settle()
    assert system.finished[4:] == ["look"]


async def test_read_that_someone_waits_for_overtakes_those_in_the_background() -> None:
    """Eight slots besides the one for endings: six for reads, four of them for those in the background."""
    system = ExecutorHarness(requests_max=9)
    answers = [system.hold_answer(name) for name in (*(f"r{number}" for number in range(10)), "other")]
    for number in range(10):
        system.submit(read(f"r{number}", f"S{number}"), is_background=True)
    await system.settle()
    assert system.calls.asked == ["r0", "r1", "r2", "r3"]

    system.executor.expedite_read("S1")
    system.executor.expedite_read("S8")
    for name in ("other", "next"):
        system.submit(read(name, f"S-{name}"))
    await system.settle()
    assert system.calls.asked[4:] == ["r8", "other"], "the next one's turn is next; the first is under way"

    answers[0].set()
    await system.settle()
    assert system.calls.asked[6:] == ["next", "r4"], "the next one is answered immediately"
    for answer in answers:
        answer.set()
    await system.settle()
    assert len(system.finished) == 12


# ---- dials that have waited ------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("is_wanted", [True, False])
async def test_dial_that_stood_in_line_is_sent_only_if_it_is_still_wanted(
    system: ExecutorHarness, dial: Dial, is_wanted: bool
) -> None:
    answer = system.hold_answer("u")
    system.submit(update("u"))
    system.submit(dial)
    await system.settle()
    assert system.records.asked_status == []

    system.records.standings["d"] = DialStatus(is_wanted=is_wanted)
    answer.set()
    await system.settle()

    assert system.records.asked_status == ["d"]
    assert system.calls.asked == (["u", "d"] if is_wanted else ["u"])
    assert system.finished == ["u", "d"]
    assert isinstance(system.outcomes[1], EffectFailed) is not is_wanted


@both_ways
async def test_dial_that_waited_for_a_slot_is_rechecked(dial: Dial) -> None:
    system = ExecutorHarness(requests_max=1)
    answer = system.hold_answer("r")
    system.submit(read("r", "S2"))
    system.submit(dial)
    await system.settle()

    system.records.standings["d"] = UNWANTED
    answer.set()
    await system.settle()

    assert system.calls.asked == ["r"]
    assert isinstance(system.outcomes[1], EffectFailed)


# ---- dials that are taken back ---------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("is_in_line", [True, False], ids=["in line", "waits for a slot"])
async def test_unwanted_dial_fails_at_once_although_no_request_may_leave(
    system: ExecutorHarness, dial: Dial, is_in_line: bool
) -> None:
    system.executor.limiter.observe(RequestResult(401, 20003))
    if is_in_line:
        system.submit(update("u"))
    system.submit(dial)
    await system.settle()

    review(system, LEAVING)
    await system.settle()

    assert (system.finished, system.calls.asked) == (["d"], [])
    assert isinstance(system.outcomes[0], EffectFailed)
    system.executor.drop_partition(0)
    await system.settle()


@both_ways
@unwanted
async def test_unwanted_dial_fails_before_its_queue_has_moved(
    system: ExecutorHarness, dial: Dial, changed: Session
) -> None:
    answer = system.hold_answer("u")
    for effect in (update("u"), dial, update("v")):
        system.submit(effect)
    await system.settle()

    review(system, changed)
    await system.settle()
    assert (system.calls.asked, system.finished) == (["u"], ["d"])
    assert isinstance(system.outcomes[0], EffectFailed)

    answer.set()
    await system.settle()
    assert system.calls.asked == ["u", "v"]


async def test_dial_that_was_taken_back_is_dropped_when_the_session_ends(system: ExecutorHarness) -> None:
    answer = system.hold_answer("u")
    system.submit(update("u"))
    system.submit(straight("d"))
    await system.settle()

    review(system, LEAVING)
    system.executor.cancel_session("S1")
    await system.settle()
    answer.set()
    await system.settle()

    assert (system.calls.asked, system.finished, system.dropped) == (["u"], ["u"], 1)


# ---- Redis keeps someone waiting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_expired", [True, False])
@pytest.mark.parametrize("maybe_sent_until_s", [0.0, None])
async def test_orders_that_wait_for_their_lease_take_no_slot_from_others(
    is_expired: bool, maybe_sent_until_s: float | None
) -> None:
    """A partition may be handed over. The lease may be about to expire."""
    is_back = asyncio.Event()

    async def wait_to_send(partition: int) -> bool:
        if partition == 3:
            await is_back.wait()
        return True

    system = ExecutorHarness(
        requests_max=4,
        wait_to_send=wait_to_send,
        may_send=lambda partition: not (is_expired and partition == 3) or is_back.is_set(),
    )
    for number in range(6):
        session_id = f"S{number}"
        system.submit(redirect(f"waits-{number}", session_id), partition=3, maybe_sent_until_s=maybe_sent_until_s)
    system.submit(update("goes", "S9"))
    await system.settle()
    assert system.finished == ["goes"]

    is_back.set()
    await system.executor.drain(5)
    assert sorted(system.finished[1:]) == [f"waits-{number}" for number in range(6)]


@pytest.mark.parametrize(
    ("order", "away_s", "is_sent"),
    [(update("a"), 30.0, False), (straight("a"), 30.0, False), (gated("a"), 30.0, False), (hang_up("a"), 600.0, True)],
)
async def test_order_whose_time_is_up_when_redis_is_back_is_not_sent_unless_it_ends_something(
    order: Effect, away_s: float, is_sent: bool
) -> None:
    """The waiting party has heard something else, or has left."""

    async def wait_to_send(_partition: int) -> bool:
        away.time.s += away_s
        return True

    away = ExecutorHarness(wait_to_send=wait_to_send)
    outcome = await away.run(order)
    assert (isinstance(outcome, EffectFailed) and outcome.awaited_redis) is not is_sent
    assert isinstance(outcome, EffectSucceeded | EffectFailed)
    assert away.calls.asked == (["a"] if is_sent else [])


@pytest.mark.parametrize(
    ("effect", "is_sent", "ended_at_s"),
    [(hang_up("a"), True, 0.0), (read("a"), True, 5.0), (update("a"), False, 4.0), (straight("a"), True, 5.0)],
)
@in_virtual_time
async def test_ending_passes_a_pause_read_outlasts_it_and_others_end_at_their_deadline(
    effect: Effect, is_sent: bool, ended_at_s: float, loop: VirtualLoop
) -> None:
    system = ExecutorHarness(
        retries={**RETRIES, ReadCalls: RetryPolicy(deadline_s=3, request_timeout_s=1)},
        clock=ClusterClock(loop, 0.0),
        sleep=asyncio.sleep,
    )
    system.executor.limiter.observe(RequestResult(401, 20003))

    system.submit(effect)
    await system.executor.drain(30)

    (outcome,) = system.outcomes
    assert isinstance(outcome, CallsRead | EffectSucceeded if is_sent else EffectFailed)
    assert is_sent or not outcome.awaited_redis
    assert (round(loop.time(), 3), bool(system.calls.asked)) == (ended_at_s, is_sent)


# ---- reads of every session at the same time -------------------------------------------------------------------------


#: How long Twilio takes for one read, seconds.
LATENCY_S = 0.3
WAVES = [1_000, pytest.param(10_000, marks=pytest.mark.soak)]


class SlowCalls(FakeCalls):
    """A Twilio that takes its time, and says now and then that it is busy."""

    def __init__(self, busy_every: int = 0) -> None:
        super().__init__()
        self.busy_every = busy_every
        self.note: Any = None

    async def execute(self, effect: Effect) -> Any:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(LATENCY_S)  # a delay: of Twilio's answer, in virtual time
        self.at_once -= 1
        self.asked.append(effect.effect_id)
        is_busy = bool(self.busy_every) and len(self.asked) % self.busy_every == 0
        self.note(RequestResult(429 if is_busy else 200, 20429 if is_busy else 0))
        if is_busy:
            raise RateLimitedError(http_status=429, code=20429)
        if not isinstance(effect, ReadCalls):
            return PlacedCall("CA7")
        return CallsRead(
            session_id=effect.session_id, effect_id=effect.effect_id, read_version=effect.read_version, calls=()
        )


def world_of(loop: VirtualLoop, calls: SlowCalls) -> ExecutorHarness:
    clock = ClusterClock(loop, 0.0)
    system = ExecutorHarness(twilio=calls, clock=clock, store_clock=StoreClock(clock), sleep=asyncio.sleep)
    system.calls = calls
    calls.note = system.executor.limiter.observe
    return system


async def served(system: ExecutorHarness) -> None:
    while in_flight(system.executor) or waiting(system.executor):
        await asyncio.sleep(0.1)  # a delay: in virtual time


@pytest.mark.parametrize("count", WAVES)
@in_virtual_time
async def test_wave_of_reads_is_served_at_the_rate_of_the_slots(count: int, loop: VirtualLoop) -> None:
    calls = SlowCalls()
    system = world_of(loop, calls)
    for number in range(count):
        system.submit(read(f"r{number}", f"S{number}"))
    await served(system)

    assert system.counts == (count, 0, 0, 0)
    # First come, first served, but for those that are under way at the same time.
    assert all(abs(at - int(name[1:])) <= CONCURRENT_EFFECTS_MAX for at, name in enumerate(calls.asked))
    assert calls.at_once_max == (CONCURRENT_EFFECTS_MAX - 1) * 3 // 4
    assert loop.time() < 1.1 * LATENCY_S * count / calls.at_once_max + 1


@in_virtual_time
async def test_dial_waits_for_no_read_that_waits(loop: VirtualLoop) -> None:
    system = world_of(loop, SlowCalls())
    for number in range(1_000):
        system.submit(read(f"r{number}", f"S{number}"))
    system.submit(straight("d", "S-new"))
    await served(system)
    assert system.calls.asked.index("d") <= CONCURRENT_EFFECTS_MAX


@pytest.mark.parametrize("count", WAVES)
@in_virtual_time
async def test_no_read_of_a_wave_is_given_up_while_twilio_asks_for_less(count: int, loop: VirtualLoop) -> None:
    system = world_of(loop, SlowCalls(busy_every=50))
    for number in range(count):
        system.submit(read(f"r{number}", f"S{number}"))
    await served(system)
    executed, _, given_up, dropped = system.counts
    assert (executed, given_up, dropped) == (count, 0, 0)


def few_slots(**more: Any) -> ExecutorHarness:
    return ExecutorHarness(requests_max=2, **more)


async def test_read_that_is_withdrawn_is_not_sent_and_no_other_read_of_its_session_withdraws_it() -> None:
    system = few_slots()
    answer = asyncio.Event()
    for name, session in (("a", "S1"), ("b", "S2"), ("c", "S3"), ("d", "S4")):
        system.calls.script[name].append(answer)
        system.submit(read(name, session))
    await system.settle()
    system.executor.withdraw(read("c", "S3"))
    for name, version in (("newer", 9), ("newest", 12)):
        system.submit(replace(read(name, "S3"), read_version=version))
    system.executor.withdraw(read("a", "S1"))
    answer.set()
    await system.settle()

    assert system.calls.asked == ["a", "b", "d", "newer", "newest"]
    assert system.counts == (5, 0, 0, 1)


@in_virtual_time
async def test_read_that_waits_while_twilio_is_away_is_neither_given_up_nor_logged(capfd, loop: VirtualLoop) -> None:
    system = ExecutorHarness(clock=ClusterClock(loop, 0.0), sleep=asyncio.sleep)
    system.submit(read("r"))
    for _ in range(600):
        for _ in range(10):
            system.executor.limiter.observe(RequestResult(0, 0))
        capfd.readouterr()
        await asyncio.sleep(0.1)  # a delay: in virtual time
    await system.executor.drain(5)

    assert system.calls.asked == ["r"]
    assert system.counts == (1, 0, 0, 0)
    assert "error" not in capfd.readouterr().out


async def test_read_that_waited_for_long_has_its_whole_time_once_it_is_sent() -> None:
    system = few_slots()
    hangs = system.hold_answer("a")
    system.calls.script["b"].extend([AWAY, AWAY, None])
    system.submit(read("a", "S1"))
    system.submit(read("b", "S2"))
    await system.settle()
    system.time.s += 60
    hangs.set()
    await system.settle()

    assert system.finished == ["a", "b"]
    assert system.records.tried["b"][0] == 3


async def test_waiting_reads_of_a_session_that_ends_and_of_a_lost_partition_are_dropped() -> None:
    system = few_slots()
    answer = asyncio.Event()
    for number in range(6):
        system.calls.script[f"r{number}"].append(answer)
        system.submit(read(f"r{number}", f"S{number}"), partition=number % 2)
    await system.settle()
    system.executor.cancel_session("S4")
    system.executor.drop_partition(1)
    answer.set()
    await system.settle()

    assert sorted(system.calls.asked) == ["r0", "r2"]
    assert (waiting(system.executor), in_flight(system.executor)) == (0, 0)
    assert system.counts == (2, 0, 0, 4)
