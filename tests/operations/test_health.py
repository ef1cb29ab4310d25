"""Health is read from Redis as it stands, whatever of it is there, and rates are differences of two reads."""

from dataclasses import replace

import pytest
from msgspec.structs import astuple

from conferral.operations.health import Health, Rates, rates, read_health
from conferral.runtime.metrics import Metrics
from conferral.storage.coordinator import Owner
from conferral.storage.keys import GROUP, Keys
from conferral.storage.outcome_queue import SendingState
from conferral.storage.queries import process_registry
from conferral.storage.queries.process_registry import Process, ProcessStats, stats_of
from conferral.storage.queries.session_reader import SessionReader
from tests.support.owners import owned_by

KEYS = Keys("test", 3)
NOW_MS = 1_800_000_000_000
NO_OWNER = Owner()


@pytest.mark.redis
async def test_health_reports_existing_data_and_nothing_else(client):
    await client.hset(KEYS.owners, mapping={
        "0": owned_by("w1", NOW_MS - 300, 7), "1": owned_by("gone", NOW_MS - 3_501, 3),
        "commands": owned_by("w1", NOW_MS, 2),
    })  # fmt: skip
    await client.hset(KEYS.lease(0), "commit", "12")
    await client.hset(KEYS.lease(1), "commit", "4")
    for number in range(3):
        await client.xadd(KEYS.events(0), {"n": str(number)})
    await client.xgroup_create(KEYS.events(0), GROUP, id="0")
    await client.sadd(KEYS.live(0), "s1", "s2")
    await client.hset(KEYS.outbox(0), mapping={"e1": "x"})
    await client.zadd(KEYS.timers(0), {"ring|s1": NOW_MS - 5_000, "age|s1": NOW_MS - 1_000})
    await client.xadd(KEYS.dead, {"type": "x"})
    await client.xadd(KEYS.commands, {"type": "x"})
    await client.zadd(KEYS.undelivered, {"5-0": 5})
    await client.hset(KEYS.sending_state, mapping={"position": "7-0", "stopped_at": 9, "failing_since": 8})

    found = await read_health(SessionReader(client, KEYS), NOW_MS)

    first, second, third = found.partitions
    assert (first.owner, first.undecided, first.commit) == (Owner("w1", 7, NOW_MS - 300), 3, 12)
    assert first.lag in (3, None)  # Redis reports it from 7.0 on
    assert (first.live, first.outbox, first.overdue_timers) == (2, 1, 1)
    assert (second.owner, second.commit, second.overdue_timers) == (Owner("", 3, NOW_MS - 3_501), 4, 0)
    assert (third.owner, third.undecided, third.lag, third.overdue_timers) == (NO_OWNER, 0, None, 0)
    assert found.unassigned == (1, 2)
    assert (found.router, found.sweep) == (Owner("w1", 2, NOW_MS), NO_OWNER)
    assert (found.dead, found.commands, found.processes) == (1, 1, ())
    assert found.outcomes == SendingState("7-0", 9, 0, 1, 8)
    assert found.outcomes_problem == "", "no worker sends outcomes, so a URL that was removed is no problem"
    await client.hset(KEYS.owners, "outcomes", owned_by("w1", NOW_MS, 1))
    await client.hdel(KEYS.sending_state, "stopped_at")
    await client.hset(KEYS.sending_state, mapping={"failing_since": NOW_MS, "failing_reason": "HTTP 503"})
    problem = (await read_health(SessionReader(client, KEYS), NOW_MS)).outcomes_problem
    assert problem == "none delivered since 2027-01-15T08:00:00.000Z: HTTP 503"


@pytest.mark.redis
async def test_process_shows_what_it_has_done_and_one_that_is_gone_is_not_there(client):
    reported = ProcessStats(events=3, requests=2, failures={"21220": 1})
    await process_registry.register(client, KEYS, process_registry.Process("w1", "worker", "0.2.0", reported))
    await process_registry.register(client, KEYS, process_registry.Process("old", "webhooks", "0.1.0"))
    await process_registry.register(client, KEYS, process_registry.Process("gone", "worker", "0.2.0", reported))
    await process_registry.deregister(client, KEYS, "gone")
    old, worker = (await read_health(SessionReader(client, KEYS))).processes
    assert worker == Process("w1", "worker", "0.2.0", reported, worker.seen_ms_ago)
    assert 0 <= worker.seen_ms_ago < process_registry.STOPPED_AFTER_MS
    assert (old.name, old.stats) == ("old", None)
    *counts, failures = astuple(ProcessStats())  # of a process that has done nothing
    assert (set(counts), failures) == ({0}, {})


def stats_at(at_ms, **by_name):
    there = tuple(Process(name, "worker", "1", shown) for name, shown in by_name.items())
    return Health(at_ms, (), NO_OWNER, NO_OWNER, there, 0, 0, (), SendingState("", 0, 0, 0))


def test_rates_cover_processes_that_ran_at_both_reads():
    before = stats_at(
        1_000, a=ProcessStats(events=10, requests=4, failures={"21220": 1}), b=ProcessStats(events=500), old=None
    )
    after = stats_at(
        3_000,
        a=ProcessStats(
            events=16, requests=5, commits=2, callbacks_accepted=3, callbacks_refused=1, failures={"21220": 2}
        ),
        b=ProcessStats(events=4),  # started again
        new=ProcessStats(events=900),
        old=None,
    )
    expected = Rates(2.0, events=3.0, commits=1.0, callbacks=2.0, requests=0.5, failures={"21220": 0.5})
    assert rates(before, after) == expected
    assert rates(after, before) is None


def test_figures_are_those_of_the_metrics():
    metrics = Metrics()
    metrics.events.labels("convert", "moved").inc(2)
    metrics.events.labels("convert", "stale").inc()
    metrics.commits.labels("ok").inc(2)
    metrics.commits.labels("conflict").inc()
    for status in ("200", "400", "503", "204"):
        metrics.webhook_requests.labels("/voice/inbound", status).observe(0.1)
    for status in ("200", "429", "0"):
        metrics.rest_requests.labels("hang_up_call", status).observe(0.1)
    metrics.effects.labels("hang_up_call", "failed").inc()
    metrics.effects.labels("hang_up_call", "succeeded").inc()
    metrics.calls.lone_conferences_cleaned.inc()
    for number in range(15):
        metrics.rest_failures.labels(str(20_000 + number)).inc(number + 1)
    reported = stats_of(metrics)
    assert replace(reported, failures={}) == ProcessStats(
        events=3, commits=2, requests=3, rate_limited=1, given_up=1, callbacks_accepted=2, callbacks_refused=2,
        lone_ended=1,
    )  # fmt: skip
    assert list(reported.failures) == [str(20_000 + number) for number in range(14, 4, -1)]


@pytest.mark.redis
async def test_worker_that_died_is_named_and_one_that_stopped_is_not(client):
    now_ms = (await client.time())[0] * 1000
    info = b'{"kind": "worker", "version": "0.1.0"}'
    for name, ago_ms in (("alive", 1_000), ("dead", 60_000), ("stopped", 1_000)):
        await client.hset(KEYS.processes, name, b"%d %b" % (now_ms - ago_ms, info))
    await process_registry.deregister(client, KEYS, "stopped")

    found = await read_health(SessionReader(client, KEYS))

    assert [one.name for one in found.processes] == ["alive"]
    assert [(one.name, one.kind, one.seen_ms_ago // 10_000) for one in found.died] == [("dead", "worker", 6)]
