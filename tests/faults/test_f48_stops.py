"""Stops and restarts under load: of the webhooks, of workers with requests under way, of all workers in turn."""

import asyncio
import secrets
import signal
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from conferral.sandbox import SandboxCall
from conferral.sandbox.ledger import DeliveryEntry
from tests.faults.calls import all_hang_up, many_talk, nothing_waits
from tests.faults.kit import FaultWorld
from tests.faults.programs import program, signed, until_ready
from tests.stories.kit import begins, outcome_of
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.soak, pytest.mark.timeout(240)]
STOPS, SENDERS = 3, 16


async def test_fault_48_webhooks_that_are_stopped_under_load_have_stored_what_they_answered(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """No worker is there, so everything that was ever answered has to be on the streams in the end."""
    async with FaultWorld(redis_server, workers=0) as world:
        customer = await world.customer_calls()
        await world.sandbox.wait_until(lambda: of_agent(world, customer))
        for number in range(STOPS):
            answered: set[str] = set()
            with program(world, "webhooks", tmp_path / f"{number}.log") as webhooks:
                await until_ready(world, webhooks)
                async with aiohttp.ClientSession() as session:
                    load = asyncio.gather(
                        *(sends(world, session, webhooks.url, customer, answered) for _ in range(SENDERS))
                    )
                    while len(answered) < 20 * SENDERS:
                        await asyncio.sleep(0.01)
                    began_s = time.monotonic()
                    webhooks.process.send_signal(signal.SIGTERM)
                    assert await webhooks.ends() == 0, webhooks.text()
                    took_s = time.monotonic() - began_s
                    await load
            assert not answered - await stored_calls(world), "answered and not stored"
            assert took_s <= 10
            sys.stderr.write(f"fault 48: {len(answered)} callbacks answered, all stored; stopped in {took_s:.2f} s\n")
        world.start_worker()
        await world.eventually(lambda: nothing_waits(world), "everything is decided upon")
        await world.until(customer.sid, phase="connected")
        assert (await world.command("convert", customer.sid)).status == "done"
        await all_hang_up(world)


def of_agent(world: FaultWorld, customer: SandboxCall) -> list[DeliveryEntry]:
    """Callbacks of the agent's leg."""
    deliveries = world.sandbox.ledger.deliveries
    return [entry for entry in deliveries if entry.kind == "call" and entry.call_sid != customer.sid]


async def sends(
    world: FaultWorld, session: aiohttp.ClientSession, base: str, customer: SandboxCall, answered: set[str]
) -> None:
    """Tells of calls of a session that nobody knows, until nobody listens any more; notes whose were answered."""
    seen = of_agent(world, customer)[0]
    while True:
        call_sid, unknown = f"CA{secrets.token_hex(16)}", f"CA{secrets.token_hex(16)}"
        form = dict(seen.params) | {"CallSid": call_sid, "ParentCallSid": unknown, "CallStatus": "completed"}
        target, body, headers = signed(world, seen.url.replace(customer.sid, unknown), form)
        try:
            async with session.post(URL(base + target, encoded=True), data=body, headers=headers) as response:
                if response.status == 204:
                    answered.add(call_sid)
        except aiohttp.ClientConnectorError:
            return
        except aiohttp.ClientError:
            continue  # it was not answered


async def stored_calls(world: FaultWorld) -> set[str]:
    """SIDs of the calls that entries on the streams tell of."""
    found: set[str] = set()
    for number in range(world.keys.partitions):
        entries = await world.client.xrange(world.keys.events(number))
        found |= {fields[b"call_sid"].decode() for _, fields in entries if b"call_sid" in fields}
    return found


async def test_fault_49_worker_that_is_stopped_with_a_request_under_way_leaves_it_to_the_next(
    redis_server: RedisServer,
) -> None:
    """Twilio takes half a minute: the stop does not wait for it, and nothing is asked for twice."""
    async with FaultWorld(redis_server, CONFERRAL_CONVERT_TIMEOUT=20) as world:
        (customer, agent), (leaving, _) = await many_talk(world, 2)
        assert (await world.command("convert", leaving.sid)).status == "done"
        world.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=30.0)
        world.sandbox.faults.next_rest("POST", "/Conferences/*", latency_s=30.0, Status="completed")
        convert = await begins(world, "convert", customer.sid)
        end = await begins(world, "end", leaving.sid)
        await world.sandbox.wait_until(lambda: len(under_way(world)) == 2)

        began_s = time.monotonic()
        assert await world.stop_worker() == 0
        took_s = time.monotonic() - began_s

        assert took_s < 10
        left = [await world.client.hlen(world.keys.outbox(number)) for number in range(world.keys.partitions)]
        assert sum(left) >= 1, "what has no outcome stands in the outbox"
        world.start_worker()
        assert [(await outcome_of(world, one)).status for one in (convert, end)] == ["done", "done"]
        assert world.redirects_of(agent) == 1
        sys.stderr.write(f"fault 49: stopped in {took_s:.2f} s with two requests under way\n")
        await all_hang_up(world)


def under_way(world: FaultWorld) -> list[str]:
    """Requests that Twilio has not answered."""
    return [entry.path for entry in world.sandbox.ledger.rest if entry.fault == "latency" and not entry.duration_ms]


WORKERS, CALLS = 3, 60


async def test_fault_50_all_workers_are_restarted_in_turn_under_load(redis_server: RedisServer) -> None:
    """Commands go on all the while; none waits for a lease to run out, since each worker gives its own back."""
    async with FaultWorld(redis_server, workers=WORKERS, lease_ms=60_000) as world:
        talks = [talk for _ in range(CALLS // 10) for talk in await many_talk(world, 10)]
        times_s: list[float] = []
        work = asyncio.gather(*(converts_and_goes_on(world, customer, times_s) for customer, _ in talks))
        for index in range(WORKERS):
            await asyncio.sleep(0.5)  # a delay: spaces the restarts
            world.start_worker()
            assert await world.stop_worker(index) == 0
        await work
        assert len(times_s) == len(talks) * len(STEPS)
        # A lease lasts a minute here: whoever waited less was handed over.
        assert max(times_s) < 30
        assert {call.status for talk in talks for call in talk} == {"in-progress"}
        assert all(world.redirects_of(agent) == 1 for _, agent in talks)
        times_s.sort()
        p50_s, p99_s = (times_s[int(len(times_s) * part)] for part in (0.5, 0.99))
        sys.stderr.write(
            f"fault 50: {len(talks)} calls, {WORKERS} workers restarted; commands took p50 {p50_s:.2f} s, "
            f"p99 {p99_s:.2f} s, at most {times_s[-1]:.2f} s\n"
        )
        await all_hang_up(world)


STEPS = ({"kind": "convert"}, {"kind": "hold", "party": "customer"}, {"kind": "unhold", "party": "customer"})


async def converts_and_goes_on(world: FaultWorld, customer: SandboxCall, times_s: list[float]) -> None:
    for step in STEPS:
        began_s = time.monotonic()
        outcome = await world.command(session=customer.sid, timeout_s=40, **step)
        assert outcome.status == "done", f"{step} {outcome}"
        times_s.append(time.monotonic() - began_s)
