"""Synthetic events of ordinary calls as the webhooks write them: many concurrent calls, each complete."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from benchmarks.support.children import Child
from benchmarks.support.redis_load import RedisMeter
from benchmarks.support.settings import AGENT, CUSTOMER, KEYS
from conferral.statemachine.events import CallProgressed, CallReceived, DialEnded, Event
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import Client

#: Poll interval for completion, in seconds; the processes themselves measure the times.
POLL_EVERY_S = 0.02
#: A backlog that takes longer is stuck, in seconds.
PATIENCE_S = 120.0
#: Sessions connected together, so that the streams stay short.
TOGETHER = 2_500
#: A closed port: these calls send no requests.
NO_API = "http://127.0.0.1:9"
#: 2026-11-20, 08:00 UTC.
_BEGAN_MS = 1_795_161_600_000


def call_sids(number: int) -> tuple[str, str]:
    """Return the SIDs of a call's two legs; the customer's is the session's id."""
    return f"CA{number:032x}", f"CA{number + (1 << 64):032x}"


def received(number: int) -> Event:
    """Return the event of an inbound call."""
    customer, _ = call_sids(number)
    return CallReceived(
        session_id=customer, token="call_received", call_sid=customer, customer_address=CUSTOMER, agent_address=AGENT
    )


def progressed(number: int, party: str, sequence: int, status: str) -> Event:
    """Return a status event of one of its legs."""
    customer, agent = call_sids(number)
    sid = agent if party == "agent" else customer
    return CallProgressed(
        session_id=customer, source=sid, sequence=sequence, occurred_at_ms=_BEGAN_MS + 1000 * sequence, party=party,
        call_sid=sid, status=status, address=AGENT if party == "agent" else CUSTOMER, customer_address=CUSTOMER,
    )  # fmt: skip


def answered(number: int) -> list[Event]:
    """Return a call's events until both parties talk."""
    return [received(number), *(progressed(number, "agent", n, status) for n, status in enumerate(_UNTIL_ANSWERED))]


_UNTIL_ANSWERED = ("initiated", "ringing", "in-progress")


def whole(number: int) -> list[Event]:
    """Return a call's events until its agent hangs up: seven."""
    customer, _ = call_sids(number)
    ended = DialEnded(
        session_id=customer, token=f"dial_ended:bridge:{customer}:1:in-progress", party="customer", call_sid=customer,
        dial="bridge", dial_call_status="completed", call_status="in-progress",
    )  # fmt: skip
    return [
        *answered(number),
        progressed(number, "agent", 3, "completed"),
        ended,
        progressed(number, "customer", 0, "completed"),
    ]


def events(count: int, at_once: int) -> list[Event]:
    """Return `count` events, with `at_once` concurrent calls."""

    def endless() -> Iterator[Event]:
        first = 0
        while True:
            for together in zip(*(whole(number) for number in range(first, first + at_once)), strict=True):
                yield from together
            first += at_once

    return list(islice(endless(), count))


def stale(number: int, sequence: int) -> Event:
    """Return a callback that changes nothing, because the agent has answered; it is decided and logged."""
    return progressed(number, "agent", sequence, "ringing")


async def store(client: Client, what: list[Event]) -> None:
    """Append events to their streams."""
    for start in range(0, len(what), 1000):
        pipeline = client.pipeline()
        for event in what[start : start + 1000]:
            pipeline.xadd(KEYS.events(KEYS.partition_of(event.session_id)), event_codec.encode(event))
        await pipeline.execute()


async def pause() -> None:
    """Wait until the next poll."""
    await asyncio.sleep(POLL_EVERY_S)


async def all_decided(client: Client, *workers: Child) -> None:
    """Wait until the streams are empty."""
    await _until_none(left, client, workers)


async def settled(client: Client, *workers: Child) -> None:
    """Wait until the streams are empty and no request is open."""

    async def left_or_open(client: Client) -> int:
        return await left(client) + await _total(client, "HLEN", KEYS.outbox)

    await _until_none(left_or_open, client, workers)


async def _until_none(count: Callable[[Client], Awaitable[int]], client: Client, workers: Iterable[Child]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await count(client):
            for worker in workers:
                worker.check()
            await pause()


async def left(client: Client) -> int:
    """Return the number of unprocessed events."""
    return await _total(client, "XLEN", KEYS.events)


async def _total(client: Client, command: str, key: Callable[[int], str]) -> int:
    """Return the sum of a command's answers over all partitions."""
    pipeline = client.pipeline()
    for partition in range(KEYS.partitions):
        pipeline.execute_command(command, key(partition))
    return sum(await pipeline.execute())


async def work_done(worker: Child) -> dict[str, Any]:
    """Return a process's usage as soon as it has noted its last result: Redis knows of it first."""
    before = await worker.used()
    while True:
        await pause()
        after = await worker.used()
        if "last_commit" in after and after["commits"] == before.get("commits"):
            return after
        before = after


def of_one_partition(count: int, first: int = 0) -> list[int]:
    """Return numbers of calls that are in the same partition as call 0, so that they share batches."""
    partition = KEYS.partition_of(call_sids(0)[0])
    found = (number for number in itertools.count(first) if KEYS.partition_of(call_sids(number)[0]) == partition)
    return list(islice(found, count))


async def decided(
    client: Client, worker: Child, events: list[Event], meter: RedisMeter | None = None
) -> tuple[dict[str, Any], float]:
    """Let a worker decide events that were stored while it was paused.

    Args:
        meter: Started once they are stored.

    Returns:
        Its usage, and the CPU seconds between its first read and its last result.
    """
    await worker.used("mark")
    async with worker.paused():
        await store(client, events)
        if meter:
            await meter.start()
    await all_decided(client, worker)
    used = await work_done(worker)
    return used, used["last_commit"]["cpu_s"] - used["first_read"]["cpu_s"]


async def connect(client: Client, numbers: Sequence[int], *workers: Child) -> None:
    """Let workers decide calls until both parties talk."""
    for start in range(0, len(numbers), TOGETHER):
        some = numbers[start : start + TOGETHER]
        await store(client, [event for number in some for event in answered(number)])
        await all_decided(client, *workers)


class Traffic:
    """Events that are stored at a steady rate."""

    #: How many were stored so far (count).
    stored = 0


@asynccontextmanager
async def traffic(
    client: Client, rate_per_s: float, event: Callable[[int], Event], tick_s: float
) -> AsyncIterator[Traffic]:
    """Store events at a steady rate meanwhile, every `tick_s` seconds; `event` makes each by its number from 0."""
    load, is_over = Traffic(), asyncio.Event()

    async def keep_storing() -> None:
        began_s = time.monotonic()
        while not is_over.is_set():
            due = int((time.monotonic() - began_s) * rate_per_s)
            await store(client, [event(number) for number in range(load.stored, due)])
            load.stored = due
            await asyncio.sleep(tick_s)

    storing = asyncio.ensure_future(keep_storing())
    try:
        yield load
    finally:
        is_over.set()
        await storing
