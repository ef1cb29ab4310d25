"""A worker that is stopped for longer than its lease and wakes up, and a Redis that dies and comes back."""

import asyncio
import json
import re
import signal
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import NamedTuple

import pytest

from conferral.storage.connection.client import run_or_raise
from tests.soak.invariants import Change, described, pid_of
from tests.soak.services import Process
from tests.soak.soak_environment import SWEEP_S, SoakEnvironment, gets_worse, soak_environment
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(600)]
AT_ONCE = 200
PER_SECOND = 6.0
ROUNDS = 4
#: Longer than a lease (5 s), seconds.
PAUSE_S = 8.0
#: How long a woken worker's requests are watched, seconds.
AFTER_S = 4.0
#: How late a change of a lease may be seen, seconds.
LATE_S = 0.5
#: How long Redis is away, seconds.
AWAY_S = 2.0
ALONE_S = 2 + PAUSE_S + 7 + 2 * SWEEP_S + 10
SETTLE_S = 120.0
_REQUEST = re.compile(rb"(GET|POST|DELETE) (\S+) HTTP/1\.1\r\n")
_SESSION = re.compile(r"/(?:Calls|Conferences)/([A-Za-z0-9_-]+)")


class Sent(NamedTuple):
    """One request as it left a worker."""

    #: By `time.monotonic()`.
    at_s: float
    method: str
    path: str


async def test_worker_that_wakes_with_a_stale_lease_sends_nothing(durable_redis: RedisServer, chance: Random) -> None:
    async with AsyncExitStack() as stack:
        on = await stack.enter_async_context(soak_environment(durable_redis.url, chance, workers=0))
        requests: dict[str, list[Sent]] = {}
        for _ in range(3):
            relay, noted = await stack.enter_async_context(Relay(on.sandbox.port)), list[Sent]()
            relay.on_request = partial(_note, noted)
            requests[on.services.start_worker(TWILIO_API_URL=f"http://127.0.0.1:{relay.port}").name] = noted
        await on.all_held()
        traffic = on.traffic(per_second=PER_SECOND, lasts_s=AT_ONCE / PER_SECOND)
        traffic.start()
        await on.filled(traffic, AT_ONCE, 2 * AT_ONCE / PER_SECOND)
        gets_worse(on.sandbox.faults)
        wrong: list[str] = []
        sent = 0
        for _ in range(ROUNDS):
            victim = max(on.services.workers, key=lambda worker: on.leases.held_by(worker.pid))
            lost, woke_s = await _pause(on, victim)
            while time.monotonic() < woke_s + AFTER_S:
                await asyncio.sleep(0.1)
            after = [one for one in requests[victim.name] if one.at_s > woke_s]
            sent += len(after)
            wrong += await _sent_for_others(on, victim, after)
            on.say(f"paused for {PAUSE_S:.0f} s: {len(lost)} partitions lost, in {AFTER_S:.0f} s after it woke "
                   f"{len(after)} requests, {len(wrong)} so far for partitions of others")  # fmt: skip
            await on.all_held()
        assert not wrong, "\n".join(wrong)
        on.say(f"requests of workers that had just woken: {sent}")
        await on.all_hang_up(traffic)
        await on.ends(traffic, settle_s=SETTLE_S, alone_s=ALONE_S)


async def _note(noted: list[Sent], data: bytes) -> None:
    now_s = time.monotonic()
    noted += [Sent(now_s, method.decode(), path.decode()) for method, path in _REQUEST.findall(data)]


async def _pause(on: SoakEnvironment, victim: Process) -> tuple[list[int], float]:
    """Pauses a worker; returns which partitions it has lost, and when it woke by `time.monotonic()`."""
    held = [number for number, holder in enumerate(on.leases.holders) if pid_of(holder) == victim.pid]
    victim.signal(signal.SIGSTOP)
    await asyncio.sleep(PAUSE_S)  # a delay: how long the worker is paused
    lost = [number for number in held if pid_of(on.leases.holders[number]) != victim.pid]
    woke_s = time.monotonic()
    victim.signal(signal.SIGCONT)
    return lost, woke_s


