"""Who counts as alive, and how long handovers pause, to the moment: by clocks that are set by hand."""

from unittest.mock import AsyncMock

import pytest

from conferral.storage import scripts
from conferral.storage.keys import Keys
from conferral.worker.assignment.handover import HandoverBackoff
from conferral.worker.assignment.membership import Membership
from tests.worker.cores import core_of
from tests.worker.executor_harness import FakeTime


class Members:
    """One worker's view; heartbeats are Redis's milliseconds, and so is the time of a read."""

    def __init__(self, lease_ms: int = 5_000) -> None:
        self.time = FakeTime()
        self.changes = 0
        self.known = Membership(core_of(None, Keys("test", 4), self.time, lease_ms=lease_ms), self._note)

    def _note(self) -> None:
        self.changes += 1

    def read(self, after_s: float = 0.0, *, now_ms: int = 100_000, **sent_ms: float) -> set[str]:
        """The others that count as alive after another read."""
        self.time.s += after_s
        self.known._update(sent_ms, now_ms)
        assert self.known.count == len(self.known.names)
        return set(self.known.names) - {"me"}


def test_first_read_trusts_redis_whether_a_heartbeat_is_recent() -> None:
    members = Members()
    assert members.read(a=96_501, b=96_500, c=103_499, d=103_500) == {"a", "c"}
    assert members.changes == 1
    assert members.known.is_loaded.is_set()


def test_worker_that_is_alone_is_notified_once() -> None:
    members = Members()
    assert members.read() == members.read(1.0) == set()
    assert members.changes == 1


def test_worker_whose_heartbeat_stays_the_same_dies_by_our_own_clock() -> None:
    members = Members()
    assert members.read(a=100_000) == {"a"}
    for number in range(3):
        assert members.read(1.0, a=100_000, now_ms=500_000) == {"a"}, number
    assert members.read(0.25, a=100_000) == {"a"}
    assert members.read(0.25, a=100_000) == set(), "3.5 s without a sign"
    assert members.changes == 2
    assert members.read(1.0, a=1, now_ms=700_000) == {"a"}, "a heartbeat that differs, whatever Redis's clock shows"
    assert members.changes == 3


def test_known_workers_have_two_seconds_after_a_gap() -> None:
    members = Members()
    assert members.read(a=100_000, b=100_000) == {"a", "b"}
    assert members.read(2.0, a=100_000, b=100_000) == {"a", "b"}
    assert members.read(2.0, a=100_000, b=100_000) == set(), "no gap yet"

    members = Members()
    assert members.read(a=100_000, b=100_000) == {"a", "b"}
    assert members.read(60.0, a=100_000, new=96_500) == {"a"}, "known, still listed, and given time"
    assert members.read(1.75, a=100_000, new=96_501) == {"a", "new"}
    assert members.read(0.25, a=100_000, new=96_502) == {"new"}


def test_only_a_recent_heartbeat_counts_for_what_another_could_take() -> None:
    members = Members()
    members.read(a=100_000)
    members.read(1.75, a=100_000)
    assert (members.known.is_alive("a"), members.known.is_alive("b")) == (True, False)
    members.time.s += 0.25
    assert not members.known.is_alive("a"), "two heartbeats were missed"


def test_short_leases_have_short_heartbeats() -> None:
    members = Members(lease_ms=1_000)
    members.read(a=100_000)
    assert members.read(0.3999, a=100_000) == {"a"}
    assert members.known.is_alive("a")
    assert members.read(0.0002, a=100_000) == {"a"}
    assert not members.known.is_alive("a")
    assert members.read(0.2998, a=100_000) == {"a"}
    assert members.read(0.0002, a=100_000) == set(), "0.7 of a lease"

    members = Members(lease_ms=1_000)
    members.read(a=100_000)
    members.read(0.3, a=100_000)
    assert members.read(0.5, a=100_000) == {"a"}, "two heartbeats were missed: a gap"
    assert members.read(0.399, a=100_000) == {"a"}
    assert members.read(0.002, a=100_000) == set()


def test_worker_found_dead_stays_dead_until_a_heartbeat_after_the_next_read() -> None:
    members = Members()
    members.read(a=100_000, b=100_000)
    members.known.note_dead(["a", "me"])
    assert members.known.names == {"me", "b"}
    assert (members.known.is_dead("a"), members.known.is_alive("a")) == (True, False)
    assert members.read(1.0, a=100_500, b=101_000) == {"b"}, "it may have been sent before its death"
    assert members.read(1.0, a=100_500, b=102_000) == {"b"}
    assert members.read(1.0, a=103_000, b=103_000) == {"a", "b"}
    assert not members.known.is_dead("a")
    members.known.note_dead(["b"])
    members.read(1.0, a=104_000)
    assert list(members.known.dead) == [], "not listed any more"


async def test_dead_worker_is_listed_for_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    members, write = Members(), AsyncMock(return_value=(b"100000", [b"a", b"99000", b"b", b"90000"]))
    monkeypatch.setattr(scripts, "write_heartbeat", write)
    await members.known._send_heartbeat()
    assert write.call_args.args[2] == ["me", 30_000]
    assert members.known.names == {"me", "a"}


def test_handovers_pause_longer_each_time_that_no_one_takes_a_partition() -> None:
    time = FakeTime()
    backoff = HandoverBackoff(time)
    assert backoff.is_over
    for pause_s in (4, 8, 16, 32, 64, 128, 240, 240):
        backoff.partitions |= {3, 5}
        backoff.check([3, 5], [3, 5])
        assert backoff.partitions == set()
        time.s += pause_s - 1
        assert not backoff.is_over, pause_s
        time.s += 1
        assert backoff.is_over, pause_s
    backoff.partitions |= {3, 5, 7}
    backoff.check([], [5])
    assert backoff.partitions == {5}, "the others were taken"
    backoff.check([5], [5])
    time.s += 4
    assert backoff.is_over, "it began again"
