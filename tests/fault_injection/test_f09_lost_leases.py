"""Workers that are stopped, blocked or deceived while someone else takes their partitions over."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from conferral.sandbox import RestHookEvent
from conferral.statemachine.events import Convert
from conferral.storage import scripts
from conferral.storage.codecs import event_codec
from conferral.storage.commands import command_stream
from conferral.storage.coordinator import read_owners
from conferral.worker.consumer.session_cache import SessionCache
from conferral.worker.process import Worker
from tests.fault_injection.calls import all_hang_up, many_talk
from tests.fault_injection.fault_system import TWO_WORKERS, FaultSystem
from tests.support.forked_worker import ForkedWorker
from tests.support.metric_values import value_of
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.redis, pytest.mark.system(**TWO_WORKERS)]
COMMIT = scripts.commit_batch.sha.encode()


async def until_dropped(system: FaultSystem, former: ForkedWorker) -> None:
    """Waits until a worker process knows that it has lost a partition."""
    await system.eventually(lambda: "lease_lost" in former.text(), "the former holder has noticed")


# ---- processes -------------------------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.processes
async def test_fault_09_stopped_worker_that_wakes_with_a_commit_in_hand(system, redis_server, tmp_path):
    """SIGSTOP right behind the request to commit, which reaches Redis when someone else has the lease."""
    async with Relay(redis_server.socket) as relay, Relay(system.sandbox.port) as twilio:
        stopped, may_arrive = asyncio.Event(), asyncio.Event()

        async def stop(request: bytes) -> None:
            if COMMIT in request and not stopped.is_set():
                first.signal(signal.SIGSTOP)
                stopped.set()
                await may_arrive.wait()

        api_url = f"http://127.0.0.1:{twilio.port}"
        with system.worker_process(tmp_path, "first", redis_url=relay.url, twilio_url=api_url) as first:
            await system.everything_is_held()
            with system.worker_process(tmp_path, "second") as second:
                await system.workers_are_up(2)
                customer, agent = await system.talking()
                relay.on_request = stop
                converting = await system.begins("convert", customer.sid)
                assert (await system.outcome_of(converting)).status == "done", second.text()
                assert stopped.is_set()
                asked_before = twilio.requests
                may_arrive.set()
                first.signal(signal.SIGCONT)
                await until_dropped(system, first)
                await all_hang_up(system, outage_s=1.0)
                assert system.redirects_of(agent) == 1
                of_former = [line for line in first.text().splitlines() if "effect_" in line]
                assert not of_former, "the former holder has carried something out"
                assert twilio.requests - asked_before <= 2, "more than the sweep that was under way"


@pytest.mark.soak
@pytest.mark.processes
async def test_fault_10_worker_stopped_inside_a_request(system, tmp_path):
    """Twilio has done it, and answers long after another worker has verified it."""
    stopped, may_answer = asyncio.Event(), asyncio.Event()

    async def hold_back(moment: RestHookEvent) -> None:
        if moment.step == "after" and moment.method == "POST" and agent.sid in moment.path and not stopped.is_set():
            first.signal(signal.SIGSTOP)
            stopped.set()
            await may_answer.wait()

    with system.worker_process(tmp_path, "first") as first:
        await system.everything_is_held()
        with system.worker_process(tmp_path, "second") as second:
            customer, agent = await system.talking()
            system.sandbox.on_rest = hold_back
            assert (await system.command("convert", customer.sid)).status == "done", second.text()
            assert stopped.is_set()
            may_answer.set()
            first.signal(signal.SIGCONT)
            await until_dropped(system, first)
            assert system.redirects_of(agent) == 1, second.text()
            reported = [
                entry["details"] for entry in await system.log(customer.sid) if entry["event"] == "effect_succeeded"
            ]
            assert sum('"redirect_call"' in details for details in reported) == 1, reported
            await all_hang_up(system, outage_s=1.0)


@pytest.mark.soak
@pytest.mark.processes
@pytest.mark.parametrize("point", ["after_read", "before_commit", "after_commit"])
async def test_fault_11_loop_of_a_worker_is_blocked(system, tmp_path, point):
    """It lives, but comes to nothing, for four times as long as its lease lasts."""
    with system.worker_process(tmp_path, "first", die_at=point, block_s=4.0) as first:
        await system.everything_is_held()
        with system.worker_process(tmp_path, "second") as second:
            await system.workers_are_up(2)
            customer, agent = await system.talking()
            first.arm()
            assert (await system.command("convert", customer.sid)).status == "done", second.text()
            await until_dropped(system, first)
            assert not [line for line in first.text().splitlines() if "effect_" in line]
            assert system.redirects_of(agent) == 1
            await all_hang_up(system, outage_s=4.0)


@pytest.mark.soak
@pytest.mark.processes
async def test_fault_62_stopped_holder_with_an_open_read_wakes_after_a_hand_over(system, tmp_path):
    """What it had been sent meanwhile is decided once, in its order, and by someone else."""
    with system.worker_process(tmp_path, "first") as first:
        await system.everything_is_held()
        with system.worker_process(tmp_path, "second"):
            customer, _ = await system.converted()
            first.signal(signal.SIGSTOP)
            given = [await mute_or_unmute(system, customer.sid, number) for number in range(6)]
            for command_id in given:
                await system.outcome_of(command_id)
            given += [await mute_or_unmute(system, customer.sid, number) for number in range(6, 9)]
            first.signal(signal.SIGCONT)
            given += [await mute_or_unmute(system, customer.sid, number) for number in range(9, 12)]
            for command_id in given:
                assert (await system.outcome_of(command_id)).status in ("done", "failed")
            await until_dropped(system, first)
            log = await system.log(customer.sid)
            # A command may be routed twice around the hand-over; the second is ignored.
            decided = [entry["command"] for entry in log if "command" in entry and entry["outcome"] != "stale"]
            assert decided[-len(given) :] == given
            await all_hang_up(system, outage_s=1.0)


async def mute_or_unmute(system: FaultSystem, session: str, number: int) -> str:
    kind = "unmute" if number % 2 else "mute"
    command = {"type": kind, "session": session, "party": "agent", "id": f"c{number}"}
    await command_stream.publish(system.client, system.keys, command)
    return command["id"]


# ---- in one process, step by step ------------------------------------------------------------------------------------


def held_by(worker: Worker, partition: int) -> Any:
    assert worker.ownership is not None
    return worker.ownership.consumers[partition]


async def taken_over(system: FaultSystem, former: str, partition: int) -> str:
    """Deletes a lease and its owner by hand until another worker has it; returns the new holder."""
    holder = ""

    async def by_another() -> bool:
        nonlocal holder
        holder = ((await system.client.hget(system.keys.lease(partition), "holder")) or b"").decode()
        owner = (await read_owners(system.client, system.keys))[str(partition)].name
        if owner in ("", former):
            async with system.client.pipeline(transaction=True) as both:
                both.delete(system.keys.lease(partition))
                both.hdel(system.keys.owners, str(partition), f"worker:{former}")
                await both.execute()
        return bool(holder) and former not in holder

    await system.eventually(by_another, "another worker has the lease")
    return holder


def started(system: FaultSystem, checkpoint: Callable[[str, int], Awaitable[None]] | None = None) -> Worker:
    system.worker_options = {"checkpoint": checkpoint} if checkpoint else {}
    return system.start_worker()


@pytest.mark.soak
async def test_fault_12_lease_is_lost_between_two_commits_of_one_batch(redis_server, monkeypatch):
    """A batch that met a conflict is committed session by session: what stood before the loss stands."""
    steps: list[str] = []
    one_batch = asyncio.Event()

    former = dict[str, Any]()
    cached = SessionCache.get

    def get(cache: SessionCache, session_id: str) -> Any:
        """What is cached; once, what was there before the last event."""
        if one_batch.is_set() and session_id in former:
            return former.pop(session_id)
        if not one_batch.is_set():
            former[session_id] = cached(cache, session_id)
        return cached(cache, session_id)

    async def checkpoint(point: str, partition: int) -> None:
        if one_batch.is_set():
            steps.append(point)
            if point == "before_commit" and steps.count(point) == 3:
                await taken_over(system, first.name, partition)

    monkeypatch.setattr(SessionCache, "get", get)

    async with FaultSystem(redis_server, **TWO_WORKERS) as system:
        first = started(system, checkpoint)
        await system.everything_is_held()
        calls = await many_talk(system, 2)
        ids = [customer.sid for customer, _ in calls]
        await system.done("record", ids[0], action="start")
        await system.eventually(lambda: nothing_undecided(system), "everything is decided")
        second = started(system)
        await system.eventually(lambda: second.ownership is not None, "the second worker is up")
        del former[ids[1]]
        one_batch.set()
        async with system.client.pipeline(transaction=True) as both:
            for session_id in ids:
                event = Convert(session_id=session_id, token=session_id)
                both.xadd(system.keys.events(0), event_codec.encode(event))
            await both.execute()
        for session_id in ids:
            await system.until(session_id, state="conferenced")
        await all_hang_up(system, outage_s=1.0)
        holders = {commit.session_id: {} for commit in system.history.commits}
        for commit in system.history.commits:
            holders[commit.session_id][commit.version] = commit.holder
        converts = [await convert_of(system, session_id) for session_id in ids]
        by = [holders[session_id][version] for session_id, version in zip(ids, converts, strict=True)]
        assert first.name in by[0]
        assert second.name in by[1]
        assert value_of(first.metrics.commits.labels("conflict")) == 1
        assert value_of(first.metrics.commits.labels("lost")) == 1


async def nothing_undecided(system: FaultSystem) -> bool:
    return not await system.client.xlen(system.keys.events(0)) and not await system.client.hlen(system.keys.outbox(0))


async def convert_of(system: FaultSystem, session_id: str) -> int:
    """The version at which a session got the command to convert."""
    (entry,) = [entry for entry in await system.log(session_id) if entry["event"] == "convert"]
    return int(entry["version"])


async def test_fault_13_two_workers_believe_in_the_same_epoch(redis_server):
    """An epoch alone is given out twice when a lease is forgotten: the whole name of the holder decides."""
    epochs: list[str] = []

    async def checkpoint(point: str, partition: int) -> None:
        if point != "before_commit" or epochs or not is_armed.is_set():
            return
        epochs.append(held_by(first, partition).lease.holder.split(":")[0])
        holder = await taken_over(system, first.name, partition)
        epochs.append(holder.split(":")[0])

    is_armed = asyncio.Event()
    async with FaultSystem(redis_server, **TWO_WORKERS) as system:
        first = started(system, checkpoint)
        await system.everything_is_held()
        second = started(system)
        customer, agent = await system.talking()
        is_armed.set()
        await system.done("convert", customer.sid)
        assert epochs == ["1", "1"]
        assert value_of(first.metrics.commits.labels("lost")) == 1
        assert system.redirects_of(agent) == 1
        await all_hang_up(system, outage_s=1.0)
        assert any(second.name in commit.holder for commit in system.history.commits)
