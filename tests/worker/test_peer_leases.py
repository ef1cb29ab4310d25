"""What a worker makes of others' leases: which are free, and since when. Redis's answers are played."""

import math
import zlib
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.keys import Keys
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import LeaseInfo
from conferral.worker.assignment.rebalance import PeerLeases
from tests.worker.cores import core_of
from tests.worker.executor_harness import START_MS, FakeTime

#: Another worker's lease, for five seconds from the first read.
HELD = LeaseInfo("1:other", START_MS + 5_000, "run:1")


class Leases:
    """Four partitions' leases as one worker reads them; a free one is None."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str = "me") -> None:
        self.time = FakeTime()
        self.infos: list[Any] = [None, None, None, None]
        #: Which connections Redis no longer has, and of which it was asked.
        self.closed: set[str] = set()
        self.asked: list[set[str]] = []
        self.seen = PeerLeases(core_of(None, Keys("test", 4), self.time, name))

        async def read_leases(_client: object, keys: Sequence[str]) -> list[Any]:
            return self.infos[: len(keys)]

        async def find_closed(suspects: Collection[str]) -> set[str]:
            self.asked.append(set(suspects))
            return self.closed & set(suspects)

        monkeypatch.setattr(leases, "read_leases", read_leases)
        self.seen._connections.find_closed = find_closed  # type: ignore[method-assign,assignment]

    async def read(self, after_s: float = 0.0) -> list[int]:
        """The free partitions after another read."""
        self.time.s += after_s
        await self.seen.read(range(4), 3.0)
        return sorted(self.seen.free)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Leases:
    return Leases(monkeypatch)


@pytest.mark.parametrize("name", ["me", "b", "c"])
async def test_each_worker_has_its_own_order_of_free_partitions(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    held = Leases(monkeypatch, name)
    await held.read()
    first = zlib.crc32(name.encode()) % 4
    assert held.seen.free == [(first + step) % 4 for step in range(4)]


async def test_partition_is_free_since_it_was_first_seen_so_without_a_gap(held: Leases) -> None:
    assert await held.read() == [0, 1, 2, 3]
    await held.read(3.0)
    assert held.seen.unclaimed_s(0) == 3.0
    await held.read(3.25)
    assert held.seen.unclaimed_s(0) == 0.0, "others could not take it meanwhile"
    held.infos[0] = HELD
    assert await held.read(1.0) == [1, 2, 3]
    held.infos[0] = LeaseInfo("1:other", 0)
    assert await held.read(1.0) == [0, 1, 2, 3]
    assert (held.seen.unclaimed_s(0), held.seen.unclaimed_s(1)) == (0.0, 2.0)
    assert not held.seen.holder_probably_died(0), "it was released"
    assert not held.seen.holder_probably_died(1), "it was never held"
    held.seen.forget(1)
    await held.read(1.0)
    assert held.seen.unclaimed_s(1) == 0.0


async def test_holders_are_counted_and_an_own_lease_is_free(held: Leases) -> None:
    held.infos = [HELD, HELD, LeaseInfo("2:third", START_MS + 5_000), LeaseInfo("1:me", START_MS + 5_000)]
    assert await held.read() == [3]
    assert held.seen.counts == {"other": 2, "third": 1}
    held.infos = [StoreUnreachableError("away"), HELD, None, StoreUnreachableError("away")]
    assert await held.read(0.5) == [2]
    assert held.seen.counts == {"other": 2, "me": 1}, "what is not read stays as it was"
    assert str(held.seen.error) == "away"
    held.infos = [HELD, LeaseInfo("1:other", 0), None, None]
    await held.read(0.5)
    assert (held.seen.error, held.seen.counts) == (None, {"other": 1})


async def test_lease_that_is_not_renewed_expires_by_our_clock(held: Leases) -> None:
    held.infos = [HELD] * 4
    for passed_s in (0.0, 2.0, 2.0, 0.875):
        assert await held.read(passed_s) == []
    assert await held.read(0.125) == [0, 1, 2, 3]
    assert held.seen.holder_probably_died(0)
    assert held.seen.how_lease_ended(0) == "expired"
    assert (held.asked[0], held.asked[-1]) == (set(), {"run:1"}), "its connection is open"


async def test_holder_gets_as_long_as_the_gap_to_renew_after_one(held: Leases) -> None:
    held.infos = [HELD] * 4
    await held.read()
    assert await held.read(60.0) == []
    assert held.seen.until_overdue_s() == 1.0
    assert await held.read(2.875) == []
    assert await held.read(0.125) == [0, 1, 2, 3]


async def test_dead_workers_lease_expires_a_second_after_its_renewal(held: Leases) -> None:
    held.infos = [HELD, HELD, None, LeaseInfo("1:silent", START_MS + 5_000)]
    held.closed = {"run:1"}
    assert held.seen.until_overdue_s() == math.inf
    assert await held.read() == [2]
    assert held.seen.until_overdue_s() == 1.0
    assert await held.read(0.875) == [2]
    assert (held.seen.until_overdue_s(), held.seen.dead_workers) == (0.125, frozenset())
    with capture_logs() as lines:
        assert await held.read(0.125) == [0, 1, 2]
        assert await held.read() == [0, 1, 2]
    assert [(line["event"], line["holder"], line["count"]) for line in lines] == [("worker_disconnected", "other", 2)]
    assert (held.seen.until_overdue_s(), held.seen.dead_workers) == (math.inf, {"other"})
    assert (held.seen.how_lease_ended(0), held.seen.how_lease_ended(3)) == ("disconnected", "expired")
    assert held.asked == [set(), set(), {"run:1"}, {"run:1"}]
    held.infos[0] = LeaseInfo("1:other", START_MS + 9_000, "run:2")
    assert await held.read(0.5) == [1, 2], "it lives, over another connection"
    assert held.seen.how_lease_ended(0) == "expired"
