"""The coordinator's script under random workers: each has its own clock and delays, and Redis's clock is set."""

import heapq
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from conferral.storage.coordinator import TASKS, Granted, OtherWorker, Owner, Tick, Wants, read_owners, send_tick
from conferral.storage.keys import Keys
from tests.support.each import each
from tests.support.memory_redis import MemoryServer
from tests.support.redis_clients import full

KEYS = Keys("test", 8)
#: Fraction of a tick's lifetime in which its worker may send; see `worker.ownership.MARGIN`.
SENDING = 0.9
TICK_S, LIFETIME_S = 0.5, 2.0
#: How long a partition may be free, or a dead worker's, after one death with a quick Redis, seconds. Several deaths,
#: pauses, and lost answers add up.
GUARANTEE_S = 7.0


@dataclass
class ModelWorker:
    """A worker that only ticks, with the rules of `worker.ownership`."""

    name: str
    #: Its monotonic clock is ahead of the world's by this, and never compared with another's.
    zero_s: float
    number: int = 0
    is_paused: bool = False
    valid_until_s: float = -1.0
    answered_s: float = -1e9
    mine: dict[str, int] = field(default_factory=dict)
    seen: dict[str, tuple[OtherWorker, float]] = field(default_factory=dict)
    surplus: int = 0


class World:
    """Some workers in virtual time: a tick is sent, arrives, and is answered, unless its answer is lost."""

    def __init__(self, chance: random.Random, *, round_trip_s: float) -> None:
        self.chance, self.round_trip_s = chance, round_trip_s
        self.now_s = self.clock_step_s = 0.0
        self.server = MemoryServer(lambda: round(1e12 + 1000 * (self.now_s + self.clock_step_s)))
        self.client = self.server.client()
        self.workers: list[ModelWorker] = []
        self.names = 0
        self.owned_at_s = dict.fromkeys(map(str, range(KEYS.partitions)), 0.0)
        #: What happens next: when, in which order, and what.
        self.agenda: list[tuple[float, int, Callable[[], Awaitable[None]]]] = []
        self.steps = 0

    def plan(self, at_s: float, step: Callable[[], Awaitable[None]]) -> None:
        self.steps += 1
        heapq.heappush(self.agenda, (at_s, self.steps, step))

    def join(self) -> None:
        self.names += 1
        worker = ModelWorker(f"w{self.names}", self.chance.uniform(0, 1e6))
        self.workers.append(worker)
        self.plan(self.now_s, partial(self.send, worker))

    def pause(self, worker: ModelWorker, for_s: float) -> None:
        async def wake() -> None:
            worker.is_paused = False

        worker.is_paused = True
        self.plan(self.now_s + for_s, wake)

    async def pass_time(self, time_s: float) -> None:
        until_s = self.now_s + time_s
        while self.agenda and self.agenda[0][0] <= until_s:
            self.now_s, _, step = heapq.heappop(self.agenda)
            await step()
            self.judge()
        self.now_s = until_s

    async def send(self, worker: ModelWorker, wants: Wants = Wants.SHARE) -> None:
        if worker.is_paused:
            self.plan(self.now_s + 0.01, partial(self.send, worker))
            return
        if worker not in self.workers and wants is Wants.SHARE:
            return  # it has died, or stopped
        local_s, lifetime_s = worker.zero_s + self.now_s, max(LIFETIME_S, 3 * self.round_trip_s)
        if local_s - worker.answered_s > lifetime_s:
            worker.seen.clear()
        worker.number += 1
        dead = {name: tick.number for name, (tick, since_s) in worker.seen.items()
                if local_s - since_s >= tick.lifetime_s}  # fmt: skip
        given_back = sorted(item for item in worker.mine if item.isdecimal())[: worker.surplus]
        for item in given_back:
            del worker.mine[item]
        worker.valid_until_s = min(worker.valid_until_s, local_s + SENDING * lifetime_s)
        request = Tick(
            name=worker.name, number=worker.number, lifetime_s=lifetime_s, wants=wants, gives_back=given_back, dead=dead
        )
        arrives_s = self.now_s + self.chance.uniform(0, self.round_trip_s)
        self.plan(arrives_s, partial(self.arrive, worker, request, self.now_s))

    async def arrive(self, worker: ModelWorker, request: Tick, sent_s: float) -> None:
        granted = await send_tick(self.client, KEYS, request)
        assert granted is not None
        if worker in self.workers:
            self.owned_at_s |= {item: self.now_s for item in granted.epochs if item in self.owned_at_s}
        is_lost = self.chance.random() < 0.1
        self.plan(
            sent_s + self.round_trip_s, partial(self.answer, worker, None if is_lost else granted, request, sent_s)
        )

    async def answer(self, worker: ModelWorker, granted: Granted | None, request: Tick, sent_s: float) -> None:
        if worker.is_paused:
            self.plan(self.now_s + 0.01, partial(self.answer, worker, granted, request, sent_s))
            return
        if request.wants is Wants.SHARE:
            self.plan(max(self.now_s, sent_s + TICK_S), partial(self.send, worker))
        if granted is None:
            return
        answered_s = worker.answered_s = worker.zero_s + self.now_s
        worker.valid_until_s = worker.zero_s + sent_s + SENDING * request.lifetime_s
        worker.mine, worker.surplus = dict(granted.epochs), granted.surplus
        worker.seen = {
            name: worker.seen[name] if name in worker.seen and worker.seen[name][0].number == other.number
            else (other, answered_s)
            for name, other in granted.others.items()
        }  # fmt: skip

    def judge(self) -> None:
        """No two workers may send for the same; no partition is without a live owner for long."""
        senders: dict[str, str] = {}
        for worker in self.workers:
            if not worker.is_paused and worker.zero_s + self.now_s < worker.valid_until_s:
                for item in worker.mine:
                    other = senders.setdefault(item, worker.name)
                    assert other == worker.name, f"{item}: {other} and {worker.name} at {self.now_s}"
        for item, at_s in self.owned_at_s.items():
            assert self.now_s - at_s <= 2 * (GUARANTEE_S + 6 * self.round_trip_s), f"{item} at {self.now_s}"

    def counts(self) -> list[int]:
        return sorted(sum(item.isdecimal() for item in worker.mine) for worker in self.workers)


