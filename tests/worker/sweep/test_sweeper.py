"""Sweeps on a real Redis, with an account by script: what is published and asked, who sweeps, and when."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import ProviderRefusedError, ResultUnknownError, StoreUnreachableError
from conferral.statemachine.events import AccountSwept
from conferral.storage.codecs import event_codec
from conferral.storage.queries.session_reader import SessionReader
from conferral.telephony.account_lists import AccountSnapshot
from conferral.worker.sweep.sweeper import SweepTimes
from tests.support.metric_values import value_of
from tests.worker.sweep.sweep_harness import NAMES, PARTITIONS, SweepHarness

pytestmark = pytest.mark.redis


# ---- what is reported ------------------------------------------------------------------------------------------------


async def test_only_what_differs_is_published_to_its_sessions_partition(sea: SweepHarness) -> None:
    await sea.store(
        sea.session("in-order", "CA1", "CA2", conference="CF1"),
        sea.session("call-gone", "CA3", "CA4", conference="CF2"),
        sea.session("room-gone", "CA5", "CA6", conference="CF3"),
        sea.session("bridged", "CA7", "CA8"),
    )
    calls = {f"CA{number}" for number in range(1, 9)} - {"CA4"}
    sea.account.account = AccountSnapshot(calls=calls, conferences={"CF1": "in-order", "CF2": "call-gone"})

    await sea.sweep()

    assert await sea.reported() == {
        ("call-missing", "call-gone", "CA4", ""),
        ("conference-missing", "room-gone", "", "CF3"),
    }


async def test_call_and_conference_outliving_their_session_are_reported(sea: SweepHarness) -> None:
    over = sea.ended("over", "CA1", "CA2", conference="CF1")
    await sea.store(over, sea.ended("just-over", "CA3", conference="CF3", ago_ms=1_000))
    await sea.store(sea.ended("order-7", conference="CF4"))
    # CF2 only has the name of a session of ours.
    conferences = {"CF1": "over", "CF2": "over", "CF3": "just-over", "CF4": NAMES.make("order-7", "CA5")}
    sea.account.account = AccountSnapshot(calls={"CA1", "CA3"}, conferences=conferences)

    await sea.sweep()

    assert await sea.reported() == {
        ("call-live", "over", "CA1", ""),
        ("conference-live", "over", "", "CF1"),
        ("conference-live", "order-7", "", "CF4"),
    }


async def test_foreign_calls_and_conferences_are_left_alone(sea: SweepHarness) -> None:
    """Others use the account too; and a session that Redis does not know (yet) is none to be judged."""
    await sea.store(sea.session("live", "CA1", conference="CF1"))
    await sea.client.set(sea.keys.call("CA8"), "not-decided-yet")
    # A live session's former leg, and a second conference of its name.
    await sea.client.set(sea.keys.call("CA7"), "live")
    await sea.client.sadd(sea.keys.call("CA6"), "another program's")
    calls = {"CA1", "CA6", "CA7", "CA8", "CA9"}
    sea.account.account = AccountSnapshot(calls=calls, conferences={"CF1": "live", "CF2": "live", "CF9": "lunch"})

    await sea.sweep()

    assert await sea.reported() == set()


async def test_call_that_began_a_moment_ago_is_not_missing(sea: SweepHarness) -> None:
    quiet_s = 100_000  # so long that a thousandth of it is long, too
    quiet_ms = sea.store_clock.now_ms() - 1_000 * quiet_s
    await sea.store(
        sea.session("new", "CA1", created_at_ms=quiet_ms + 50_000),
        sea.session("old", "CA2", created_at_ms=quiet_ms - 50_000),
    )

    await sea.sweep(times=sea.times(quiet_s=quiet_s))

    assert await sea.reported() == {("call-missing", "old", "CA2", "")}


async def test_records_that_make_no_sense_stop_nothing(sea: SweepHarness) -> None:
    await sea.store(sea.session("good", "CA1"), sea.session("changed", "CA3"))
    await sea.client.hset(
        sea.keys.session("changed"), "session", '{"id":"changed","parties":{"p0":{"held":"perhaps"}}}'
    )
    broken = {"no-time": {"state": "bridged"}, "odd-time": {"state": "bridged", "updated_at": "soon"},
              "binary": {"state": "bridged", "updated_at": b"\xff"}}  # fmt: skip
    for name, fields in broken.items():
        await sea.client.hset(sea.keys.session(name), mapping=fields)
        await sea.client.sadd(sea.keys.live(sea.keys.partition_of(name)), name)
    await sea.client.set(sea.keys.session("text"), "?")
    for name in ("text", "vanished"):
        await sea.client.sadd(sea.keys.live(sea.keys.partition_of(name)), name)

    with capture_logs() as lines:
        await sea.sweep(times=DAILY)

    assert await sea.reported() == {("call-missing", "good", "CA1", "")}
    (names,) = [line["names"] for line in lines if line["event"] == "records_skipped"]
    assert names == sorted(map(sea.keys.session, [*broken, "changed", "text"]))


async def test_same_finding_has_one_token_in_an_interval_and_another_in_the_next(sea: SweepHarness) -> None:
    await sea.store(sea.session("s1", "CA1"))
    day = sea.times(interval_s=86_400)

    async def tokens(sweeps: int, **more: Any) -> set[str]:
        await sea.sweep(sweeps, **more)
        found = {event.token for event in await sea.published()}
        await sea.decide_all()
        return found

    first = await tokens(1, name="one", times=day)
    assert len(first) == 1
    assert await tokens(2, name="two", times=day) == first
    assert len(await tokens(4) | await tokens(6)) >= 2


async def test_every_partition_gets_its_turn_when_findings_exceed_the_limit(
    sea: SweepHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conferral.worker.sweep.sweeper.FINDINGS_MAX", 1)
    # No one decides here, and yet no one is to be passed over for that.
    monkeypatch.setattr("conferral.worker.sweep.sweeper.BEHIND_MS", 1_000_000)
    await sea.store(*(sea.session(f"s{number}", f"CA{number}") for number in range(40)))

    found = set[int]()
    for sweeps in range(PARTITIONS, PARTITIONS * 20):
        # A slow machine misses intervals, and with them the turns of their partitions.
        await sea.sweep(sweeps)
        found = {sea.keys.partition_of(event.session_id) for event in await sea.published()}
        if len(found) == PARTITIONS:
            break
    assert found == set(range(PARTITIONS))


# ---- partitions that are behind --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag_ms", "expected", "behind"),
    [
        (-600_000, {"call-missing", "conference-missing"}, 0),  # Redis's clock was set back
        (2_000, {"call-missing", "conference-missing"}, 0),
        (600_000, set(), 1),
    ],
)
async def test_differences_count_unless_a_partition_is_far_behind(
    sea: SweepHarness, lag_ms: int, expected: set[str], behind: int
) -> None:
    """Someone may be alone, and takeovers may follow each other."""
    first, second, third, *_ = (name for name in (f"s{n}" for n in range(40)) if sea.keys.partition_of(name) == 1)
    await sea.store(sea.session(first, "CA1"), sea.session(second, "CA2", "CA3", conference="CF2"))
    sea.account.account = AccountSnapshot(calls={"CA2", "CA3"})
    waiting = event_codec.encode(AccountSwept(session_id=third, finding="writes-lost"))
    await sea.client.xadd(sea.keys.events(1), waiting, id=f"{sea.store_clock.now_ms() - lag_ms}-0")

    with capture_logs() as lines:
        await sea.sweep()

    assert {event.finding for event in await sea.published() if event.session_id != third} == expected
    assert next(line["behind"] for line in lines if line["event"] == "account_swept") == behind


@pytest.mark.parametrize("key", ["lease", "events", "live", "session"])
async def test_another_programs_key_leaves_out_no_other_partition(sea: SweepHarness, key: str) -> None:
    names = [f"s{number}" for number in range(40)]
    await sea.store(*(sea.session(name, f"CA{name}") for name in names))
    foreign = sea.keys.session("s7") if key == "session" else getattr(sea.keys, key)(sea.keys.partition_of("s7"))
    await sea.client.delete(foreign)
    await sea.client.set(foreign, "of another program")

    with capture_logs() as lines:
        await sea.sweep()

    await sea.client.delete(foreign)
    found = {event.session_id for event in await sea.published()}
    lost = ["s7"] if key == "session" else [n for n in names if sea.keys.partition_of(n) == sea.keys.partition_of("s7")]
    if key == "lease":
        lost = []  # the sweep asks nothing of it
    assert found == {*names} - {*lost}
    if key not in ("session", "lease"):
        # On a slow machine, a second sweep begins before the first is seen to end.
        given_up = {(line["partition"], line["reason"]) for line in lines if line["event"] == "sweep_abandoned"}
        assert given_up == {
            (sea.keys.partition_of("s7"), f"Redis refused (WRONGTYPE): {foreign} belongs to another program")
        }


# ---- what it costs ---------------------------------------------------------------------------------------------------


async def test_sweep_is_counted(sea: SweepHarness) -> None:
    await sea.store(sea.session("s1", "CA1", "CA2"))
    lists: Any = {"call_pages": 12, "conference_pages": 6, "has_all_conferences": False}
    sea.account.account = AccountSnapshot({"CA1", "CA9"}, conferences={"CF9": "lunch"}, **lists)

    with capture_logs() as lines:
        await sea.sweep(times=DAILY)

    text = sea.metrics.exposition().decode()
    assert 'conferral_sweep_pages_total{kind="calls"} 12.0' in text
    assert 'conferral_sweep_pages_total{kind="conferences"} 6.0' in text
    assert 'conferral_sweep_findings_total{kind="call-missing"} 1.0' in text
    assert "conferral_sweep_seconds_count 1.0" in text
    age_s = sea.clock.wall_ms() / 1000 - value_of(sea.metrics.sweep_last_success)
    assert 0 <= age_s < 15
    (line,) = [line for line in lines if line["event"] == "account_swept"]
    duration_s = sea.metrics.registry.get_sample_value("conferral_sweep_seconds_sum")
    assert line == {
        "event": "account_swept", "log_level": "info", "calls": 2, "conferences": 1, "pages": 18, "sessions": 1,
        "findings": 1, "behind": 0, "duration_ms": round(1000 * duration_s), "reason": "some records can't be read",
    }  # fmt: skip


UNKNOWN = "CA" + "9" * 32
DAILY = SweepTimes(interval_s=86_400, quiet_s=5.0, settle_s=0.0, again_after_s=0.05)


async def test_sweep_that_was_given_up_is_not_missed_for_a_whole_interval(sea: SweepHarness) -> None:
    await sea.store(sea.session("s1", "CA1"))
    sea.account.faults.append(ResultUnknownError(http_status=503))

    await sea.sweep(times=DAILY)

    assert (sea.sweeps("given-up"), sea.account.readings) == (1, 2)
    assert await sea.reported() == {("call-missing", "s1", "CA1", "")}


@pytest.mark.parametrize("part, asked_for", [("session_ids_of_calls", ["CA9"]), ("read_sessions", [UNKNOWN])])
async def test_part_without_an_answer_of_redis_costs_the_sweep_nothing_else_and_is_repeated_soon(
    sea: SweepHarness, monkeypatch: pytest.MonkeyPatch, part: str, asked_for: list[str]
) -> None:
    await sea.store(sea.session("s1", "CA1"))
    sea.account.account = AccountSnapshot({"CA9"}, conferences={"CF9": UNKNOWN})
    read, errors = getattr(SessionReader, part), [StoreUnreachableError("connection lost")]

    async def lost_once(reader: SessionReader, wanted: list[str]) -> Any:
        if wanted == asked_for and errors:
            raise errors.pop()
        return await read(reader, wanted)

    monkeypatch.setattr(SessionReader, part, lost_once)

    await sea.sweep(2, times=DAILY)

    assert (sea.sweeps("given-up"), sea.account.readings) == (0, 2)
    assert [event.call_sid for event in await sea.published()] == ["CA1", "CA1"]


async def test_refused_sweep_waits_for_its_interval(sea: SweepHarness) -> None:
    sea.account.faults.append(ProviderRefusedError(http_status=401, code=20003))
    sweeper = sea.sweeper(times=DAILY)
    stop = asyncio.Event()
    running = asyncio.create_task(sweeper.run(stop))

    await sea.until(lambda: sea.sweeps("given-up") == 1)

    await asyncio.sleep(0.3)  # a delay: a sweep that failed otherwise is repeated after 0.05 s
    assert sea.account.readings == 1
    stop.set()
    await running


async def test_canceled_sweeper_leaves_no_sweep_behind(sea: SweepHarness) -> None:
    sea.account.waits = asyncio.Event()
    before = asyncio.all_tasks()
    running = asyncio.create_task(sea.sweeper().run(asyncio.Event()))
    await sea.until(lambda: sea.account.readings > 0)
    running.cancel()
    await sea.until(lambda: asyncio.all_tasks() <= before)


# ---- who sweeps, and when --------------------------------------------------------------------------------------------


async def test_sweeper_that_lost_the_lease_publishes_nothing(sea: SweepHarness) -> None:
    await sea.store(sea.session("s1", "CA1"))
    sea.account.waits = asyncio.Event()
    stop = asyncio.Event()
    owner = ["this worker"]
    running = asyncio.create_task(sea.sweeper(owns_sweep=lambda: bool(owner)).run(stop))
    await sea.until(lambda: sea.account.readings > 0)
    owner.clear()
    sea.account.waits.set()
    await sea.until(lambda: sea.sweeps("given-up") == 1)

    assert await sea.published() == []
    readings, sea.account.waits = sea.account.readings, None
    owner.append("again")
    await sea.until(lambda: sea.account.readings > readings)
    stop.set()
    await running


async def test_stop_does_not_wait_for_a_list(sea: SweepHarness) -> None:
    sea.account.waits = asyncio.Event()
    stop = asyncio.Event()
    running = asyncio.create_task(sea.sweeper().run(stop))
    await sea.until(lambda: sea.account.readings > 0)

    stop.set()
    async with asyncio.timeout(2):
        await running

    assert (sea.sweeps(), sea.sweeps("given-up")) == (0, 0)


# ---- what goes wrong -------------------------------------------------------------------------------------------------


async def test_redis_that_is_away_for_a_while_is_waited_for(sea: SweepHarness) -> None:
    await sea.store(sea.session("s1", "CA1"))
    stop = asyncio.Event()
    await sea.client.config_set("min-replicas-to-write", 1)
    with capture_logs() as lines:
        running = asyncio.create_task(sea.sweeper(times=sea.times(again_after_s=0.05)).run(stop))
        await sea.until(lambda: any(line["event"] == "sweep_abandoned" for line in lines))
    assert sea.sweeps() == 0
    assert await sea.reported() == set()

    await sea.client.config_set("min-replicas-to-write", 0)
    await sea.until(lambda: sea.sweeps() >= 1)
    stop.set()
    await running
    assert ("call-missing", "s1", "CA1", "") in await sea.reported()


async def test_sweep_that_finds_a_lost_callback_is_followed_by_another_one_soon(sea: SweepHarness) -> None:
    await sea.store(sea.session("S1", "CA1"))
    once = sea.times(interval_s=86_400, again_after_s=0.05)
    await sea.sweep(sweeps=3, times=once)
    assert sea.account.readings >= 3


async def test_leftover_of_an_ended_session_is_no_lost_callback(sea: SweepHarness) -> None:
    await sea.store(sea.ended("S1", "CA1"))
    sea.account.account = AccountSnapshot(calls={"CA1"})
    await sea.sweep(times=sea.times(interval_s=86_400, again_after_s=0.0))
    assert sea.account.readings == 1


def test_times_are_shorter_where_the_interval_is_short() -> None:
    assert SweepTimes.for_interval(30) == SweepTimes(30, quiet_s=3, settle_s=1, again_after_s=4)
    assert SweepTimes.for_interval(1) == SweepTimes(1, quiet_s=0.5, settle_s=0.25, again_after_s=1)
