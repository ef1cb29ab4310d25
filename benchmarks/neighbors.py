"""How long do callbacks wait for their decision next to a call with constant speaker events?"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from benchmarks import webhooks
from benchmarks.support import backlog
from benchmarks.support.children import Child
from benchmarks.support.figures import Figures, percentile
from benchmarks.support.redis_load import pinned_client
from benchmarks.support.settings import ACCOUNT_SID, KEYS
from conferral.statemachine.events import ConferenceEventIgnored
from conferral.storage.codecs import event_codec
from conferral.storage.connection.client import Client
from tests.support.ports import free_port

#: Timeout for an answer, in seconds.
PATIENCE_S = 10.0
NOISY = 0
CONFERENCE_SID = "CF" + "9" * 32
KINDS = ("quiet", "noisy", "unshed")


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    samples: int
    neighbors: int = 10
    #: Mean pause between two samples, in seconds.
    pause_s: float = 0.02
    #: Rate of the noisy session's speaker events, per second.
    noise_per_s: int = 200


SIZES = {
    "full": Size(rounds=5, samples=60),
    "quick": Size(rounds=1, samples=80),
    "tiny": Size(rounds=1, samples=3, neighbors=2),
}


def _speaker_request(sequence: int) -> bytes:
    session, agent = backlog.call_sids(NOISY)
    form = {
        "AccountSid": ACCOUNT_SID, "ConferenceSid": CONFERENCE_SID, "FriendlyName": session, "CallSid": agent,
        "StatusCallbackEvent": "participant-speech-start", "SequenceNumber": str(sequence),
        "Timestamp": "Fri, 20 Nov 2026 08:00:00 +0000", "Muted": "false", "Hold": "false", "Coaching": "false",
    }  # fmt: skip
    return webhooks.signed_post(f"/callbacks/conference?session={session}&v=1", form)


async def _post(port: int, requests: "asyncio.Queue[bytes]") -> None:
    """Send the queue's requests over one connection; an empty request ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while request := await requests.get():
            writer.write(request)
            status = await reader.readuntil(b"\r\n\r\n")
            if not status.startswith(b"HTTP/1.1 204"):
                raise SystemExit(f"answered with {status.splitlines()[0]!r}")
    finally:
        writer.close()


@asynccontextmanager
async def _noise(kind: str, port: int, client: Client, size: Size) -> AsyncIterator[None]:
    session, agent = backlog.call_sids(NOISY)
    stream = KEYS.events(KEYS.partition_of(session))
    # Stop by an event: the client may mistake a cancellation for its own timeout.
    stop = asyncio.Event()

    async def past_the_webhooks(sequence: int) -> None:
        event = ConferenceEventIgnored(
            session_id=session, source=CONFERENCE_SID, sequence=sequence, conference_sid=CONFERENCE_SID,
            kind="participant-speech-start", call_sid=agent,
        )  # fmt: skip
        await client.xadd(stream, event_codec.encode(event))

    async def make() -> None:
        ready = [_speaker_request(sequence) for sequence in range(size.noise_per_s)] if kind == "noisy" else []
        requests: asyncio.Queue[bytes] = asyncio.Queue()
        posting = asyncio.ensure_future(_post(port, requests))
        began_s, sent = time.monotonic(), 0
        try:
            while not (stop.is_set() or posting.done()):
                due = int((time.monotonic() - began_s) * size.noise_per_s)
                for sequence in range(sent, due):
                    if kind == "noisy":
                        requests.put_nowait(ready[sequence % len(ready)])
                    elif kind == "unshed":
                        await past_the_webhooks(sequence)
                sent = max(sent, due)
                await asyncio.sleep(1 / size.noise_per_s)
            if posting.done():
                await posting
        finally:
            posting.cancel()

    making = asyncio.ensure_future(make())
    try:
        yield
    finally:
        stop.set()
        await making


async def _sample(client: Client, requests: "asyncio.Queue[bytes]", number: int, sequence: int) -> float:
    """Measure from sending a callback until its log entry is written."""
    log = KEYS.log(backlog.call_sids(number)[0])
    newest = (await client.xrevrange(log, count=1))[0][0]
    began_s = time.monotonic()
    # A stale callback, because the agent has answered: it is processed and logged without effects.
    requests.put_nowait(webhooks.request(number, sequence, "ringing"))
    async with asyncio.timeout(PATIENCE_S):
        while not await client.xread({log: newest}, block=1_000):
            pass
    return time.monotonic() - began_s


async def _round(kind: str, redis_url: str, client: Client, size: Size, figures: Figures) -> None:
    await client.flushall()
    numbers = backlog.of_one_partition(size.neighbors + 1)
    port = free_port()
    async with (
        Child("worker", redis_url=redis_url, api_url=backlog.NO_API) as worker,
        Child("webhooks", port=port, redis_url=redis_url),
    ):
        await backlog.connect(client, numbers, worker)
        requests: asyncio.Queue[bytes] = asyncio.Queue()
        posting = asyncio.ensure_future(_post(port, requests))
        log = KEYS.log(backlog.call_sids(NOISY)[0])
        async with _noise(kind, port, client, size):
            samples = []
            before, began_s = await client.xlen(log), time.monotonic()
            for count in range(size.samples):
                await asyncio.sleep(size.pause_s)
                samples.append(await _sample(client, requests, numbers[1 + count % size.neighbors], 10 + count))
            stored = await client.xlen(log) - before
            figures.add(f"{kind}.stored_per_s", stored / (time.monotonic() - began_s))
        requests.put_nowait(b"")
        await posting
        for share, name in ((0.5, "p50"), (0.95, "p95")):
            figures.add(f"{kind}.{name}_ms", percentile(samples, share) * 1000)


async def measure(size: Size, _chance: Random) -> Figures:
    """Alternate between the kinds; each round has fresh processes.

    `quiet` is without noise, `noisy` with noise through the webhooks, which shed load, and `unshed` with noise that
    bypasses them.
    """
    figures = Figures()
    async with pinned_client() as (redis_url, client):
        for _ in range(size.rounds):
            for kind in KINDS:
                await _round(kind, redis_url, client, size, figures)
    for name in ("p50", "p95"):
        figures.add_ratio(f"noisy_to_quiet_{name}_times", f"noisy.{name}_ms", f"quiet.{name}_ms")
    return figures
