"""Clocks that jump, timers that fall due while nobody works, leases that seem to have run out."""

import signal
import time
from functools import partial
from pathlib import Path

import pytest

from conferral.runtime.clock import SystemClock
from conferral.worker.outside import Outside
from tests.faults.calls import all_hang_up, events_of, many_talk
from tests.faults.kit import FaultWorld
from tests.stories.kit import begins, outcome_of
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
HOUR_MS = 3_600_000


class WallClock(SystemClock):
    """This machine's clock, set wrong by as much as somebody says."""

    def __init__(self) -> None:
        self.wrong_by_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.wrong_by_ms


async def holders(world: FaultWorld) -> list[str]:
    """Who holds which partition."""
    found = [await world.client.hget(world.keys.lease(number), "holder") for number in range(world.keys.partitions)]
    return [holder.decode() for holder in found]


def epoch_of(holder: str) -> int:
    """How often the lease had been taken when this holder took it (count)."""
    return int(holder.partition(":")[0])


async def timed_out(world: FaultWorld, session_id: str) -> list[str]:
    """The timers of a session that have fired, by the names of their events."""
    return [entry["event"] for entry in await world.log(session_id) if entry["event"].endswith("_overdue")]


@pytest.mark.parametrize("jump_ms", [HOUR_MS, pytest.param(-HOUR_MS, marks=pytest.mark.soak)], ids=["forward", "back"])
async def test_fault_36_wall_clock_that_jumps_fires_no_timer_and_costs_no_lease(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, jump_ms: int
) -> None:
    """Of webhooks and workers, while one call is bridged and somebody of another is alone for a moment."""
    clock = WallClock()
    monkeypatch.setattr("tests.support.world.SystemClock", lambda: clock)
    world = FaultWorld(redis_server, CONFERRAL_LONE_GRACE="0.8")
    world.worker_options["outside"] = Outside(clock=clock)
    async with world:
        world.leaves_the_end_to_us()
        bridged, _ = await world.talking()
        customer, agent = await world.converted()
        before, fired = await holders(world), await timed_out(world, bridged.sid)
        agent.hang_up()
        left_s = time.monotonic()
        await world.until(customer.sid, **{"party.agent.status": "left"})

        clock.wrong_by_ms = jump_ms

        session = await world.until(customer.sid, state="ended")
        assert session["end_reason"] == "agent-left"
        assert time.monotonic() - left_s >= 0.8, "the grace is as long as ever"
        assert len(events_of(await world.log(customer.sid), "lone_overdue")) == 1
        assert await timed_out(world, bridged.sid) == fired
        assert await holders(world) == before
        assert (await world.command("convert", bridged.sid)).status == "done"
        await all_hang_up(world)


async def test_fault_37_leases_that_seem_to_have_run_out_change_hands_once_at_most(redis_server: RedisServer) -> None:
    """As when Redis's clock jumps, in the middle of a conversion; nothing is asked of Twilio twice."""
    async with FaultWorld(redis_server, workers=2) as world:
        (customer, agent), (other, other_agent) = await many_talk(world, 2)
        for leg in (agent, other_agent):
            world.sandbox.faults.next_rest("POST", f"/Calls/{leg.sid}", latency_s=0.3)
        before = await holders(world)
        converts = [await begins(world, "convert", one.sid) for one in (customer, other)]

        for number in range(world.keys.partitions):
            await world.client.hset(world.keys.lease(number), "until", "1")

        assert [(await outcome_of(world, one)).status for one in converts] == ["done", "done"]
        assert [world.redirects_of(leg) for leg in (agent, other_agent)] == [1, 1]
        epochs = [
            (int(old.split(":")[0]), int(new.split(":")[0]))
            for old, new in zip(before, await holders(world), strict=True)
        ]
        assert all(old <= new <= old + 1 for old, new in epochs), epochs
        await all_hang_up(world)


async def test_fault_57_timer_that_falls_due_while_no_worker_is_there_fires_once(redis_server: RedisServer) -> None:
    async with FaultWorld(redis_server, CONFERRAL_LONE_GRACE="1") as world:
        world.leaves_the_end_to_us()
        customer, agent = await world.converted()
        agent.hang_up()
        await world.eventually(lambda: is_alone(world, customer.sid), "his time alone has begun")
        await world.stop_worker()
        due_ms = await lets_go_at(world, customer.sid)
        await world.eventually(lambda: is_past(world, due_ms + 500), "his time is over, with nobody there to see")
        assert (await world.session(customer.sid))["state"] == "conferenced"

        world.start_worker()

        session = await world.until(customer.sid, state="ended")
        assert session["end_reason"] == "agent-left"
        assert len(events_of(await world.log(customer.sid), "lone_overdue")) == 1
        await all_hang_up(world, outage_s=2.0)


async def lets_go_at(world: FaultWorld, session_id: str) -> int:
    """When somebody who is alone is to be let go, Unix milliseconds."""
    return int((await world.session(session_id))["timers"].partition("lone=")[2].split()[0])


async def is_past(world: FaultWorld, moment_ms: int) -> bool:
    """Whether a moment is over by Redis's clock."""
    seconds, microseconds = await world.client.time()
    return bool(seconds * 1000 + microseconds // 1000 > moment_ms)


async def is_alone(world: FaultWorld, session_id: str) -> bool:
    return "lone=" in (await world.session(session_id)).get("timers", "")


@pytest.mark.soak
async def test_fault_57_timers_of_killed_workers_fire_once_after_take_over(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Of several calls, while the only worker is dead for longer than they wait."""
    async with FaultWorld(redis_server, workers=0, CONFERRAL_LONE_GRACE="1.5") as world:
        world.leaves_the_end_to_us()
        with world.worker_process(tmp_path, "first") as first:
            talks = await many_talk(world, 4)
            for customer, _ in talks:
                assert (await world.command("convert", customer.sid)).status == "done"
            for _, agent in talks:
                agent.hang_up()
            for customer, _ in talks:
                await world.eventually(partial(is_alone, world, customer.sid), "his time alone has begun")
            first.signal(signal.SIGKILL)
        latest_ms = max([await lets_go_at(world, customer.sid) for customer, _ in talks])
        await world.eventually(partial(is_past, world, latest_ms + 1_500), "their time is over")
        with world.worker_process(tmp_path, "second"):
            for customer, _ in talks:
                await world.until(customer.sid, state="ended")
                assert len(events_of(await world.log(customer.sid), "lone_overdue")) == 1
            await all_hang_up(world, outage_s=6.0)
