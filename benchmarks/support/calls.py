"""Ordinary calls as backlogs: one call is recorded, its copies have other SIDs."""

import asyncio
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from redis.asyncio import Redis

from benchmarks.support.programs import AGENT, CUSTOMER, NUMBER, POLL_S, Program, conferral
from offhook import Sandbox

PARTITIONS = 16
#: A backlog that takes longer is stuck, in seconds.
PATIENCE_S = 240.0
Entry = tuple[str, dict[bytes, bytes]]


def _partition(session_id: str) -> str:
    return f"conferral:{zlib.crc32(session_id.encode()) % PARTITIONS}"


def events_key(session_id: str) -> str:
    """Return the stream of a session's partition."""
    return f"{_partition(session_id)}:events"


def session_key(session_id: str) -> str:
    """Return the hash of a session."""
    return f"{_partition(session_id)}:session:{session_id}"


def call_sids(number: int) -> tuple[str, str]:
    """Return the SIDs of a copy's two legs; the customer's is the session's id."""
    return f"CA{number:032x}", f"CA{number + (1 << 64):032x}"


class RecordedCall:
    """What the webhooks stored for a bridged call from its start to its end."""

    def __init__(self, sids: tuple[str, str], connected: list[dict[bytes, bytes]], ended: list[dict[bytes, bytes]]):
        #: The entries until both talk, and those after that.
        self.connected, self.ended = connected, ended
        self._sids = [sid.encode() for sid in sids]

    @property
    def events(self) -> int:
        """Its number of entries."""
        return len(self.connected) + len(self.ended)

    def copy(self, number: int, entries: Iterable[dict[bytes, bytes]]) -> Iterator[Entry]:
        """Return entries of a copy, each with its stream."""
        session_id, agent = call_sids(number)
        customer_was, agent_was = self._sids
        for entry in entries:
            yield (
                events_key(session_id),
                {
                    name: value.replace(customer_was, session_id.encode()).replace(agent_was, agent.encode())
                    for name, value in entry.items()
                },
            )

    def answered(self, numbers: Iterable[int]) -> list[Entry]:
        """Return the entries until both parties talk in each of these calls."""
        return [entry for number in numbers for entry in self.copy(number, self.connected)]

    def begun(self, numbers: Iterable[int]) -> list[Entry]:
        """Return the first entry of each of these calls: it has come in."""
        return [entry for number in numbers for entry in self.copy(number, self.connected[:1])]

    def whole(self, count: int, at_once: int) -> list[Entry]:
        """Return `count` entries of whole calls, `at_once` of which go on at the same time."""
        found: list[Entry] = []
        first = 0
        while len(found) < count:
            calls = [self.copy(first + number, [*self.connected, *self.ended]) for number in range(at_once)]
            found += [entry for step in zip(*calls, strict=True) for entry in step]
            first += at_once
        return found[:count]

    def repeated(self, number: int) -> Entry:
        """Return a copy's callback that changes nothing any more; it is decided and logged."""
        return next(self.copy(number, self.connected[-1:]))


async def record(redis_url: str, redis: "Redis[bytes]") -> RecordedCall:
    """Let a local Twilio place a call, and take the entries of the streams before a worker does."""
    await redis.flushall()
    async with Sandbox() as sandbox:
        account = {"TWILIO_ACCOUNT_SID": sandbox.account_sid, "TWILIO_AUTH_TOKEN": sandbox.auth_token}
        async with conferral("webhooks", redis_url, sandbox.url, **account) as webhooks:
            sandbox.add_number(
                NUMBER, voice_url=f"{webhooks.url}/voice/inbound", status_callback=f"{webhooks.url}/voice/status"
            )
            sandbox.phone(AGENT).script(answer_after_s=0.02)
            customer = await sandbox.call_in(CUSTOMER, NUMBER)
            await sandbox.wait_until(lambda: customer.hears_now is not None and customer.hears_now.parties)
            await sandbox.wait_until_idle()
            stream, agent = events_key(customer.sid), sandbox.calls_of(AGENT)[0]
            connected = [entry for _, entry in await redis.xrange(stream)]
            async with conferral("worker", redis_url, sandbox.url, **account) as worker:
                await all_decided(redis, worker)
            agent.hang_up()
            await sandbox.wait_until(lambda: not sandbox.live_calls())
            await sandbox.wait_until_idle()
            ended = [entry for _, entry in await redis.xrange(stream)]
    await redis.flushall()
    return RecordedCall((customer.sid, agent.sid), connected, ended)


async def store(redis: "Redis[bytes]", entries: list[Entry]) -> None:
    """Append entries to their streams."""
    for start in range(0, len(entries), 1_000):
        pipeline = redis.pipeline(transaction=False)
        for stream, entry in entries[start : start + 1_000]:
            pipeline.xadd(stream, entry)
        await pipeline.execute()


async def undecided(redis: "Redis[bytes]") -> list[int]:
    """Return the number of unprocessed events of each partition."""
    return await over_partitions(redis, "XLEN", "events")


async def over_partitions(redis: "Redis[bytes]", command: str, key: str, *arguments: str) -> list[Any]:
    """Return a command's answer for this key of each partition."""
    pipeline = redis.pipeline(transaction=False)
    for partition in range(PARTITIONS):
        pipeline.execute_command(command, f"conferral:{partition}:{key}", *arguments)
    return list(await pipeline.execute())


async def all_decided(redis: "Redis[bytes]", *workers: Program) -> None:
    """Wait until the streams are empty."""
    async with asyncio.timeout(PATIENCE_S):
        while any(await undecided(redis)):
            for worker in workers:
                worker.check()
            await asyncio.sleep(POLL_S)


async def connect(redis: "Redis[bytes]", recorded: RecordedCall, numbers: range, *workers: Program) -> None:
    """Let workers decide calls until both parties talk, some at a time so that the streams stay short."""
    for start in range(numbers.start, numbers.stop, 2_500):
        await store(redis, recorded.answered(range(start, min(start + 2_500, numbers.stop))))
        await all_decided(redis, *workers)
