"""Shares of the requests at Twilio: any number of workers stay within one budget, and each gets its turn."""

import random

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.worker.executor import request_shares
from conferral.worker.executor.adaptive_limit import RequestSlots
from conferral.worker.executor.request_shares import RequestShares
from tests.worker.cores import core_of
from tests.worker.executor_harness import FakeTime

pytestmark = pytest.mark.redis
BUDGET = RequestSlots(24, 8)


class Worker:
    """A worker that uses as much of its share as the test says."""

    def __init__(self, client, keys, name: str, time: FakeTime) -> None:
        self.in_use_by_kind = RequestSlots(0, 0)
        self.shares = RequestShares(core_of(client, keys, time, name), BUDGET, limiter=lambda: self)
        self.woken = 0

    def grant(self) -> None:
        self.woken += 1

    def works(self, chance: random.Random) -> None:
        """Requests begin, as far as the share goes, and end."""
        share = self.shares.current
        endings = chance.randint(0, sum(share))
        self.in_use_by_kind = RequestSlots(chance.randint(0, min(share.ordinary, sum(share) - endings)), endings)

    async def ask(self) -> float:
        return await self.shares.refresh()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def workers_of(client, keys, time: FakeTime, count: int) -> list[Worker]:
    return [Worker(client, keys, f"worker-{number}", time) for number in range(count)]


def held(workers: list[Worker]) -> RequestSlots:
    """What all together have under way or may begin."""
    both = [(max(one.shares.current.ordinary, one.in_use_by_kind.ordinary), sum(one.shares.current)) for one in workers]
    total = sum(max(sum(one.in_use_by_kind), whole) for one, (_, whole) in zip(workers, both, strict=True))
    ordinary = sum(ordinary for ordinary, _ in both)
    return RequestSlots(ordinary, total - ordinary)


def assert_within_budget(workers: list[Worker]) -> None:
    ordinary, endings = held(workers)
    assert ordinary <= BUDGET.ordinary
    assert ordinary + endings <= sum(BUDGET)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 13, 24])
async def test_workers_share_the_whole_budget_evenly(client, keys, time, count):
    workers = workers_of(client, keys, time, count)
    for _ in range(4):
        for one in workers:
            await one.ask()
            assert_within_budget(workers)
    assert {await one.ask() for one in workers} == {0.5 if count <= BUDGET.endings else 0.1}, "more take turns"
    shares = [one.shares.current for one in workers]
    assert sum(share.ordinary for share in shares) == BUDGET.ordinary
    assert max(shares)[0] - min(shares)[0] <= 1
    if count <= BUDGET.endings:
        assert sum(share.endings for share in shares) == BUDGET.endings
        assert min(share.endings for share in shares) > 0


async def test_any_number_of_workers_stays_within_the_budget_while_they_work_come_and_go(client, keys, time, chance):
    workers: list[Worker] = []
    names = iter(range(10_000))
    for _ in range(300):
        what = chance.random()
        if what < 0.15 and len(workers) < 60:
            workers.append(Worker(client, keys, f"worker-{next(names)}", time))
        elif what < 0.2 and workers:
            await workers.pop(chance.randrange(len(workers))).shares.release()
        for one in chance.sample(workers, min(5, len(workers))):
            one.works(chance)
            await one.ask()
            assert_within_budget(workers)
            one.works(chance)


async def test_worker_that_starts_gets_its_share_as_soon_as_the_other_has_given_it_back(client, keys, time):
    first, second = workers_of(client, keys, time, 2)
    await first.ask()
    assert first.shares.current == BUDGET
    first.in_use_by_kind = RequestSlots(20, 0)
    assert await second.ask() == 0.1
    assert second.shares.current == RequestSlots(0, 0)

    await first.ask()  # learns that it has a half; 20 are still under way
    assert first.shares.current == RequestSlots(12, 4)
    await second.ask()
    assert second.shares.current == RequestSlots(0, 0)
    await first.ask()  # says that it holds 20 and 4
    await second.ask()
    assert second.shares.current == RequestSlots(4, 4)
    first.in_use_by_kind = RequestSlots(3, 0)
    await first.ask()
    assert await second.ask() == 0.5
    assert second.shares.current == RequestSlots(12, 4)
    assert second.woken == 4