async def _sent_for_others(on: SoakEnvironment, victim: Process, sent: list[Sent]) -> list[str]:
    """Writes to Twilio for a session whose partition another worker held at that moment."""
    found = []
    taken = _taken_since(victim, sent[0].at_s) if sent else set()
    for one in sent:
        session_id = await _session_of(on, one.path)
        if one.method != "POST" or not session_id:
            continue
        number = on.keys.partition_of(session_id)
        holders = _holders_about(on.leases.changes, number, one.at_s)
        if holders and victim.pid not in map(pid_of, holders) and number not in taken:
            found.append(f"{one.method} {one.path} of partition {number}, which {holders} held")
    return found


def _taken_since(victim: Process, at_s: float) -> set[int]:
    """Partitions that a worker says to have taken since about a moment: it knows before it is seen in Redis."""
    since = datetime.fromtimestamp(time.time() - (time.monotonic() - at_s) - AFTER_S, UTC)
    lines = (json.loads(line) for line in victim.log.read_text().splitlines() if '"lease_acquired"' in line)
    return {line["partition"] for line in lines if "partition" in line and _moment(line) >= since}


def _moment(line: dict[str, str]) -> datetime:
    return datetime.fromisoformat(line["timestamp"])


async def _session_of(on: SoakEnvironment, path: str) -> str:
    match = _SESSION.search(path)
    if match is None:
        return ""
    named = match[1]
    conference = on.sandbox.model.state.conferences.get(named)
    if conference is not None:
        return str(conference.name)
    owner = await on.client.get(on.keys.call(named))
    return str(owner.decode()) if owner else named if named.startswith("CA") else ""


def _holders_about(changes: list[Change], number: int, at_s: float) -> list[str]:
    """The holder of a partition at a moment, and the next one seen a moment later: holders are polled."""
    ours = [change for change in changes if change.partition == number]
    before = [change.after for change in ours if change.at_s <= at_s]
    return before[-1:] + [change.after for change in ours if at_s < change.at_s <= at_s + LATE_S]


async def test_redis_is_killed_and_restarted_under_load(durable_redis: RedisServer, chance: Random) -> None:
    async with soak_environment(durable_redis.url, chance) as on:
        traffic = on.traffic(per_second=PER_SECOND, lasts_s=AT_ONCE / PER_SECOND)
        traffic.start()
        await on.filled(traffic, AT_ONCE, 2 * AT_ONCE / PER_SECOND)
        gets_worse(on.sandbox.faults)
        came_back: list[float] = []
        for _ in range(ROUNDS):
            before = await _commits(on)
            durable_redis.kill()
            await asyncio.sleep(AWAY_S / 4)  # a delay: how long Redis is away
            await asyncio.sleep(AWAY_S * 3 / 4)  # a delay: how long Redis is away
            await asyncio.to_thread(durable_redis.start)
            up_s = time.monotonic()
            while not any(now > then for then, now in zip(before, await _commits(on), strict=True)):
                assert time.monotonic() < up_s + 60, "nothing was committed after Redis had come back"
                await asyncio.sleep(0.02)
            came_back.append(time.monotonic() - up_s)
            await on.all_held()
            await asyncio.sleep(0.9)  # a delay: spaces the rounds
        on.say(f"Redis was away for {AWAY_S} s, {ROUNDS} times; seconds from its return to the first commit: "
               f"{described(came_back)}")  # fmt: skip
        await on.all_hang_up(traffic)
        await on.ends(traffic, settle_s=SETTLE_S, alone_s=ALONE_S)


async def _commits(on: SoakEnvironment) -> list[int]:
    requests = [("HGET", on.keys.lease(number), "commit") for number in range(on.keys.partitions)]
    return [int(number or 0) for number in await run_or_raise(on.client, *requests)]
