"""Redis comes back with less than it had acknowledged: a torn file, or an older copy."""

from pathlib import Path

import pytest

from conferral.statemachine.events import Transfer
from conferral.storage import coordinator as leases
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import Commit
from tests.fault_injection.calls import all_hang_up
from tests.fault_injection.fault_system import FaultSystem
from tests.fault_injection.redis_losses import (
    AWAY_S,
    SWEEP_S,
    Life,
    comes_to_rest,
    copy_before,
    copy_of,
    everything,
    no_one_is_in_silence,
    restore,
    tear,
)  # fmt: skip
from tests.flows.flow_helpers import TARGET
from tests.storage.partition.test_commit import SESSION, opened
from tests.support.redis_server import RedisServer
from tests.support.stores import commit_store_of

pytestmark = [pytest.mark.redis, pytest.mark.processes]


# ---- torn ------------------------------------------------------------------------------------------------------------


async def commit_one(server: RedisServer) -> tuple[int, dict[str, object], dict[str, object]]:
    """Makes one commit; returns how many bytes of the file it took, and all data without and with it."""
    client, keys = make_client(server.url), Keys("test", 4)
    partition = keys.partition_of(SESSION)
    lease = await leases.claim_partition(client, keys, partition, "1:one")
    entry_id = (await client.xadd(keys.events(partition), {"type": "x"})).decode()
    with server.client() as other:
        before, size = everything(other), server.append_only_file.stat().st_size
        commit = Commit(entry_ids=[entry_id], sessions=[opened()], outbox_set={"effect": b"{}"}, timers={"t|s": 5})
        await commit_store_of(client, keys).commit(partition, lease, commit)
        after = everything(other)
    await client.aclose()
    assert after != before
    return server.append_only_file.stat().st_size - size, before, after


def torn_by(server: RedisServer, whole: Path, count: int) -> dict[str, object]:
    """All that is left when so many bytes were cut off."""
    restore(server, whole)
    tear(server, count)
    with server.client() as client:
        return everything(client)


EVERY_BYTE = pytest.param(True, id="every-byte", marks=[pytest.mark.soak, pytest.mark.timeout(300)])


@pytest.mark.parametrize("at_every_byte", [pytest.param(False, id="ends-and-middle"), EVERY_BYTE])
async def test_fault_15_commit_in_a_torn_file_is_whole_or_absent(durable_redis, tmp_path, at_every_byte):
    size, before, after = await commit_one(durable_redis)
    whole = copy_of(durable_redis, tmp_path / "whole")
    assert torn_by(durable_redis, whole, 0) == after
    for count in range(1, size + 1) if at_every_byte else (1, size // 2, size):
        assert torn_by(durable_redis, whole, count) == before, f"{count} of {size} bytes were cut off"


# ---- an older copy ------------------------------------------------------------------------------------------------


REWINDS = [(back, lost) for lost in range(1, len(Life.STEPS)) for back in range(lost)]


@pytest.mark.parametrize("back, lost", [
    pytest.param(Life.STEPS[back], Life.STEPS[lost], marks=[] if (back, lost) == (1, 3) else [pytest.mark.soak])
    for back, lost in REWINDS
])  # fmt: skip
async def test_fault_16_older_copy_of_redis_comes_back(durable_redis, tmp_path, back, lost):
    async with FaultSystem(durable_redis, CONFERRAL_SWEEP_INTERVAL=SWEEP_S, CONFERRAL_CONVERT_TIMEOUT=5) as system:
        life = Life(system)
        await life.go_to(back)
        copy = copy_of(durable_redis, tmp_path / "copy")
        await life.go_to(lost)
        live = {call.sid for call in system.sandbox.live_calls()}
        restore(durable_redis, copy)
        await comes_to_rest(system)
        await system.eventually(lambda: no_one_is_in_silence(system), "no one is in silence")
        gone = live - {call.sid for call in system.sandbox.live_calls()}
        assert life.customer.sid not in gone, await system.report()
        assert system.dials_to(TARGET) <= 1
        await all_hang_up(system, outage_s=AWAY_S)


@pytest.mark.soak
async def test_fault_16_undecided_transfer_has_failed_and_dials_no_one_again(durable_redis, tmp_path):
    """Redis comes back with the command, and lost that its target was dialed."""
    system = FaultSystem(durable_redis, CONFERRAL_SWEEP_INTERVAL=SWEEP_S, CONFERRAL_RING_TIMEOUT=5)
    copies = copy_before(Transfer, system, durable_redis, tmp_path / "copy")
    async with system:
        life = Life(system)
        await life.go_to("converted")
        await comes_to_rest(system)
        await life.go_to("all talk")
        restore(durable_redis, copies[0])
        with durable_redis.client() as client:
            assert client.hget(system.keys.session(life.customer.sid), "state") == "conferenced"
        await system.until(life.customer.sid, **{"party.guest-1.status": "connected"})
        await system.has_failed(life.transfer_id, "unknown")
        assert system.dials_to(TARGET) == 1
        await system.until_hears(life.customer, [life.agent, life.target])
        await all_hang_up(system, outage_s=AWAY_S)
