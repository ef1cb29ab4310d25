"""A machine's clock that jumps, and timers that fall due while no one works."""

import signal
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.fault_injection.calls import all_hang_up, events_of, many_talk
from tests.fault_injection.fault_system import FaultSystem
from tests.support.fair_time import LoopClock
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
HOUR_MS = 3_600_000


class WallClock(LoopClock):
    """This machine's clock, set wrong by as much as someone says."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong_by_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.wrong_by_ms


async def holders(system: FaultSystem) -> list[str]:
    """Who holds which partition."""
    found = [await system.client.hget(system.keys.lease(number), "holder") for number in range(system.keys.partitions)]
    return [(holder or b"").decode() for holder in found]


async def timed_out(system: FaultSystem, session_id: str) -> list[str]:
    """The timers of a session that have fired, by the names of their events."""
    return [entry["event"] for entry in await system.log(session_id) if entry["event"].endswith("_overdue")]


@pytest.mark.parametrize("jump_ms", [HOUR_MS, pytest.param(-HOUR_MS, marks=pytest.mark.soak)], ids=["forward", "back"])
async def test_fault_36_wall_clock_that_jumps_fires_no_timer_and_costs_no_lease(
    redis_server: RedisServer, jump_ms: int
) -> None:
    """Of webhooks and workers, while one call is bridged and someone of another is alone for a moment."""
    system = FaultSystem(redis_server, CONFERRAL_LONE_GRACE="0.8")
    clock = system.clock = WallClock()
    async with system:
        system.end_calls_in_test()
        bridged, _ = await system.talking()
        customer, agent = await system.converted()
        before, fired = await holders(system), await timed_out(system, bridged.sid)
        agent.hang_up()
        left_s = system.clock.monotonic_s()
        await system.until(customer.sid, **{"party.agent.status": "left"})

        clock.wrong_by_ms = jump_ms

        session = await system.until(customer.sid, state="ended")
        assert session["end_reason"] == "agent-left"
        assert system.clock.monotonic_s() - left_s >= 0.8, "the grace is as long as ever"
        assert len(events_of(await system.log(customer.sid), "lone_overdue")) == 1
        assert await timed_out(system, bridged.sid) == fired
        assert await holders(system) == before
        await system.done("convert", bridged.sid)
        await all_hang_up(system)


async def lets_go_at(system: FaultSystem, session_id: str) -> int:
    """When the lone party is due to be disconnected, Unix milliseconds."""
    return int(msgspec.json.decode((await system.session(session_id))["timers"])["lone"])


async def is_past(system: FaultSystem, moment_ms: int) -> bool:
    """Whether a moment is over by Redis's clock."""
    seconds, microseconds = await system.client.time()
    return bool(seconds * 1000 + microseconds // 1000 > moment_ms)


async def is_alone(system: FaultSystem, session_id: str) -> bool:
    return "lone" in msgspec.json.decode((await system.session(session_id)).get("timers", "{}"))


@pytest.mark.processes
@pytest.mark.parametrize("calls", [1, pytest.param(4, marks=pytest.mark.soak)])
@pytest.mark.system(workers=0, CONFERRAL_LONE_GRACE="1.5")
async def test_fault_57_timers_of_killed_workers_fire_once_after_take_over(
    system: FaultSystem, tmp_path: Path, calls: int
) -> None:
    """Of several calls, while the only worker is dead for longer than they wait."""
    system.end_calls_in_test()
    with system.worker_process(tmp_path, "first") as first:
        talks = await many_talk(system, calls)
        for customer, _ in talks:
            await system.done("convert", customer.sid)
        for _, agent in talks:
            agent.hang_up()
        for customer, _ in talks:
            await system.eventually(partial(is_alone, system, customer.sid), "the time alone has begun")
        first.signal(signal.SIGKILL)
    latest_ms = max([await lets_go_at(system, customer.sid) for customer, _ in talks])
    await system.eventually(partial(is_past, system, latest_ms + 500), "their time is over")
    with system.worker_process(tmp_path, "second"):
        for customer, _ in talks:
            await system.until(customer.sid, state="ended")
            log = await system.log(customer.sid)
            assert len(events_of(log, "lone_overdue")) <= 1
            assert len([entry for entry in log if (entry["from"], entry["to"]) == ("conferenced", "ended")]) == 1
        await all_hang_up(system, outage_s=6.0)
