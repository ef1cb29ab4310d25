"""Synthetic events of ordinary calls as the webhooks write them: many concurrent calls, each complete."""

from collections.abc import Iterator
from itertools import islice

from benchmarks.settings import AGENT, CUSTOMER, KEYS
from conferral.statemachine.events import CallProgressed, CallReceived, DialEnded, Event
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import Client

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


async def store(client: Client, what: list[Event]) -> None:
    """Append events to their streams."""
    for start in range(0, len(what), 1000):
        pipeline = client.pipeline(transaction=False)
        for event in what[start : start + 1000]:
            pipeline.xadd(KEYS.events(KEYS.partition_of(event.session_id)), event_codec.encode(event))
        await pipeline.execute()


async def left(client: Client) -> int:
    """Return the number of unprocessed events."""
    pipeline = client.pipeline(transaction=False)
    for partition in range(KEYS.partitions):
        pipeline.xlen(KEYS.events(partition))
    return sum(await pipeline.execute())
