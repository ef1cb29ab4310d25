"""`Primary`: when it asks where the primary is, and when connections connect again."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, ReadOnlyError

from conferral.storage.connection.primary import ASK_EVERY_S, REFRESH_EVERY_S, Primary
from conferral.storage.connection.url import Address, Topology
from tests.simulation.virtual_loop import in_virtual_time

A, B = ("a", 1), ("b", 2)
MOVED, READONLY = MovedError("5061 b:2", status_code="MOVED"), ReadOnlyError("You can't write")


class Guide:
    """Answers the questions."""

    def __init__(self, answer: Address | None = A, takes_s: float = 0.1) -> None:
        self.answer, self.takes_s = answer, takes_s
        self.failure: Exception | None = None
        self.asked_at_s: list[float] = []

    async def __call__(self) -> Address | None:
        self.asked_at_s.append(asyncio.get_running_loop().time())
        answer = self.answer
        await asyncio.sleep(self.takes_s)  # a delay: virtual time
        if self.failure is not None:
            raise self.failure
        return answer


def primary_at(guide: Guide, topology: Topology = Topology.SENTINEL) -> Primary:
    return Primary(guide, topology)


@in_virtual_time
async def test_callers_at_the_same_moment_share_one_question_and_its_failure() -> None:
    guide = Guide()
    primary = primary_at(guide)
    await asyncio.gather(*(primary.find() for _ in range(20)))
    assert (len(guide.asked_at_s), primary.address) == (1, A)
    await asyncio.sleep(ASK_EVERY_S)  # a delay: virtual time
    guide.failure = RedisConnectionError("away")
    failures = await asyncio.gather(*(primary.find() for _ in range(20)), return_exceptions=True)
    assert (len(guide.asked_at_s), set(failures)) == (2, {guide.failure})
    assert primary.address == A


@in_virtual_time
async def test_next_question_waits_for_half_a_second_also_after_a_failure() -> None:
    guide = Guide(takes_s=0.0)
    guide.failure = RedisConnectionError("away")
    primary = primary_at(guide)
    for _ in range(101):
        with pytest.raises(RedisConnectionError):
            await primary.find()
        await asyncio.sleep(0.01)  # a delay: virtual time
    assert guide.asked_at_s == pytest.approx([0.0, ASK_EVERY_S, 2 * ASK_EVERY_S], abs=0.011)


@in_virtual_time
async def test_canceled_caller_does_not_cancel_the_question() -> None:
    guide = Guide()
    primary = primary_at(guide)
    impatient, patient = (asyncio.ensure_future(primary.find()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert (primary.address, len(guide.asked_at_s)) == (A, 1)


@in_virtual_time
async def test_another_primary_raises_the_generation_once() -> None:
    guide = Guide()
    primary = primary_at(guide)
    for answer, generation in ((A, 0), (A, 0), (B, 1), (B, 1), (A, 2)):
        guide.answer = answer
        await primary.find()
        assert (primary.address, primary.generation) == (answer, generation)
        await asyncio.sleep(ASK_EVERY_S)  # a delay: virtual time


@in_virtual_time
async def test_sentinels_are_asked_in_the_background_once_a_second() -> None:
    guide = Guide(takes_s=0.0)
    primary = primary_at(guide)
    for step in range(350):
        primary.refresh()
        guide.answer = A if step < 150 else B
        await asyncio.sleep(0.01)  # a delay: virtual time
    assert guide.asked_at_s == pytest.approx([number * REFRESH_EVERY_S for number in range(4)], abs=0.02)
    assert (primary.address, primary.generation) == (B, 1)


@pytest.mark.parametrize("topology", [Topology.SERVER, Topology.CLUSTER])
@in_virtual_time
async def test_others_are_asked_only_on_connecting(topology: Topology) -> None:
    guide = Guide()
    primary_at(guide, topology).refresh()
    await asyncio.sleep(2 * REFRESH_EVERY_S)  # a delay: virtual time
    assert guide.asked_at_s == []


@in_virtual_time
async def test_moved_names_the_address_without_a_question() -> None:
    guide = Guide()
    primary = primary_at(guide, Topology.CLUSTER)
    await primary.find()
    primary.leave(0, MOVED)
    primary.leave(0, MOVED)  # of another connection, or another command of the pipeline
    assert (primary.address, primary.generation) == (B, 1)
    await primary.find()
    assert (primary.address, len(guide.asked_at_s)) == (B, 1)


@in_virtual_time
async def test_answer_that_is_older_than_moved_is_ignored() -> None:
    guide = Guide()
    primary = primary_at(guide, Topology.CLUSTER)
    asking = asyncio.ensure_future(primary.find())
    await asyncio.sleep(guide.takes_s / 2)  # a delay: virtual time
    primary.leave(0, MOVED)
    await asking
    assert (primary.address, primary.generation) == (B, 1)


@pytest.mark.parametrize(
    "topology, error",
    [
        (Topology.CLUSTER, MovedError("5061 :6379", status_code="MOVED")),
        (Topology.CLUSTER, MovedError("5061 ?:6379", status_code="MOVED")),
        (Topology.SERVER, MOVED),
        (Topology.SENTINEL, READONLY),
    ],
)
@in_virtual_time
async def test_refusal_without_an_address_makes_the_next_connection_ask(topology: Any, error: Any) -> None:
    guide = Guide()
    primary = primary_at(guide, topology)
    await primary.find()
    await asyncio.sleep(ASK_EVERY_S)  # a delay: virtual time
    primary.leave(0, error)
    assert (primary.address, primary.generation) == (A, 1)
    await primary.find()
    assert len(guide.asked_at_s) == 2


@in_virtual_time
async def test_server_is_left_at_most_twice_a_second() -> None:
    primary, seen = primary_at(Guide(), Topology.SERVER), []
    for pause_s in (0.0, ASK_EVERY_S / 2, ASK_EVERY_S):
        await asyncio.sleep(pause_s)  # a delay: virtual time
        primary.leave(primary.generation, READONLY)
        seen.append(primary.generation)
    assert seen == [1, 1, 2]


@in_virtual_time
async def test_suspected_answer_is_asked_of_another_once() -> None:
    guide, others = Guide(takes_s=0.0), []
    primary = Primary(guide, Topology.SENTINEL, lambda: others.append(len(guide.asked_at_s)))
    await primary.find()
    for suspected in (0, 0, -1):  # the last one is of a connection to a former server
        primary.suspect(suspected)
    for _ in range(3):
        await asyncio.sleep(ASK_EVERY_S)  # a delay: virtual time
        await primary.find()
        primary.suspect(-1)
    assert others == [1]
