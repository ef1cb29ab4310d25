"""The client's way of following sessions and outcomes, also over a restart of Redis."""

import asyncio

import pytest

from conferral import Client
from tests.conferral.cli_helpers import AGENT_CALL, CALL, KEYS, ended, log_entry, make_session, put
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
END = {"before": "conferenced", "after": "ended", "outcome": "moved", "reason": "agent-left"}


@pytest.fixture
async def client(redis):
    put(redis, make_session(), log=[log_entry("call_received", version="1")])
    async with Client() as client:
        yield client


def happens(redis, event, **more):
    return redis.xadd(KEYS.log(CALL), log_entry(event, **more))


def finish(redis, position, **fields):
    return redis.xadd(KEYS.outcomes, {"id": f"o{position}", "kind": "session", "session": CALL, **fields})


async def events(entries):
    return [entry.event async for entry in entries]


async def begun(entries):
    """The first step of a loop, under way: what comes from now on is seen by it."""
    step = asyncio.ensure_future(anext(entries))
    for _ in range(5):  # asked where the end is, which is the first answer that it waits for
        await asyncio.sleep(0.05)  # a delay: nothing shows that a blocked read has begun
    return step


async def test_a_session_is_followed_from_its_start_to_its_end(client, redis):
    happens(redis, "convert", after="converting", outcome="moved", command="c1", details='{"party": "agent"}')
    happens(redis, "lone_overdue", effects='[{"id":"1","kind":"end_conference","party":"","target":"CF1"}]', **END)
    happens(redis, "call_progressed", before="ended", after="ended")

    first, second, last = [entry async for entry in client.follow(AGENT_CALL, from_start=True)]

    assert (first.event, first.version, first.session) == ("call_received", 1, CALL)
    assert first.at.isoformat() == "2027-01-15T08:00:00+00:00"
    assert (second.state_before, second.state_after, second.outcome) == ("bridged", "converting", "moved")
    assert (second.command_id, second.details) == ("c1", {"party": "agent"})
    assert last.is_end
    assert last.reason == "agent-left"
    assert last.effects[0]["kind"] == "end_conference"


async def test_following_reports_only_new_events_by_default(client, redis):
    entries = client.follow(CALL)
    step = await begun(entries)
    happens(redis, "convert")
    happens(redis, "lone_overdue", **END)

    assert (await step).event == "convert"
    assert await events(entries) == ["lone_overdue"]


async def test_following_resumes_after_an_entry(client, redis):
    convert = happens(redis, "convert")
    happens(redis, "lone_overdue", **END)

    assert await events(client.follow(CALL, after=convert)) == ["lone_overdue"]


async def test_following_an_ended_session_returns_its_log_without_waiting(client, redis):
    put(redis, ended("GONE"), log=[log_entry("lone_overdue", **END)])

    assert await events(client.follow("GONE", from_start=True)) == ["lone_overdue"]
    assert await events(client.follow("GONE")) == []


async def test_outcomes_are_reported_as_they_arrive(client, redis):
    finish(redis, 1, result="ended")
    outcomes = client.outcomes()
    step = await begun(outcomes)
    attempts = '[{"to":"client:bob","label":"target-1","result":"busy","rang_s":1.5,"at":"2027-01-15T08:00:00.100Z"}]'
    finish(
        redis, 2, kind="transfer", result="recalled", reason="busy", mode="blind", to="client:bob,client:carol",
        attempts=attempts, started_at="2027-01-15T08:00:00.000Z", ref="T-7", landed_on="recall",
        hold_s="1.25", consult_s="", held_s="odd", recordings='["RE1"]',
    )  # fmt: skip

    reported = await step

    assert (reported.id, reported.kind, reported.session) == ("o2", "transfer", CALL)
    assert (reported.result, reported.reason, reported.ref) == ("recalled", "busy", "T-7")
    assert (reported.mode, reported.to, reported.ended_at) == ("blind", ("client:bob", "client:carol"), None)
    (attempt,) = reported.attempts
    assert (attempt["label"], attempt["result"], attempt["to"]) == ("target-1", "busy", "client:bob")
    assert (reported.hold_s, reported.consult_s, reported.held_s, reported.alone_s) == (1.25, None, None, None)
    assert (reported.landed_on, reported.recordings) == ("recall", ("RE1",))


async def test_outcomes_resume_at_the_given_position(client, redis):
    for number in range(450):  # more than one reading of the stream
        finish(redis, number)

    first = [outcome.id async for outcome in _first(client.outcomes(after="0"), 450)]
    second = await anext(client.outcomes(after="0"))
    third = await anext(client.outcomes(after=second.position))

    assert first == [f"o{number}" for number in range(450)]
    assert (second.id, third.id) == ("o0", "o1")


async def _first(outcomes, count):
    for _ in range(count):
        yield await anext(outcomes)


@pytest.mark.processes
async def test_a_restart_of_redis_costs_neither_entries_nor_outcomes_nor_commands(redis_program):
    with RedisServer(redis_program, append_only=True) as server:
        with server.client() as redis:
            put(redis, make_session())
        async with Client(server.url) as client:
            entries, outcomes = client.follow(CALL, from_start=True), client.outcomes(after="0")
            steps = [await begun(entries), await begun(outcomes)]
            command = await client.convert(CALL, wait=False)
            waiting = asyncio.create_task(command.done(60))
            # Behind a slow fsync Redis keeps what is to be written for up to two seconds; that is its own promise.
            async with asyncio.timeout(60):
                with server.client() as redis:
                    while redis.info("persistence")["aof_buffer_length"]:
                        await asyncio.sleep(0.05)
            await asyncio.to_thread(server.kill)
            giving = asyncio.create_task(client.end(CALL, id="late", timeout_s=60))
            async with asyncio.timeout(60):
                while not any(task.done() for task in (waiting, giving)) and not await _refused(client):
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(server.start)
            with server.client() as redis:
                happens(redis, "convert")
                finish(redis, 1)
                for command_id in (command.id, "late"):
                    record = {"status": "done", "reason": "", "session": CALL}
                    redis.hset(KEYS.command(command_id), mapping=record)

            async with asyncio.timeout(60):
                assert (await steps[0]).event == "convert"
                assert (await steps[1]).id == "o1"
                assert (await waiting).status == "done"
                assert (await giving).status == "done"
            with server.client() as redis:
                assert [fields["id"] for _, fields in redis.xrange(KEYS.commands)] == [command.id, "late"]


async def _refused(client):
    """Whether Redis is found to be away."""
    from conferral.runtime.errors import StoreUnreachableError

    try:
        await client.sessions()
    except StoreUnreachableError:
        return True
    return False
