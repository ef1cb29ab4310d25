"""Connections to Redis that break in the middle of a reply, and callers who are cancelled while they wait for one."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreError
from conferral.statemachine.events import CallProgressed
from conferral.storage import coordinator as leases
from conferral.storage.connection.client import BlockingReads, Client, make_client
from conferral.storage.ingest.writer import BatchingIngest
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import PartitionStore
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis
KEYS = Keys("test", 4)
#: Names whose answers are distinct, and longer than any point at which a reply is cut.
NAMES = [letter * 64 for letter in "abcdefgh"]
#: Of these many bytes at most a reply comes through before it is cut.
CUT_MAX = 500


class Desk:
    """Every component that queries Redis, each with an answer of its own."""

    def __init__(self, url: str) -> None:
        self.client: Client = make_client(url, max_connections=8)
        self.blocking: Client = make_client(url, blocking=True, max_connections=8)
        self.publisher = BatchingIngest(self.client, KEYS, SystemClock())
        self.access = PartitionStore(self.client, BlockingReads(self.blocking), KEYS)
        self._published = 0

    async def close(self) -> None:
        await self.publisher.close()
        await self.client.aclose()
        await self.blocking.aclose()

    def questions(self) -> list[tuple[Callable[[], Awaitable[object]], Callable[[object], bool]]]:
        """What is asked, and whether an answer is the right one."""

        def session_of(name: str) -> tuple[Callable[[], Awaitable[object]], Callable[[object], bool]]:
            return lambda: self.publisher.session_of(name), lambda answer: answer == name * 8

        async def taken() -> object:
            try:
                return await leases.claim_partition(self.client, KEYS, 3, "1:me", SystemClock())
            except leases.EpochUsedError as error:
                return error.epoch

        return [
            *(session_of(name) for name in NAMES),
            (lambda: self.access.outbox(1), lambda answer: answer == {"one": b"1" * 600}),
            (lambda: self.access.live_session_ids(0), lambda answer: answer == NAMES),
            (lambda: self.access.read(2, 1), is_first_entry),
            (taken, lambda answer: answer == 9),
            (lambda: self.access.claim_call("f" * 8, NAMES[5]), lambda answer: answer is False),
            (self.publish, lambda answer: answer is None),
        ]

    async def publish(self) -> None:
        self._published += 1
        token = f"t{self._published}"
        event = CallProgressed(session_id="p", token=token, party="agent", call_sid="CAp", status="ringing")
        await self.publisher.publish(event, call_sid="CAp")


def is_first_entry(answer: object) -> bool:
    return isinstance(answer, list) and [entry.fields for entry in answer] == [{b"n": b"0" * 600}]


async def asked(question: Callable[[], Awaitable[object]], is_right: Callable[[object], bool]) -> str:
    """What came of a question: `right`, `unreachable`, or the wrong answer."""
    try:
        answer = await question()
    except StoreError:
        return "unreachable"
    return "right" if is_right(answer) else f"wrong: {answer!r}"


async def all_asked(desk: Desk) -> list[str]:
    return [await asked(*question) for question in desk.questions()]


@pytest.fixture
def furnished(redis_server: RedisServer) -> RedisServer:
    """A server in which the answers to the questions lie."""
    with redis_server.client() as client:
        for name in NAMES:
            client.set(KEYS.call(name), name * 8)
        client.hset(KEYS.outbox(1), "one", "1" * 600)
        for number in range(3):
            client.xadd(KEYS.events(2), {"n": str(number) * 600})
        client.sadd(KEYS.live(0), *NAMES)
        client.hset(KEYS.lease(3), mapping={"holder": "9:other"})
    return redis_server


async def no_cut_mixes_replies(server: RedisServer, chance: random.Random, places: list[int]) -> None:
    async with Relay(server.socket) as relay:
        desk = Desk(relay.url)
        assert set(await all_asked(desk)) == {"right"}
        for place in places:
            questions = desk.questions()
            chance.shuffle(questions)
            for one, other in zip(questions[::2], questions[1::2], strict=False):
                relay.cut_reply(b"", keep=place, count=1)
                together = await asyncio.gather(asked(*one), asked(*other))
                assert set(together) <= {"right", "unreachable"}, f"cut after {place} bytes: {together}"
                relay.go_on()
            # A connection whose reply was shorter is cut in a later one.
            later = await all_asked(desk)
            assert set(later) <= {"right", "unreachable"}, f"cut after {place} bytes: {later}"
        relay.lead_to(server.socket)
        await all_asked(desk)
        assert set(await all_asked(desk)) == {"right"}
        assert relay.cut_off > len(places)
        await desk.close()


FOR_LONG = [pytest.mark.soak, pytest.mark.timeout(300)]


@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=FOR_LONG)])
async def test_fault_27_reply_is_cut(furnished, chance, everywhere):
    some = [1, *sorted(chance.sample(range(2, CUT_MAX), 4)), CUT_MAX]
    await no_cut_mixes_replies(furnished, chance, list(range(1, CUT_MAX + 1)) if everywhere else some)


async def each_gets_its_own_reply(server: RedisServer, chance: random.Random, seeds: int) -> None:
    desk = Desk(server.url)
    cancelled = 0
    for _ in range(seeds):
        tasks = [asyncio.create_task(asked(*question)) for question in chance.sample(desk.questions(), 3)]
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        victim = chance.choice(tasks)
        victim.cancel()
        await asyncio.wait(tasks)
        cancelled += victim.cancelled()
        others = [task.result() for task in tasks if not task.cancelled()]
        assert set(others) <= {"right"}, others
        answer = await asked(*chance.choice(desk.questions()))
        assert answer == "right"
    assert cancelled > seeds / 4
    await desk.publisher.close()
    with server.client() as other:
        assert len(other.client_list()) <= 17, "a connection was not given back"
    # Each of a client's eight connections can be had.
    assert await asyncio.gather(*(desk.client.ping() for _ in range(8))) == [True] * 8
    await desk.close()


@pytest.mark.parametrize("seeds", [200, pytest.param(10_000, marks=FOR_LONG)])
async def test_fault_28_task_is_cancelled_while_waiting_for_redis(furnished, chance, seeds):
    await each_gets_its_own_reply(furnished, chance, seeds)
