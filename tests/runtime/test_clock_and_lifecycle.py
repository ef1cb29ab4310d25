"""The clocks, and how a process starts, stops and notices that a part of it is gone."""

import asyncio
import itertools
import signal
import time

import pytest
from structlog.testing import capture_logs

from conferral.runtime import lifecycle
from conferral.runtime.clock import RemoteClock, StoreClock, SystemClock
from conferral.runtime.errors import SettingsError
from tests.support.hands import Hands
from tests.support.strange_errors import ANY_ERRORS


@pytest.fixture
def clock() -> Hands:
    return Hands(wall_ms=1_000_000)


@pytest.fixture
def store_clock(clock) -> StoreClock:
    """It has just seen that Redis's time is 5,000 s."""
    made = StoreClock(clock)
    made.observe(5_000_000)
    return made


def test_redis_time_advances_by_our_monotonic_clock_and_no_step_of_our_wall_clock_changes_it(clock, store_clock):
    clock.now_s += 1.5
    clock.now_ms += 3_600_000
    assert store_clock.now_ms() == 5_001_500


@pytest.mark.parametrize("step_ms", [1_000, -1_000, 2_000, -2_000, 3_600_000, -3_600_000])
def test_redis_time_that_is_set_is_followed_by_a_hundredth_until_it_is_reached(clock, store_clock, step_ms):
    shown_ms = [store_clock.now_ms()]
    for reading in range(1, 401):
        clock.now_s += 0.5
        store_clock.observe(5_000_000 + 500 * reading + step_ms)
        shown_ms.append(store_clock.now_ms())
    assert {490 <= later - earlier <= 510 for earlier, later in itertools.pairwise(shown_ms)} == {True}
    apart_ms = 5_200_000 + step_ms - shown_ms[-1]
    assert abs(apart_ms) == pytest.approx(max(0, abs(step_ms) - 2_000), abs=2)


def test_drift_of_redis_time_is_followed(clock, store_clock):
    for reading in range(1, 2_001):
        clock.now_s += 0.5
        store_clock.observe(5_000_000 + 501 * reading)
    assert abs(store_clock.now_ms() - (5_000_000 + 501 * 2_000)) <= 2


def test_answer_that_was_long_in_coming_changes_nothing(clock, store_clock):
    """It was read at some moment since it was asked for; a process may have been stopped in between."""
    requested_at_s = clock.now_s
    clock.now_s += 30.0
    store_clock.observe(5_000_010, requested_at_s)
    assert store_clock.now_ms() == 5_030_000


@pytest.mark.parametrize("ahead_ms, caught_up_ms", [(3_600_000, 3_600_000), (-1, 0), (86_400_001, 0)])
def test_worker_that_starts_behind_the_others_catches_up_with_their_sessions(
    clock, store_clock, ahead_ms, caught_up_ms
):
    store_clock.catch_up(5_000_000 + ahead_ms)
    assert store_clock.now_ms() == 5_000_000 + caught_up_ms


def test_a_sessions_wrong_time_does_not_move_a_clock_in_use(store_clock):
    store_clock.start_use()
    store_clock.catch_up(8_600_000)
    assert store_clock.now_ms() == 5_000_000


def test_remote_clock_keeps_its_least_late_reading(clock):
    """Each is in whole seconds, so up to a second late; the clock itself may be set back."""
    remote = RemoteClock(clock)
    assert remote.now_ms() is None
    for after_s, reading_ms, shown_ms in [(0, 9_000, 9_000), (0.9, 10_000, 10_000), (1.5, 11_000, 11_500)]:
        clock.now_s += after_s
        remote.observe(reading_ms)
        assert abs(remote.now_ms() - shown_ms) <= 1
    clock.now_s += 3_600
    remote.observe(3_000)
    assert remote.now_ms() == 3_000


def test_system_clock_counts_the_time_asleep_where_there_is_a_clock_that_does():
    if hasattr(time, "CLOCK_BOOTTIME"):
        before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert before_s <= SystemClock().monotonic_s() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    else:
        assert SystemClock().monotonic_s() <= time.monotonic()


@pytest.fixture
def default_sighup():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
    yield signal.SIG_DFL
    signal.signal(signal.SIGHUP, before)


def test_sighup_is_left_alone_where_nothing_is_to_be_done(default_sighup):
    async def main(stop: asyncio.Event) -> int:
        return int(signal.getsignal(signal.SIGHUP) != default_sighup)

    assert lifecycle.run(main) == 0
    assert lifecycle.run(main, on_hangup=lambda: None) == 1
    assert signal.getsignal(signal.SIGHUP) == default_sighup


async def quits() -> None:
    return


async def fails() -> None:
    raise ValueError


async def finds() -> None:
    raise SettingsError(("port 80 can't be had",))


def run_tasks(*tasks, stops: bool = False) -> int:
    """The exit code of a process with these tasks, and with two that wait for its stop."""

    async def main(stop: asyncio.Event) -> int:
        async def waits() -> None:
            await stop.wait()

        if stops:
            asyncio.get_running_loop().call_soon(stop.set)
        named = {task.__name__: task() for task in tasks}
        return await lifecycle.run_until_stopped(stop, {"waits": waits(), **named, "waits too": waits()})

    return lifecycle.run(main)


def test_task_that_fails_stops_the_process():
    assert run_tasks(fails) == 1


def test_a_wrong_setting_that_a_task_finds_is_raised_and_nothing_else_is_logged():
    with capture_logs() as lines, pytest.raises(SettingsError, match=r"^port 80 can't be had$"):
        run_tasks(finds)
    assert lines == []


def test_task_that_ends_by_itself_stops_the_process_and_is_the_only_one_logged():
    with capture_logs() as lines:
        assert run_tasks(quits) == 1
    assert [(line["event"], line["task"]) for line in lines] == [("task_ended", "quits")]


def test_any_error_in_a_task_that_no_one_awaits_is_logged_and_stops_nothing():
    async def main(stop: asyncio.Event) -> int:
        loop = asyncio.get_running_loop()
        for make in ANY_ERRORS.values():
            loop.call_exception_handler({"message": "a task failed", "exception": make()})
        return int(stop.is_set())

    with capture_logs() as lines:
        assert lifecycle.run(main) == 0
    assert {line["event"] for line in lines} == {"unexpected_error", "event_loop_error"}
    assert len(lines) == len(ANY_ERRORS)


def test_process_without_memory_ends():
    def fail() -> None:
        raise MemoryError

    async def main(stop: asyncio.Event) -> int:
        asyncio.get_running_loop().call_soon(fail)
        await stop.wait()
        return 0

    assert lifecycle.run(main) == 1
