"""Until when a lease lasts, to the moment: by clocks that are set by hand, without Redis."""

from typing import Any

import pytest

from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import Lease, LeaseInfo, LeaseMonitor, disconnected_s
from tests.support.each import each


class Hands:
    """A clock that is set by hand."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return 0


def lease(**given: Any) -> Lease:
    fields = {"expired_at_ms": 0, "acquired_at_ms": 1_000_000, "requested_at_s": 50.0, "valid_until_s": 0.0}
    return Lease("key", "7:worker", 4, **(fields | given))


def test_lease_and_its_connection_last_from_before_the_request() -> None:
    held = lease(connection="run:1")
    held.extend(100.0, 5_000)
    for now_s, margin_s, is_valid, is_safe in [
        (100.75, 0.0, True, True),
        (100.75, 0.25, True, False),
        (101.0, 0.0, True, False),
        (104.75, 0.0, True, False),
        (104.75, 0.25, False, False),
        (105.0, 0.0, False, False),
    ]:
        clock = Hands(now_s)
        assert (held.is_valid(clock, margin_s), held.is_safe(clock, margin_s)) == (is_valid, is_safe), now_s
    held.connection = ""
    assert held.is_safe(Hands(104.75)), "no one knows a connection that could be missed"


@each("lease_ms, left_s", [(5_000, 1.0), (3_000, 1.0), (1_500, 0.5), (60_000, 1.0)])
def test_lease_without_its_connection_lasts_a_second_or_a_third(lease_ms: int, left_s: float) -> None:
    assert disconnected_s(lease_ms) == pytest.approx(left_s)


@each(
    "left_ms, lasts_s",
    [(-9_000, 2.0), (0, 2.0), (2_000, 2.0), (3_000, 3.0), (5_000, 5.0), (3_600_000, 5.0), (None, 5.0)],
)
def test_first_reading_gives_the_holder_time_for_a_renewal(left_ms: int | None, lasts_s: float) -> None:
    monitor = LeaseMonitor(5_000)
    assert not monitor.is_expired(1e9), "nothing is known of it"
    monitor.update(LeaseInfo("1:a", 7), 100.0, left_ms)
    assert [monitor.is_expired(100.0 + lasts_s + after_s) for after_s in (-0.125, 0.0)] == [False, True]
    assert monitor.disconnected_at_s() == 101.0
    monitor.update(LeaseInfo("1:a", 8), 101.0, 0)
    assert [monitor.is_expired(now_s) for now_s in (105.875, 106.0)] == [False, True], "from then on, our own clock"
    monitor.update(LeaseInfo("1:a", 8, "run:2"), 103.0)
    assert monitor.is_expired(106.0), "another connection is no renewal"
    assert monitor.last_info is not None
    assert monitor.last_info.connection == "run:2"
    assert monitor.disconnected_at_s() == 102.0


def test_unreadable_lease_gets_time_and_a_dead_holder_none() -> None:
    monitor = LeaseMonitor(5_000)
    monitor.update(LeaseInfo("1:a", 7), 100.0)
    monitor.extend(103.0, 104.0)
    assert [monitor.is_expired(now_s) for now_s in (104.875, 105.0)] == [False, True], "it never shortens the lease"
    assert monitor.disconnected_at_s() == 104.0
    monitor.extend(105.0, 108.0)
    assert [monitor.is_expired(now_s) for now_s in (107.875, 108.0)] == [False, True]
    monitor.expire(106.0)
    assert [monitor.is_expired(now_s) for now_s in (105.875, 106.0)] == [False, True]
    monitor.expire(107.0)
    assert monitor.is_expired(106.0), "it never extends it"
    monitor.update(LeaseInfo("1:a", 0), 106.0)
    assert monitor.is_expired(106.0), "released"


@pytest.mark.parametrize("had_all", [False, True])
@pytest.mark.parametrize("unknown_for_s", [-0.125, 0.0, 0.125])
def test_new_server_is_doubted_for_a_minute(had_all: bool, unknown_for_s: float) -> None:
    """It has all commits if the one before had, or was not in doubt any more, and none is missing."""
    for has_all_commits in (False, True):
        held = lease(redis="one", has_all_commits=had_all, may_lack_writes_until_s=200.0 + unknown_for_s)
        held.note_redis("two", 200.0, 1_000_200, has_all_commits=has_all_commits)
        assert (held.redis, held.may_lack_writes_until_s, held.rolled_back_at_ms) == ("two", 260.0, 1_000_200)
        assert held.has_unchecked_sessions
        assert held.has_all_commits is (has_all_commits and (had_all or unknown_for_s <= 0.0))
    for before, now in [("", "one"), ("one", ""), ("one", "one")]:
        held = lease(redis=before, has_all_commits=True)
        held.note_redis(now, 200.0, 1_000_200, has_all_commits=False)
        assert (held.redis, held.may_lack_writes_until_s, held.rolled_back_at_ms) == ("one", 0.0, 0)
        assert held.has_all_commits


@each(
    "noted, has_all, at_ms, until_s",
    [
        ("this", False, 1_000_000, 0.0),
        ("another", False, 1_000_000, 110.0),
        ("-990000:this", False, 990_000, 110.0),
        ("-879000:this", False, 879_000, 109.0),
        ("-820000:this", False, 820_000, 50.0),
        ("-700000:this", False, 700_000, 50.0),
        ("-1000000000:this", False, 1_000_000_000, 110.0),
        ("-990000:this:4", False, 990_000, 110.0),
        ("-990000:this:5", False, 1_000_000, 110.0),
        ("-990000:third", False, 1_000_000, 110.0),
        ("-700000:third", False, 1_000_000, 110.0),
        ("=990000:this:4", True, 990_000, 110.0),
        ("=990000:this:3", True, 990_000, 110.0),
        ("=990000:this:5", False, 1_000_000, 110.0),
        ("=990000:third:4", False, 1_000_000, 110.0),
        *((unreadable, False, 1_000_000, 110.0) for unreadable in ("-", "-soon", "-990000", "-" + "9" * 5_000)),
    ],
)
def test_lease_says_how_long_its_server_may_lack_writes(noted: str, has_all: bool, at_ms: int, until_s: float) -> None:
    taken = lease(redis_before=noted, redis="this", expired_at_ms=999_000, redis_up_s=3)
    leases.continue_verification(taken)
    assert (taken.has_all_commits, taken.rolled_back_at_ms, taken.may_lack_writes_until_s) == (has_all, at_ms, until_s)
    assert taken.has_unchecked_sessions is (noted != "this")


@each(
    "expired_at_ms, up_s, until_s",
    [(999_000, 10, 100.0), (999_000, 59, 51.0), (999_000, 60, 50.0), (999_000, 90, 50.0), (999_000, None, 0.0),
     (0, 10, 0.0)],
)  # fmt: skip
def test_death_on_a_young_server_of_which_nothing_is_noted(expired_at_ms: int, up_s: int, until_s: float) -> None:
    taken = lease(redis="this", redis_up_s=up_s, expired_at_ms=expired_at_ms)
    leases.continue_verification(taken)
    assert taken.may_lack_writes_until_s == until_s


def test_previous_holder_could_send_until_its_lease_expired() -> None:
    assert lease(expired_at_ms=999_000, clock_offset_ms=5).sent_until_ms == 999_005
    assert lease(expired_at_ms=0, clock_offset_ms=5).sent_until_ms == 1_000_005
    assert lease().sent_until_ms == 1_000_000
    assert [lease(expired_at_ms=at_ms).was_released for at_ms in (0, 1)] == [True, False]


@each(
    "noted, until_ms",
    [
        ("another", 999_000),  # the first holder after the rollback
        ("-960000:this:4", 960_000),
        ("-960000:this:5", 999_000),  # another rollback followed: a commit is missing
        ("=960000:this:4", 960_000),
        ("-999500:this:4", 999_000),
        ("-960000:third:4", 999_000),
    ],
)
def test_lost_history_could_send_until_the_rollback_however_many_holders_followed(noted: str, until_ms: int) -> None:
    taken = lease(redis_before=noted, redis="this", expired_at_ms=999_000)
    leases.continue_verification(taken)
    assert (taken.lost_until_ms, taken.sent_until_ms) == (until_ms, 999_000)


@each("offset_ms, until_ms", [(5_000, 965_000), (0, 960_000), (-5_000, 960_000), (-3_600_000, 999_000 - 3_600_000)])
def test_lost_history_sends_no_shorter_by_a_clock_that_was_set(offset_ms: int, until_ms: int) -> None:
    """Redis's clock may have been set after the rollback, and its time then looks as if it were long ago."""
    assert lease(expired_at_ms=999_000, rolled_back_at_ms=960_000, clock_offset_ms=offset_ms).lost_until_ms == until_ms