async def test_where_workers_outnumber_a_pool_they_take_turns(client, keys, time, monkeypatch):
    workers = workers_of(client, keys, time, 26)
    had = [RequestSlots(0, 0)] * 26
    for turn in range(1, 6):
        # A length by which it is this turn now.
        seconds, _ = await client.time()
        monkeypatch.setattr(request_shares, "TURN_MS", int(1000 * seconds / (turn + 0.5)))
        for _ in range(3):
            for one in workers:
                await one.ask()
                assert_within_budget(workers)
        shares = [one.shares.current for one in workers]
        assert RequestSlots(*map(sum, zip(*shares, strict=True))) == BUDGET
        had = [RequestSlots(*map(max, before, now)) for before, now in zip(had, shares, strict=True)]
    # 8 endings a turn, so four turns are enough for 26 workers.
    assert set(had) == {RequestSlots(1, 1)}
    assert await workers[0].ask() == 0.1


async def test_share_of_a_dead_worker_is_freed_when_it_expires(client, keys, time):
    await client.hset(
        keys.request_shares, mapping={"dead": "20 8 1", "odd": "?", "clock_offset": "24 8 99999999999999"}
    )
    (one,) = workers_of(client, keys, time, 1)
    await one.ask()
    assert one.shares.current == BUDGET
    assert await client.hkeys(keys.request_shares) == [b"worker-0"]
    assert 9_000 < await client.pttl(keys.request_shares) <= 10_000


@pytest.mark.parametrize(
    ("count", "then"),
    [(1, BUDGET), (3, RequestSlots(8, 2)), (9, RequestSlots(2, 0)), (30, RequestSlots(1, 0))],
    ids=str,
)
async def test_unreachable_share_node_blocks_no_worker(client, keys, time, monkeypatch, count, then):
    """Each keeps an even part of the budget, by the number of workers at the end."""
    workers = workers_of(client, keys, time, count)
    for _ in range(4):
        for one in workers:
            await one.ask()
    before = [one.shares.current for one in workers]

    async def fails(*_args):
        raise StoreUnreachableError("away")

    monkeypatch.setattr(request_shares.scripts, "share_requests", fails)
    for one in workers:
        with pytest.raises(StoreUnreachableError):
            await one.ask()
    assert [one.shares.current for one in workers] == before
    time.s += 4.75
    assert [one.shares.current for one in workers] == before
    time.s += 0.25
    assert [one.shares.current for one in workers] == [then] * count


async def test_worker_that_leaves_gives_its_share_back(client, keys, time):
    first, second = workers_of(client, keys, time, 2)
    await first.ask()
    await first.shares.release()
    await second.ask()
    assert (first.shares.current, second.shares.current) == (RequestSlots(0, 0), BUDGET)


async def test_share_of_a_dead_worker_is_free_before_it_expires(client, keys, time):
    first, second = workers_of(client, keys, time, 2)
    await first.ask()
    await second.ask()
    assert second.shares.current == RequestSlots(0, 0)
    alone = RequestShares(core_of(client, keys, time, "worker-1"), BUDGET, limiter=lambda: second,
                          dead_workers=lambda: {"worker-0"})  # fmt: skip
    await alone.refresh()
    assert alone.current == BUDGET
    assert alone.workers == 1


async def test_worker_that_was_only_thought_dead_gets_its_share_again(client, keys, time):
    first, second = workers_of(client, keys, time, 2)
    second.shares = RequestShares(core_of(client, keys, time, "worker-1"), BUDGET, limiter=lambda: second,
                                  dead_workers=lambda: {"worker-0"})  # fmt: skip
    await first.ask()
    await second.ask()
    second.shares = RequestShares(core_of(client, keys, time, "worker-1"), BUDGET, limiter=lambda: second)
    for _ in range(4):
        await first.ask()
        await second.ask()
    assert first.shares.current == second.shares.current == RequestSlots(12, 4)


async def test_endings_beyond_their_pool_count_as_ordinary_until_they_are_over(client, keys, time):
    first, second = workers_of(client, keys, time, 2)
    await first.ask()
    first.in_use_by_kind = RequestSlots(0, 20)
    for _ in range(4):
        await second.ask()
        await first.ask()
        assert_within_budget([first, second])
    assert second.shares.current == RequestSlots(8, 4)
    first.in_use_by_kind = RequestSlots(0, 0)
    for one in (first, second):
        await one.ask()
    assert second.shares.current == RequestSlots(12, 4)
