"""The sweep through the whole of it: a real Redis, workers, the local Twilio, and callbacks that never arrive."""

import orjson
import pytest

from tests.support.local_system import LocalSystem
from tests.support.metric_values import value_of
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
INTERVAL_S = 1


def every_callback_is_lost(system: LocalSystem) -> None:
    """So is every request for TwiML by which something could be noticed."""
    system.sandbox.faults.lose_callbacks("*", count=1_000)
    system.sandbox.faults.fail_fetches("/voice/dial-action", status=500, count=100)


async def waits_for_nothing(system: LocalSystem, session_id: str) -> bool:
    """Neither for an answer of Twilio's nor for a moment, but for the one at which it is a day old."""
    partition = system.keys.partition_of(session_id)
    # Three reads are one moment only where nothing was decided between the first and the last.
    before = await system.session(session_id)
    if await system.client.hlen(system.keys.outbox(partition)) or await system.client.xlen(
        system.keys.events(partition)
    ):
        return False
    timers = list(orjson.loads(before["timers"]))
    return timers == ["age"] and (await system.session(session_id))["version"] == before["version"]


async def test_conference_and_calls_that_outlive_their_session_are_ended(redis_server: RedisServer) -> None:
    """Twilio says of each that it is gone, and it is not."""
    async with LocalSystem(redis_server.url, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S) as system:
        customer, agent = await system.converted()
        for path in ("/Conferences/*", "/Calls/*"):
            system.sandbox.faults.next_rest("POST", path, status=404, code=20404, count=2, Status="completed")

        assert (await system.command("end", customer.sid)).status == "done"
        assert {customer.status, agent.status} == {"in-progress"}

        await system.settled()
        assert {customer.status, agent.status} == {"completed"}
        found = [entry["details"] for entry in await system.log(customer.sid) if entry["event"] == "account_swept"]
        assert found


@pytest.mark.soak
async def test_healthy_calls_are_never_queried_by_the_sweep(redis_server: RedisServer) -> None:
    async with LocalSystem(redis_server.url, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S) as system:
        customers = [(await system.talking())[0] for _ in range(3)]
        before = len(system.sandbox.request_log.rest)

        async def swept_three_times() -> bool:
            return int(value_of(system.workers[0].metrics.sweeps.labels("done"))) >= 3

        await system.eventually(swept_three_times, "three sweeps")

        asked = {(entry.method, entry.path.rpartition("/")[2]) for entry in system.sandbox.request_log.rest[before:]}
        assert asked == {("GET", "Calls.json"), ("GET", "Conferences.json")}
        for customer in customers:
            assert not [entry for entry in await system.log(customer.sid) if entry["event"] == "account_swept"]
            assert (await system.command("end", customer.sid)).status == "done"
        await system.settled()
