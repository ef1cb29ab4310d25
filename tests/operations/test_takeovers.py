"""A worker that is gone, and who took over from it."""

import pytest

from conferral.operations.session_queries import SessionQueries
from conferral.operations.takeovers import (
    DISPLAY_MS,
    LeaseSnapshot,
    TakeoverDetector,
    read_lease_snapshot,
)
from conferral.storage.keys import Keys
from conferral.storage.queries.live_workers import HEARTBEAT_TIMEOUT_MS


def held(at_ms, holders, running):
    return LeaseSnapshot(at_ms, dict(enumerate(holders)), set(running))


def test_a_worker_that_dies_is_named_with_what_waits_and_who_takes_over():
    takeovers = TakeoverDetector()
    assert takeovers.observe(held(1_000, ["one", "one", "two"], ["one", "two"])) is None
    assert takeovers.observe(held(2_000, ["", "", "two"], ["one", "two"])) is None, "it may only be late"
    began = takeovers.observe(held(3_000, ["", "", "two"], ["two"]))
    assert (began.lost_workers, began.partitions, began.waiting, began.successors) == (("one",), (0, 1), (0, 1), ())
    over = takeovers.observe(held(4_000, ["two", "two", "two"], ["two"]))
    assert (over.at_ms, over.waiting, over.successors) == (3_000, (), ("two",))
    assert takeovers.observe(held(3_000 + DISPLAY_MS, ["two", "two", "two"], ["two"])) == over
    assert takeovers.observe(held(3_001 + DISPLAY_MS, ["two", "two", "two"], ["two"])) is None


def test_a_takeover_between_two_readings_is_noticed():
    takeovers = TakeoverDetector()
    takeovers.observe(held(1_000, ["one", "two"], ["one", "two"]))
    over = takeovers.observe(held(2_000, ["two", "two"], ["two"]))
    assert (over.lost_workers, over.partitions, over.waiting, over.successors) == (("one",), (0,), (), ("two",))


def test_a_rebalance_between_two_workers_that_run_is_no_takeover():
    takeovers = TakeoverDetector()
    takeovers.observe(held(1_000, ["one", "one"], ["one"]))
    assert takeovers.observe(held(2_000, ["one", "two"], ["one", "two"])) is None
    assert takeovers.observe(held(3_000, ["two", "two"], ["one", "two"])) is None


def test_partition_no_worker_takes_over_is_shown_as_long_as_it_waits():
    takeovers = TakeoverDetector()
    takeovers.observe(held(1_000, ["one"], ["one"]))
    takeovers.observe(held(2_000, [""], []))
    assert takeovers.observe(held(9_000 + DISPLAY_MS, [""], [])).waiting == (0,)
    assert takeovers.observe(held(9_500 + DISPLAY_MS, ["new"], ["new"])) is None


@pytest.mark.redis
async def test_partition_holders_are_read_from_leases_and_heartbeats(redis_server, client):
    keys = Keys("conferral", 2)
    with redis_server.client() as redis:
        seconds, _ = redis.time()
        redis.zadd(keys.workers, {"one": seconds * 1000, "two": seconds * 1000 - 2 * HEARTBEAT_TIMEOUT_MS})
        redis.hset(keys.lease(0), mapping={"holder": "7:one", "until": (seconds + 60) * 1000})
        redis.hset(keys.lease(1), mapping={"holder": "7:two", "until": (seconds - 1) * 1000})
    found = await read_lease_snapshot(SessionQueries(client, keys))
    assert (dict(found.holders), found.running) == ({0: "one", 1: ""}, {"one"})
