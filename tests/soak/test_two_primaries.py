"""The primary and one worker are cut off from the rest in the middle of dials: no one is dialed twice."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from conferral.runtime.errors import StoreError
from conferral.storage import command_stream
from offhook import CallHandle
from tests.soak.invariants import until
from tests.soak.soak_environment import SWEEP_S, SoakEnvironment, soak_environment
from tests.support.local_system import NUMBER
from tests.support.phones import rings
from tests.support.redis_sentinels import SentinelServers
from tests.support.split_network import SplitNetwork
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(300)]
#: Where the first primary, one Sentinel, and one worker are.
ISLAND = "127.0.0.2"
#: What docs/redis.md names; `SentinelServers` has the rest of it: min-replicas-to-write 1, min-replicas-max-lag 2.
DOWN_AFTER_MS = 5_000
#: How long a worker that is cut off with the primary may send, seconds: the lag, two seconds until Redis refuses its
#: writes, and the rest of its lease.
SENDS_S = 6.0
#: How long they are cut off, seconds: well beyond all ring times.
CUT_S = 30.0
CALLERS, APART_S = 40, 0.03
TALKING_S, FAILOVER_S, SETTLE_S = 60.0, 60.0, 120.0
ALONE_S = 2 + CUT_S + 2 * SWEEP_S + 10


async def test_worker_that_is_cut_off_with_the_primary_stops_before_another_begins(
    redis_program: Path, chance: Random
) -> None:
    with (
        SplitNetwork() as network,
        SentinelServers(redis_program, down_after_ms=DOWN_AFTER_MS, network=network, apart=ISLAND) as servers,
    ):
        async with soak_environment(servers.url, chance, workers=1) as on, Relay(on.sandbox.port) as to_twilio:
            sent: list[float] = []

            async def note(_request: bytes) -> None:
                sent.append(time.monotonic())

            to_twilio.on_request = note
            mainland = on.services.workers[0]
            on.services.start_worker_at(ISLAND, TWILIO_API_URL=f"http://127.0.0.1:{to_twilio.port}")
            await on.is_fair()
            customers = await callers(on)
            dialing = asyncio.create_task(dial(on, customers))
            await asyncio.sleep(CALLERS * APART_S / 2)  # a delay: half of them are being dialed
            network.cut_off(ISLAND)
            cut_s = time.monotonic()
            await dialing
            await asyncio.to_thread(servers.wait_until_replaced, servers.first)
            await until(lambda: on.leases.shares() == {mainland.pid: on.keys.partitions}, FAILOVER_S, "one holds all")
            held_s = time.monotonic()
            await asyncio.sleep(cut_s + CUT_S - held_s)  # a delay: how long they are cut off
            network.heal()
            last_s = max(sent)
            await asyncio.to_thread(servers.wait_until_whole)
            await on.is_fair()
            for customer in customers:
                customer.hang_up()
            await on.ends(settle_s=SETTLE_S, alone_s=ALONE_S)
            assert any(cut_s - 1 < at_s < cut_s for at_s in sent)
            assert last_s - cut_s <= SENDS_S + on.stalls.lost_s(cut_s, cut_s + SENDS_S)
            assert last_s < held_s


async def callers(on: SoakEnvironment) -> list[CallHandle]:
    """They talk to their agents."""
    customers = [await on.sandbox.call_in(f"+1415555{number:04}", NUMBER) for number in range(CALLERS)]
    await until(lambda: all(one.hears_now and one.hears_now.parties for one in customers), TALKING_S, "all talk")
    return customers


async def dial(on: SoakEnvironment, customers: list[CallHandle]) -> None:
    """Agents bring in people whose phones ring, and who don't pick up; one after the other."""
    async with asyncio.TaskGroup() as giving:
        for number, customer in enumerate(customers):
            to = f"client:target_{number}"
            on.sandbox.phone(to).script_in_turn(rings())
            giving.create_task(transfer(on, customer, to))
            await asyncio.sleep(APART_S)  # a delay: the pace


async def transfer(on: SoakEnvironment, customer: CallHandle, to: str) -> None:
    """Gives the command once: where it can't be stored, no one is dialed."""
    given = {"type": "transfer", "session": customer.sid, "to": to, "mode": "warm"}
    with suppress(StoreError):
        await command_stream.publish(on.client, on.keys, given)
