"""A limit with two lanes: endings first, with slots of their own, and no slot is ever lost."""

import asyncio
import random

import pytest

from conferral.runtime.metrics import Metrics
from conferral.worker.executor.adaptive_limit import AdaptiveLimit, RequestSlots
from conferral.worker.executor.priority_limiter import PriorityLimiter
from tests.worker.executor_harness import FakeTime


def limiter_of(*, slots: int, reserved_for_endings: int) -> PriorityLimiter:
    time = FakeTime()
    allowance = AdaptiveLimit(
        share=lambda: RequestSlots(slots - reserved_for_endings, reserved_for_endings),
        clock=time,
        metrics=Metrics(),
        rng=random.Random(7),
    )
    return PriorityLimiter(allowance, time, sleep=time.sleep)


class Holder:
    """A user who takes a slot and keeps it until released."""

    def __init__(self, limiter: PriorityLimiter, kind: str) -> None:
        self.is_in = False
        self._done = asyncio.Event()
        self._limiter = limiter
        self.task = asyncio.create_task(self._hold(kind))

    async def _hold(self, kind: str) -> None:
        async with self._limiter.slot(ending=kind == "e", read=kind == "l"):
            self.is_in = True
            await self._done.wait()
        self.is_in = False

    async def leave(self) -> None:
        self._done.set()
        await self.task
        await asyncio.sleep(0)


async def holders(limiter: PriorityLimiter, kinds: str) -> list[Holder]:
    """One for each letter: e for an ending, o for an ordinary effect, l for a read."""
    result = []
    for kind in kinds:
        result.append(Holder(limiter, kind))
        await asyncio.sleep(0)
    return result


def shown(those: list[Holder]) -> str:
    return "".join("x" if holder.is_in else "." for holder in those)


@pytest.mark.parametrize(
    "kinds, inside",
    [
        ("ooooo", "xx..."),
        ("eeeee", "xxx.."),
        ("eoooo", "xxx.."),
        ("eeooo", "xxx.."),
        ("oooee", "xx.x."),
    ],
)
async def test_ordinary_effects_leave_the_reserved_slots_to_endings(kinds: str, inside: str) -> None:
    limiter = limiter_of(slots=3, reserved_for_endings=1)

    those = await holders(limiter, kinds)

    assert shown(those) == inside
    for holder in those:
        holder.task.cancel()
    await asyncio.gather(*(holder.task for holder in those), return_exceptions=True)
    assert limiter.in_use == 0


async def test_freed_slot_goes_to_the_ending_that_came_last() -> None:
    limiter = limiter_of(slots=1, reserved_for_endings=0)
    first, ordinary, ending = await holders(limiter, "ooe")

    await first.leave()
    assert shown([first, ordinary, ending]) == "..x"

    await ending.leave()
    assert shown([first, ordinary, ending]) == ".x."
    await ordinary.leave()


async def test_slot_granted_to_a_canceled_waiter_is_passed_on() -> None:
    limiter = limiter_of(slots=1, reserved_for_endings=0)
    first, second, third = await holders(limiter, "ooo")

    first.task.cancel()
    second.task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert shown([third]) == "x"
    await third.leave()
    assert limiter.in_use == 0


async def test_waiter_that_is_canceled_as_its_time_runs_out_gives_no_slot_back() -> None:
    limiter = limiter_of(slots=1, reserved_for_endings=0)
    (first,) = await holders(limiter, "o")

    async def wait() -> None:
        async with limiter.slot(ending=False, deadline_s=0.0):
            raise AssertionError

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    limiter._expire_waiters()
    waiting.cancel()
    await asyncio.wait({waiting})

    assert waiting.cancelled()
    assert limiter.in_use == 1
    await first.leave()


@pytest.mark.parametrize("seed", range(20))
async def test_no_slot_is_lost_on_cancellation(seed: int) -> None:
    chance = random.Random(seed)
    limiter = limiter_of(slots=3, reserved_for_endings=1)
    those: list[Holder] = []
    for _ in range(100):
        those.append(Holder(limiter, chance.choice("eol")))
        for holder in chance.sample(those, chance.randrange(min(4, len(those)))):
            if chance.random() < 0.5:
                holder.task.cancel()
            else:
                holder._done.set()
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        assert limiter.in_use <= 3
    for holder in those:
        holder._done.set()
    await asyncio.gather(*(holder.task for holder in those), return_exceptions=True)

    assert limiter.in_use == 0
    async with limiter.slot(ending=False):
        assert limiter.in_use == 1


async def order_of(limiter: PriorityLimiter, kinds: str, after: str) -> str:
    """The kinds in the order in which they get the one slot, when all of them wait for it behind another."""
    (first,) = await holders(limiter, after)
    those = dict(zip(await holders(limiter, kinds), kinds, strict=True))
    await first.leave()
    reported = ""
    while those:
        (inside,) = (holder for holder in those if holder.is_in)
        reported += those.pop(inside)
        await inside.leave()
    return reported


@pytest.mark.parametrize("after", ["o", "e"])
@pytest.mark.parametrize(
    "waiting, expected",
    [
        ("llo",         "oll"),
        ("ooll",        "ooll"),
        ("looooooo",    "ooolo" + "ooo"),
        ("lllooooooo",  "ooolooolol"),
    ],
)  # fmt: skip
async def test_effects_go_before_reads_but_reads_get_their_turn(waiting: str, expected: str, after: str) -> None:
    assert await order_of(limiter_of(slots=1, reserved_for_endings=0), waiting, after) == expected
