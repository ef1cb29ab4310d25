"""The takeover of a partition in virtual time: it is repeated after errors, and waits for few answers of Redis."""

from functools import partial

from tests.support.memory_redis import Fault
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, cluster_of_one

of_one = in_virtual_time_with("team, member", partial(cluster_of_one, partitions=1))


@of_one
async def test_takeover_that_is_repeated_leaves_no_task_behind(team: WorkerCluster, member: ClusterMember) -> None:
    """Redis comes back as another server, breaks off in the middle of the takeover, and takes no commit."""
    await team.client.sadd(team.keys.live(0), "s1")
    refusals = {"fire_timers": 2, "commit_batch": 1_000}

    def refuse(name: str) -> Fault | None:
        refusals[name] = refusals.get(name, 0) - 1
        return Fault.UNREACHABLE if refusals[name] >= 0 else None

    team.server.stop()
    team.server.start()
    team.server.fault = refuse
    await team.passes(6.0)
    events = team.keys.events(0)
    assert await team.client.xlen(events) == 1, "one request to read Twilio"
    await team.leave(member)
    await team.passes(40.0)
    assert await team.client.xlen(events) == 1
