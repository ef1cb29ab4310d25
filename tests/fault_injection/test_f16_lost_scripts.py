"""Redis comes back without what scripts wrote, but with plain entries: the default user is off, and a restart loads its
append-only file (Redis 7.0 to 8.4, github.com/redis/redis/issues/14541). Sessions go back in time, and old events
remain. The test makes that file itself, so it does not depend on the version of Redis."""

import asyncio

import pytest

from tests.fault_injection.calls import hang_up, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.redis_losses import SWEEP_S, comes_to_rest
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.processes, pytest.mark.soak, pytest.mark.timeout(180)]
#: How much of the past is lost, seconds: more than Conferral takes for granted to be new after a loss.
LOST_S = 20.0
#: How long after the restart people are watched, seconds: nothing that is going to happen to them takes longer.
WATCHED_S = 5.0


def without_scripts(requests: bytes) -> bytes:
    """Drop what scripts wrote from requests of an append-only file: whatever is between MULTI and EXEC."""
    kept, at, is_script = [], 0, False
    while at < len(requests):
        start = at
        line_end = requests.index(b"\r\n", at)
        words, at = [], line_end + 2
        for _ in range(int(requests[start + 1 : line_end])):
            line_end = requests.index(b"\r\n", at)
            length = int(requests[at + 1 : line_end])
            words.append(requests[line_end + 2 : line_end + 2 + length])
            at = line_end + 2 + length + 2
        is_script = is_script or words[0].upper() == b"MULTI"
        if not is_script:
            kept.append(requests[start:at])
        is_script = is_script and words[0].upper() != b"EXEC"
    return b"".join(kept)


def lose_scripts_since(server: RedisServer, size: int) -> None:
    """Kill the server, take scripts' writes after this place out of its file, and start it again."""
    server.kill()
    path = server.append_only_file
    content = path.read_bytes()
    path.write_bytes(content[:size] + without_scripts(content[size:]))
    server.start()


async def test_events_that_outlive_their_sessions_end_no_call(durable_redis):
    async with FaultSystem(durable_redis, CONFERRAL_SWEEP_INTERVAL=SWEEP_S, CONFERRAL_CONVERT_TIMEOUT=2) as system:
        bridged, handed_over = await system.talking(), await system.converted()
        parked, ended = await system.converted(), await system.talking()
        await system.nothing_under_way()
        size = durable_redis.append_only_file.stat().st_size

        customer, _ = bridged
        await system.done("convert", customer.sid)
        customer, _ = handed_over
        target = await transferred(system, customer)
        await system.done("complete", customer.sid)
        customer, _ = parked
        await system.done("hold", customer.sid, party="customer")
        await system.done("unhold", customer.sid, party="customer")
        for customer, _ in (ended, await system.talking()):  # of the second, its beginning is lost as well
            await system.done("end", customer.sid)
        await asyncio.sleep(LOST_S)  # a delay: how much is lost
        await system.nothing_under_way()
        live = {call.sid for call in system.sandbox.live_calls()}
        assert {bridged[0].sid, handed_over[0].sid, target.sid, parked[0].sid} <= live
        before = await system.outcomes()

        lose_scripts_since(durable_redis, size)
        await comes_to_rest(system)
        await asyncio.sleep(WATCHED_S)  # a delay: nothing may happen for this long

        hung_up = live - {call.sid for call in system.sandbox.live_calls()}
        concluded = {outcome["session"] for outcome in before if outcome["kind"] == "session"}
        again = [outcome for outcome in await system.outcomes() if outcome["session"] in concluded]
        ids = {outcome["id"] for outcome in before}
        # What is decided again after a noted loss adds to the former id when that was noted.
        new_ids = {one for one in {outcome["id"] for outcome in again} - ids if one.rpartition(":")[0] not in ids}
        await hang_up(system)
        assert (hung_up, new_ids) == (set(), set()), f"of {len(live)} legs of live calls"
