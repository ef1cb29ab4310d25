"""What a commit writes to keys of all partitions: reports, outcomes, expiries of calls."""

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import LeaseLostError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import coordinator as leases
from conferral.storage import digits
from conferral.storage.call_index import REPLAY_WINDOW_S, CallIndex
from conferral.storage.connection.client import run_or_raise
from conferral.storage.partition.commit_store import Commit, CommitResult, CommitStore
from tests.support.metric_values import value_of
from tests.support.redis_clients import full

pytestmark = pytest.mark.redis
ACCEPTED, DONE, FAILED = CommandStatus.ACCEPTED, CommandStatus.DONE, CommandStatus.FAILED
OUTCOME = {"id": "CA1:session", "kind": "session", "reason": ""}
BATCH = Commit(
    reports=[("CA1", CommandReport("c1", FAILED, "busy", "31486"))], outcomes=[OUTCOME], calls_over={"CA1": ("CA1",)}
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def store(client, keys, metrics) -> CommitStore:
    index = CallIndex(keys, 60)
    return CommitStore(client, keys, call_index=index, outcomes_kept=100, metrics=metrics)


@pytest.fixture
async def lease(client, keys, clock):
    return await leases.claim_partition(client, keys, 0, "1:one")


async def outcomes_of(client, keys) -> list[dict[str, str]]:
    found = await client.xrange(keys.outcomes)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in found]


async def test_one_commit_reports_publishes_and_lets_calls_expire(store, client, keys, lease):
    await client.set(keys.call("CA1"), "CA1", ex=2 * REPLAY_WINDOW_S)
    await store.commit(0, lease, BATCH)
    reported = {b"status": b"failed", b"reason": b"busy", b"session": b"CA1", b"code": b"31486"}
    assert await client.hgetall(keys.command("c1")) == reported
    assert 86_399_000 < await client.pttl(keys.command("c1")) <= 86_400_000
    assert await outcomes_of(client, keys) == [OUTCOME]
    assert 0 < await client.ttl(keys.call("CA1")) <= REPLAY_WINDOW_S


async def test_repeated_commit_publishes_nothing_twice(store, client, keys, lease):
    await store.commit(0, lease, BATCH)
    await client.delete(keys.command("c1"))
    lease.commit_number -= 1  # as if the answer had been lost
    assert await store.commit(0, lease, BATCH) is CommitResult.ALREADY
    assert await outcomes_of(client, keys) == [OUTCOME]
    assert not await client.exists(keys.command("c1"))


async def test_former_owner_reports_and_publishes_nothing(store, client, keys, lease, clock):
    await leases.claim_partition(client, keys, 0, "2:two")
    with pytest.raises(LeaseLostError):
        await store.commit(0, lease, BATCH)
    assert not await client.exists(keys.command("c1"), keys.outcomes)


async def test_status_only_advances_also_within_a_batch(store, client, keys, lease):
    async def status_after(*statuses: CommandStatus) -> tuple[bytes, bytes]:
        reports = [("CA1", CommandReport("c1", status, f"{number}")) for number, status in enumerate(statuses)]
        await store.commit(0, lease, Commit(reports=reports))
        return tuple(await client.hmget(keys.command("c1"), "status", "reason"))

    assert await status_after(ACCEPTED) == (b"accepted", b"0")
    assert await status_after(ACCEPTED, DONE, ACCEPTED, FAILED) == (b"done", b"1")
    assert await status_after(ACCEPTED, FAILED) == (b"done", b"1")


async def test_digits_of_a_command_that_failed_are_gone_and_are_not_kept_again(store, client, keys, lease):
    """An empty text stays, as after playing: a router may repeat its last command."""
    for status, kept in ((ACCEPTED, b"1ww4711#"), (FAILED, b""), (FAILED, b"")):
        await run_or_raise(client, digits.keep(keys, "c1", "1ww4711#"))
        await store.commit(0, lease, Commit(reports=[("CA1", CommandReport("c1", status))]))
        assert await client.get(keys.digits("c1")) == kept
    assert 0 < await client.ttl(keys.digits("c1")) <= digits.DIGITS_TTL_S
    await store.commit(0, lease, Commit(reports=[("CA1", CommandReport("c2", FAILED))]))
    assert not await client.exists(keys.digits("c2"))


async def test_call_with_a_newer_session_does_not_expire_with_the_last_one(store, client, keys, lease):
    await client.set(keys.call("CA1"), "CA1-2", ex=2 * REPLAY_WINDOW_S)
    assert await store.commit(0, lease, Commit(calls_over={"CA1": ("CA1", "CA3")})) is CommitResult.OK
    assert await client.ttl(keys.call("CA1")) > REPLAY_WINDOW_S
    assert not await client.exists(keys.call("CA3"))


async def test_keys_of_another_program_take_nothing_and_hold_up_nothing(store, client, keys, lease, metrics):
    """Calls must not wait until someone removes a foreign key."""
    for key in (keys.outcomes, keys.command("c1")):
        await client.set(key, "another program's")
    await client.sadd(keys.call("CA1"), "another program's")
    entry_id = (await client.xadd(keys.events(0), {"type": "x"})).decode()
    reports = [*BATCH.reports, *BATCH.reports, ("CA1", CommandReport("c2", DONE))]
    commit = Commit([entry_id], reports=reports, outcomes=[OUTCOME, OUTCOME], calls_over={"CA1": ("CA1", "CA2")})
    await client.set(keys.call("CA2"), "CA1", ex=2 * REPLAY_WINDOW_S)
    with capture_logs() as lines:
        assert await store.commit(0, lease, commit) is CommitResult.OK
    assert lease.commit_number == 1
    refused = [keys.call("CA1"), keys.command("c1"), keys.outcomes]
    assert [(line["event"], line["names"]) for line in lines] == [("writes_refused", sorted(refused))]
    assert value_of(metrics.writes_refused.labels("commit")) == 1
    assert not await client.xlen(keys.events(0))
    assert await client.hget(keys.command("c2"), "status") == b"done"
    assert await client.ttl(keys.call("CA2")) <= REPLAY_WINDOW_S


async def test_exhausted_stream_of_outcomes_is_named_and_holds_up_nothing(store, client, keys, lease):
    await client.xadd(keys.outcomes, {"id": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
    with capture_logs() as lines:
        await store.commit(0, lease, BATCH)
    assert [line["names"] for line in lines] == [[keys.outcomes]]
    assert await client.hget(keys.command("c1"), "status") == b"failed"


async def test_full_redis_takes_outcomes_and_reports(store, client, keys, lease):
    ids = [(await client.xadd(keys.events(0), {"type": "x"})).decode()]
    async with full(client):
        assert await store.commit(0, lease, Commit(ids, reports=BATCH.reports, outcomes=[OUTCOME])) is CommitResult.OK
    assert await outcomes_of(client, keys) == [OUTCOME]
    assert await client.hget(keys.command("c1"), "status") == b"failed"


async def test_stream_of_outcomes_is_bounded(store, client, keys, lease):
    for _ in range(4):
        await store.commit(0, lease, Commit(outcomes=[OUTCOME] * 100))
    # About: whole pieces of the stream are cut off, of 100 entries each.
    assert 100 <= await client.xlen(keys.outcomes) <= 200
