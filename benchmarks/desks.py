"""How long does a session's change take to reach the desks that may see it, with 500 desks on one process?"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from random import Random

import aiohttp
from redis.asyncio import Redis

from benchmarks.support.calls import call_sids
from benchmarks.support.figures import Figures
from benchmarks.support.programs import CUSTOMER, NO_TWILIO, Program, conferral
from conferral.statemachine.parts import TransferState
from conferral.statemachine.session import AGENT, TARGET, Party, Session
from conferral.statemachine.session import CUSTOMER as CUSTOMER_PARTY
from conferral.statemachine.states import PartyStatus, Phase, State, TransferMode, TransferStage, TransferStatus
from conferral.storage.codecs import session_codec
from conferral.storage.keys import Keys

#: An event that takes longer is lost, in seconds.
PATIENCE_S = 30.0
API_TOKEN = "0123456789abcdef0123456789abcdef"
KEYS = Keys("conferral", 16)


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    desks: int
    changes: int
    #: Mean pause between two changes, in seconds.
    pause_s: float = 0.02


SIZES = {"full": Size(rounds=3, desks=500, changes=1_000), "quick": Size(rounds=1, desks=500, changes=300),
         "tiny": Size(rounds=1, desks=4, changes=3)}  # fmt: skip


class Desk(asyncio.Protocol):
    """A desk's stream, which notes when events arrive."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self._marks: dict[bytes, asyncio.Future[float]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Resolve what waits for a text of an event."""
        now_s = time.monotonic()
        self._received = (self._received + data)[-20_000:]
        for text in [one for one in self._marks if one in self._received]:
            self._marks.pop(text).set_result(now_s)

    def arrival_of(self, text: bytes) -> "asyncio.Future[float]":
        """Return when a text arrives, in monotonic seconds."""
        self._marks[text] = arrival = asyncio.get_running_loop().create_future()
        if text in self._received:
            self._marks.pop(text).set_result(time.monotonic())
        return arrival


async def measure(size: Size, chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Change one session after the other; two desks may see each."""
    figures = Figures()
    for _ in range(size.rounds):
        await redis.flushall()
        async with conferral("webhooks", redis_url, NO_TWILIO, CONFERRAL_API_TOKEN=API_TOKEN) as webhooks:
            sessions = [_session(number) for number in range(size.desks // 2)]
            for session in sessions:
                await _commit(redis, session)
            async with AsyncExitStack() as stack:
                desks = [await _connect(stack, webhooks, number) for number in range(size.desks)]
                began_cpu_s, began_s = webhooks.cpu_s(), time.monotonic()
                found: list[float] = []
                for change in range(1, size.changes + 1):
                    await asyncio.sleep(size.pause_s * chance.uniform(0.5, 1.5))
                    at = chance.randrange(len(sessions))
                    sessions[at] = replace(sessions[at], version=sessions[at].version + 1, ref=f"change-{change}-")
                    text = sessions[at].ref.encode()
                    arrivals = [desks[number].arrival_of(text) for number in (2 * at, 2 * at + 1)]
                    await _commit(redis, sessions[at])
                    committed_s = time.monotonic()
                    async with asyncio.timeout(PATIENCE_S):
                        found += [await arrival - committed_s for arrival in arrivals]
                used_s = webhooks.cpu_s() - began_cpu_s
                figures.add("webhooks.percent", 100 * used_s / (time.monotonic() - began_s))
            figures.add_percentiles("change_", found)
    return figures


def _session(number: int) -> Session:
    """Return a consult between two desks' agents."""
    customer, agent = call_sids(number)
    parties = {
        CUSTOMER_PARTY: Party(CUSTOMER_PARTY, "customer-1", customer, CUSTOMER, PartyStatus.CONNECTED),
        AGENT: Party(AGENT, "agent-1", agent, f"client:a{2 * number}", PartyStatus.CONNECTED),
        TARGET: Party(TARGET, "target-2", "", f"client:a{2 * number + 1}", PartyStatus.CONNECTED),
    }
    transfer = TransferState(1, TransferMode.CONSULT, "", TransferStatus.CONSULTING, stage=TransferStage.TALKING)
    return Session(
        customer, State.TRANSFERRING, Phase.CONSULT, version=1, created_at_ms=1, parties=parties, transfer=transfer
    )


async def _commit(redis: "Redis[bytes]", session: Session) -> None:
    """Store a session as a worker's commit does, as far as streams notice."""
    partition = KEYS.partition_of(session.id)
    pipeline = redis.pipeline(transaction=True)
    pipeline.hset(KEYS.session(session.id), mapping=session_codec.encode(session))
    pipeline.sadd(KEYS.live(partition), session.id)
    pipeline.hincrby(KEYS.lease(partition), "commit", 1)
    await pipeline.execute()


async def _connect(stack: AsyncExitStack, webhooks: Program, number: int) -> Desk:
    """Return a desk that has got all that there was before."""
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{webhooks.url}/desk/tokens", json={"identity": f"a{number}"}) as response,
    ):
        token = (await response.json())["token"]
    request = f"GET /desk/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    transport, desk = await asyncio.get_running_loop().create_connection(
        lambda: Desk(request.encode()), "127.0.0.1", webhooks.port
    )
    stack.callback(transport.close)
    async with asyncio.timeout(PATIENCE_S):
        await desk.arrival_of(b"event: ready")
    return desk