async def play(seed: int, round_trip_s: float) -> None:
    """Workers join, stop, die, and are paused; Redis's clock is set; then all is calm."""
    chance = random.Random(seed)
    world = World(chance, round_trip_s=round_trip_s)
    for _ in range(chance.randint(2, 4)):
        world.join()
    for _ in range(15):
        await world.pass_time(chance.uniform(0.1, 4.0))
        one, has_others = chance.choice(world.workers), len(world.workers) > 1
        match chance.choice(("join", "die", "stop", "pause", "clock", "nothing")):
            case "join" if len(world.workers) < 6:
                world.join()
            case "die" if has_others:
                world.workers.remove(one)
            case "stop" if has_others and not one.is_paused:
                world.workers.remove(one)
                await world.send(one, Wants.TO_LEAVE)
            case "pause" if has_others and not one.is_paused:
                world.pause(one, chance.uniform(0.5, 6.0))
            case "clock":
                world.clock_step_s = chance.uniform(-7200.0, 7200.0)
    await world.pass_time(40.0)
    assert sum(world.counts()) == KEYS.partitions
    assert world.counts()[-1] - world.counts()[0] <= 1
    owners = await read_owners(world.client, KEYS)
    assert {owner.name for owner in owners.values()} <= {worker.name for worker in world.workers}


@pytest.mark.parametrize("round_trip_s", [0.002, 0.3, 1.5])
async def test_workers_never_send_for_the_same_partition_and_leave_none(round_trip_s: float) -> None:
    for seed in range(3):
        await play(seed, round_trip_s)


@pytest.mark.soak
async def test_workers_never_send_for_the_same_partition_in_many_worlds() -> None:
    for seed in range(100, 500):
        await play(seed, random.Random(seed).choice((0.002, 0.1, 0.5, 0.85, 1.5)))


# ---- the script ------------------------------------------------------------------------------------------------------


def tick(name: str, number: int, **more: object) -> Tick:
    return Tick(**{"name": name, "number": number, "lifetime_s": 2.0, **more})  # type: ignore[arg-type]


async def owned(client: object, keys: Keys, request: Tick) -> dict[str, int]:
    granted = await send_tick(client, keys, request)
    assert granted is not None
    return dict(granted.epochs)


async def test_first_worker_gets_everything_and_a_second_what_the_first_gives_back(client, keys):
    first = await send_tick(client, keys, tick("one", 1))
    assert first is not None
    assert first.epochs == dict.fromkeys(["0", "1", "2", "3", *TASKS], 1)
    assert (first.surplus, first.free, first.others) == (0, 0, {})
    second = await send_tick(client, keys, tick("two", 1, lifetime_s=4.5))
    assert second is not None
    assert (second.epochs, second.free) == ({}, 0)
    assert second.others == {"one": OtherWorker(1, 2.0)}

    again = await send_tick(client, keys, tick("one", 2))
    assert again is not None
    assert (again.surplus, again.others) == (2, {"two": OtherWorker(1, 4.5)})
    given = await send_tick(client, keys, tick("one", 3, gives_back=["1", "3"]))
    assert given is not None
    assert (given.surplus, given.free) == (0, 2)
    assert await owned(client, keys, tick("two", 2)) == {"1": 2, "3": 2}


