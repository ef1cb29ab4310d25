"""The takeover of a partition in virtual time: it is repeated after errors, and waits for few answers of Redis."""

from functools import partial

from conferral.statemachine.events import CallReceived, Complete, DialEnded, Event
from conferral.storage.codecs import event_codec
from conferral.worker.held_partitions import PartitionStatus
from tests.support.memory_redis import Fault
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, cluster_of_one

of_one = in_virtual_time_with("team, member", partial(cluster_of_one, partitions=1))


@of_one
async def test_takeover_that_is_repeated_leaves_no_task_behind(team: WorkerCluster, member: ClusterMember) -> None:
    """Redis has lost a commit, breaks off in the middle of the takeover, and takes no commit."""
    await publish(team, received("s1"))
    await team.passes(1.0)
    refusals = {"fire_timers": 2, "commit_batch": 1_000}

    def refuse(name: str) -> Fault | None:
        refusals[name] = refusals.get(name, 0) - 1
        return Fault.UNREACHABLE if refusals[name] >= 0 else None

    await team.client.hset(team.keys.lease(0), "lost", "1")
    team.server.fault = refuse
    await team.passes(6.0)
    events = team.keys.events(0)
    assert await team.client.xlen(events) == 1, "one request to read Twilio"
    await team.leave(member)
    await team.passes(40.0)
    assert await team.client.xlen(events) == 1


def received(session_id: str) -> CallReceived:
    parties = {"customer_address": "anonymous", "agent_address": "client:bob"}
    return CallReceived(session_id=session_id, call_sid=f"CA-{session_id}", **parties)


async def publish(team: WorkerCluster, *events: Event) -> None:
    """All at once, so that one read returns them."""
    pipeline = team.client.pipeline()
    for event in events:
        pipeline.xadd(team.keys.events(0), event_codec.encode(event))
    await pipeline.execute()


@of_one
async def test_a_loss_is_noted_until_each_live_session_is_about_to_read(
    team: WorkerCluster, member: ClusterMember
) -> None:
    """A claimer that dies before its first commit forgets nothing, and no entry waits for a read."""
    await publish(team, received("s1"))
    await team.passes(1.0)
    team.kill(member)
    await team.client.hset(team.keys.lease(0), "lost", "1")
    team.server.fault = lambda name: Fault.UNREACHABLE if name == "commit_batch" else None
    second = team.join()
    await team.passes(8.0)
    team.kill(second)
    assert await team.client.hget(team.keys.lease(0), "lost") == b"1"
    team.server.fault = lambda _name: None
    await publish(team, Complete(session_id="s1"))
    team.join()
    await team.passes(8.0)
    log = [fields[b"event"] for _, fields in await team.client.xrange(team.keys.log("s1"))]
    assert log == [b"call_received", b"account_swept", b"account_swept", b"complete"], "each claim asks for reads"
    assert not await team.client.hexists(team.keys.lease(0), "lost")


@of_one
async def test_lost_partition_leaves_a_commit_of_unknown_result_to_the_next_owner(
    team: WorkerCluster, member: ClusterMember
) -> None:
    """It ends although Redis answers no commit, and a later stop makes it no less lost."""
    team.server.fault = lambda name: Fault.UNREACHABLE if name == "commit_batch" else None
    await publish(team, received("s1"))
    await team.passes(1.0)
    partition = member.ownership.partitions[0]
    partition.mark_lost()
    await team.passes(0.3)
    assert member.ownership.partitions.get(0) is not partition
    partition.stop()
    assert partition.status is PartitionStatus.LOST
    team.server.fault = lambda _name: None
    await team.passes(3.0)
    assert await team.client.xlen(team.keys.log("s1")) == 1


@of_one
async def test_takeover_waits_for_few_answers_of_a_slow_redis(team: WorkerCluster, member: ClusterMember) -> None:
    successor = team.join()
    team.server.latency = lambda _name: (0.75, 0.75)
    await team.passes(20.0)
    team.kill(member)
    killed_at_s = team.loop.time()
    while not any(held.status is PartitionStatus.SERVING for held in successor.ownership.partitions.values()):
        await team.passes(0.05)
    assert team.loop.time() - killed_at_s < 11.0


@of_one
async def test_states_of_live_sessions_are_known_after_commits_and_after_a_takeover(
    team: WorkerCluster, member: ClusterMember
) -> None:
    over = DialEnded(
        session_id="s2", party="customer", call_sid="CA-s2", dial_kind="bridge", dial_call_status="completed",
        call_status="completed",
    )  # fmt: skip
    await publish(team, received("s1"), received("s2"))
    await team.passes(1.0)
    states = member.ownership.partitions[0].states
    assert states == {"s1": "bridged", "s2": "bridged"}
    await publish(team, over)
    await team.passes(1.0)
    assert states == {"s1": "bridged"}
    await team.client.sadd(team.keys.live(0), "without-a-hash")
    successor = team.join()
    team.kill(member)
    await team.passes(20.0)
    assert successor.ownership.partitions[0].states == {"s1": "bridged"}
