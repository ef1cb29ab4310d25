"""Synthetic events of ordinary calls as the webhooks write them: many concurrent calls, each complete."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from benchmarks.support.children import Child
from benchmarks.support.settings import AGENT, CUSTOMER, KEYS
from conferral.statemachine.events import CallProgressed, CallReceived, DialEnded, Event
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import Client

#: Poll interval for completion, in seconds; the processes themselves measure the times.
POLL_EVERY_S = 0.02
#: A backlog that takes longer is stuck, in seconds.
PATIENCE_S = 120.0
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
        pipeline = client.pipeline(transaction=False)
        for event in what[start : start + 1000]:
            pipeline.xadd(KEYS.events(KEYS.partition_of(event.session_id)), event_codec.encode(event))
        await pipeline.execute()


async def pause() -> None:
    """Wait until the next poll."""
    await asyncio.sleep(POLL_EVERY_S)


async def all_decided(client: Client, *workers: Child, patience_s: float = PATIENCE_S) -> None:
    """Wait until the streams are empty."""
    async with asyncio.timeout(patience_s):
        while await left(client):
            for worker in workers:
                worker.check()
            await pause()


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


async def connect(client: Client, worker: Child, numbers: Iterable[int]) -> None:
    """Let a worker decide calls until both parties talk."""
    await store(client, [event for number in numbers for event in answered(number)])
    await all_decided(client, worker)


async def left(client: Client) -> int:
    """Return the number of unprocessed events."""
    pipeline = client.pipeline(transaction=False)
    for partition in range(KEYS.partitions):
        pipeline.xlen(KEYS.events(partition))
    return sum(await pipeline.execute())


async def settled(client: Client, *workers: Child, patience_s: float = PATIENCE_S) -> None:
    """Wait until the streams are empty and no request is open."""
    async with asyncio.timeout(patience_s):
        while await left(client) or await _open_requests(client):
            for worker in workers:
                worker.check()
            await pause()


async def _open_requests(client: Client) -> int:
    pipeline = client.pipeline(transaction=False)
    for partition in range(KEYS.partitions):
        pipeline.hlen(KEYS.outbox(partition))
    return sum(await pipeline.execute())