async def test_late_request_changes_nothing(client, keys):
    await send_tick(client, keys, tick("one", 7))
    before = await client.hgetall(keys.owners)
    assert await send_tick(client, keys, tick("one", 6, gives_back=["1"], wants=Wants.TO_LEAVE)) is None
    assert await send_tick(client, keys, tick("one", 7, gives_back=["1"])) is None
    assert await client.hgetall(keys.owners) == before


async def test_dead_worker_is_followed_unless_its_number_has_changed(client, keys):
    await send_tick(client, keys, tick("one", 1))
    assert await owned(client, keys, tick("two", 1, dead={"one": 2, "none": 1})) == {}
    assert await owned(client, keys, tick("two", 2, dead={"one": 1})) == dict.fromkeys(["0", "1", "2", "3", *TASKS], 2)
    assert await owned(client, keys, tick("one", 2)) == {}, "it comes back, and has lost everything"


async def test_used_epoch_is_skipped_for_its_owner_alone(client, keys):
    await send_tick(client, keys, tick("one", 1))
    assert (await owned(client, keys, tick("one", 2, used_epochs={"1": 7, "2": 0, "9": 1})))["1"] == 8
    assert (await owned(client, keys, tick("one", 3)))["2"] == 1
    await send_tick(client, keys, tick("two", 1, used_epochs={"0": 50}))
    assert (await owned(client, keys, tick("one", 4)))["0"] == 1


async def test_worker_that_wants_nothing_counts_for_no_share_and_may_keep_what_is_busy(client, keys):
    await send_tick(client, keys, tick("one", 1))
    standby = await send_tick(client, keys, tick("one", 2, wants=Wants.NOTHING, gives_back=list(TASKS)))
    assert standby is not None
    assert (standby.surplus, len(standby.epochs)) == (4, 4)
    assert await owned(client, keys, tick("two", 1)) == dict.fromkeys(TASKS, 2)
    await send_tick(client, keys, tick("one", 3, wants=Wants.NOTHING, gives_back=["0", "1", "2"]))
    assert (await owned(client, keys, tick("two", 2))).keys() == {"0", "1", "2", *TASKS}


async def test_stop_frees_everything_at_once(client, keys):
    await send_tick(client, keys, tick("one", 1))
    await send_tick(client, keys, tick("one", 2, wants=Wants.TO_LEAVE))
    assert len(await owned(client, keys, tick("two", 1))) == 4 + len(TASKS)
    assert b"worker:one" not in await client.hgetall(keys.owners)


@each("held, shares", [
    ({"a": 8}, [8]), ({"a": 8, "b": 0}, [4, 4]), ({"a": 3, "b": 3, "c": 2}, [3, 3, 2]),
    ({"a": 6, "b": 2, "c": 0}, [3, 3, 2]),
])  # fmt: skip
async def test_shares_differ_by_one_and_who_holds_more_keeps_more(held: dict[str, int], shares: list[int]) -> None:
    client, number = MemoryServer(lambda: 10**12).client(), 0
    for name, count in held.items():
        for item in range(number, number + count):
            await client.hset(KEYS.owners, str(item), f'{{"holder":"{name}","epoch":1,"renewed_at":1}}')
        number += count
        await client.hset(KEYS.owners, f"worker:{name}", '{"holder":"x","request":1,"lifetime_ms":2000,"takes":true}')
    found = []
    for name, count in held.items():
        granted = await send_tick(client, KEYS, tick(name, 2))
        assert granted is not None
        found.append(count - granted.surplus)
    assert sorted(found, reverse=True) == [
        min(share, count) for share, count in zip(shares, sorted(held.values())[::-1], strict=True)
    ]


async def test_people_see_owner_epoch_and_time(client, keys):
    granted = await send_tick(client, keys, tick("one", 1))
    assert granted is not None
    odd = {"1": "nonsense", "2": '{"holder": 5}', "3": '{"holder": "one", "epoch": "1", "renewed_at": 1}'}
    await client.hset(keys.owners, mapping=odd)
    owners = await read_owners(client, keys)
    assert owners["0"] == Owner("one", 1, granted.now_ms)
    assert owners["commands"].name == "one"
    assert owners["1"] == owners["2"] == owners["3"] == Owner()
    for away_ms, name in ((-3_501, ""), (-3_500, "one"), (3_500, "one"), (3_501, "")):
        assert owners["0"].at(granted.now_ms + away_ms).name == name
    assert owners["0"].at(granted.now_ms + 3_501).epoch == 1


async def test_full_redis_still_renews(client, keys):
    await send_tick(client, keys, tick("one", 1))
    async with full(client):
        assert len(await owned(client, keys, tick("one", 2))) == 4 + len(TASKS)
