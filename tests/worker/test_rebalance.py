"""When a worker takes free partitions, and when it hands one over. The other workers are simulated."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.keys import Keys
from conferral.worker.assignment.assignment import PartitionAssigner
from tests.worker.cores import core_of
from tests.worker.executor_harness import FakeTime

NOTHING: Any = None
AWAY = StoreUnreachableError("away")


async def decided(
    held: int, others: dict[str, int], *, free: int = 0, alive: str = "bcd", **seen: Any
) -> tuple[int, bool]:
    """How many partitions the worker takes (count), and whether it hands one over.

    Args:
        held: Partitions that it holds (count).
        others: Partitions that each other worker holds (count).
        alive: The others that sent a heartbeat just now.
    """
    time = FakeTime()
    keys = Keys("test", held + sum(others.values()) + free)
    assigner = PartitionAssigner(core_of(NOTHING, keys, time))
    taken, handed_over = list[int](), list[object]()

    async def read(_numbers: object, max_gap_s: float) -> None:
        assert max_gap_s == 3.0, "two renewals"

    async def acquire(number: int, _around: object) -> None:
        if number not in seen.get("refused", ()):
            taken.append(number)
            assigner.consumers[number] = NOTHING

    async def hand_over(executor: object) -> None:
        handed_over.append(executor)

    peers: Any = SimpleNamespace(
        read=read,
        error=seen.get("error"),
        dead_workers=frozenset(),
        counts=others,
        free=list(range(held, held + free)),
        unclaimed_s=lambda _number: seen.get("free_s", 0.0),
        holder_probably_died=lambda _number: seen.get("holder_probably_died", False),
    )
    assigner._peer_leases = peers
    assigner.consumers = dict.fromkeys(range(held), NOTHING)
    assigner.membership.names = frozenset({"me", *others})
    assigner.membership.is_alive = lambda name: name in alive  # type: ignore[method-assign]
    assigner._acquire = acquire  # type: ignore[method-assign]
    assigner._hand_over_partition = hand_over  # type: ignore[method-assign]
    await assigner._rebalance(NOTHING, NOTHING)
    await asyncio.sleep(0)
    return len(taken), bool(handed_over)


@pytest.mark.parametrize(
    ("held", "others", "seen", "takes", "hands_over"),
    [
        # Free partitions are for workers with too few, until they have been free for a while.
        (1, {"b": 2}, {"free": 1}, 1, False),
        (1, {"b": 1}, {"free": 2}, 1, False),
        (1, {"b": 1}, {"free": 2, "refused": [1]}, 1, False),
        (2, {"b": 0}, {"free": 2, "free_s": 0.9}, 0, False),
        (2, {"b": 0}, {"free": 2, "free_s": 1.0}, 1, False),
        (3, {"b": 0}, {"free": 3, "free_s": 1.0}, 2, False),
        (2, {"b": 0}, {"free": 2, "free_s": 0.3, "holder_probably_died": True}, 0, False),
        (2, {"b": 0}, {"free": 2, "free_s": 0.4, "holder_probably_died": True}, 1, False),
        # A surplus is for workers that are there to take it.
        (4, {"b": 0}, {}, 0, True),
        (4, {"b": 0}, {"alive": ""}, 0, False),
        (4, {"b": 0}, {"error": AWAY}, 0, False),
        (3, {"b": 0}, {"free": 1}, 0, True),
        (2, {"b": 2}, {}, 0, False),
        (2, {"b": 3, "c": 1}, {}, 0, False),
        (3, {"b": 3, "c": 1, "d": 1}, {"alive": "bc"}, 0, True),
        (3, {"b": 3, "c": 1, "d": 1}, {"alive": "b"}, 0, False),
    ],
)  # fmt: skip
async def test_free_partitions_are_taken_and_surplus_ones_handed_over(
    held: int, others: dict[str, int], seen: dict[str, Any], takes: int, hands_over: bool
) -> None:
    assert await decided(held, others, **seen) == (takes, hands_over)
