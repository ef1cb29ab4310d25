"""The sweep's pictures that are older than what has happened since, and partitions that no one holds."""

import asyncio

import pytest

from conferral.statemachine.events import AccountSwept
from conferral.storage.codecs import event_codec
from offhook import RestHookEvent
from tests.fault_injection.calls import all_hang_up, events_of, stream_of, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.test_sweep import sweeps

pytestmark = [pytest.mark.redis, pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=0.5)]


class Held:
    """Twilio's answers to some reads: prepared at once, but delivered only when the test releases them."""

    def __init__(self, system: FaultSystem, path: str, status: str = "") -> None:
        self.taken, self._go = asyncio.Event(), asyncio.Event()
        self._path = path
        self._status = status
        system.sandbox.on_rest = self._wait

    async def _wait(self, moment: RestHookEvent) -> None:
        is_meant = moment.path.endswith(self._path) and dict(moment.params).get("Status", "") == self._status
        if moment.step == "after" and moment.method == "GET" and is_meant:
            self.taken.set()
            await self._go.wait()

    def release(self) -> None:
        self._go.set()


async def test_fault_58_list_that_is_older_than_a_call_does_not_end_it(system: FaultSystem) -> None:
    """A party dialed while the list was on its way is missing from it."""
    customer, agent = await system.converted()
    lists = Held(system, "/Calls.json", status="in-progress")
    await asyncio.wait_for(lists.taken.wait(), 10)
    target = await transferred(system, customer)
    before = sweeps(system)

    lists.release()

    await system.eventually(lambda: sweeps(system) >= before + 2, "the sweep is over, and another one")
    assert {call.status for call in (customer, agent, target)} == {"in-progress"}
    session = await system.session(customer.sid)
    assert session["party.target.status"] == "connected"
    await all_hang_up(system)


async def test_fault_58_read_older_than_a_leave_brings_no_one_back(system: FaultSystem) -> None:
    """The sweep suspects something, and the session reads Twilio; a participant leaves before the answer arrives."""
    customer, agent = await system.converted()
    target = await transferred(system, customer)
    reads = Held(system, "/Participants.json")
    suspected = AccountSwept(session_id=customer.sid, token="s1", finding="call-missing", call_sid=agent.sid)
    await system.client.xadd(stream_of(system.keys, customer.sid), event_codec.encode(suspected))
    await asyncio.wait_for(reads.taken.wait(), 10)
    target.hang_up()
    left = await system.until(customer.sid, **{"party.target.status": "left"})

    reads.release()

    async def is_read() -> bool:
        read = events_of(await system.log(customer.sid), "calls_read")
        return any(int(entry["version"]) > int(left["version"]) for entry in read)

    await system.eventually(is_read, "the picture has come")
    session = await system.session(customer.sid)
    assert session["party.target.status"] == "left"
    assert (customer.status, agent.status) == ("in-progress", "in-progress")
    await all_hang_up(system)


LEASE_MS = 1_000


@pytest.mark.soak
@pytest.mark.system(workers=2, lease_ms=LEASE_MS)
async def test_fault_59_partition_no_worker_can_take_is_reported_and_later_resumed(system: FaultSystem) -> None:
    """Someone has put another key where its lease was: every worker is refused."""
    customer, agent = await system.talking()
    lease = system.keys.lease(system.keys.partition_of(customer.sid))
    pipeline = system.client.pipeline(transaction=True)
    pipeline.delete(lease)
    pipeline.set(lease, "another program's")
    await pipeline.execute()

    async def is_reported() -> bool:
        names = "conferral_partitions_unassigned"
        return any(worker.metrics.registry.get_sample_value(names) == 1 for worker in system.workers)

    def is_named() -> bool:
        return any("partitions unassigned" in worker.ownership.problems for worker in system.workers)

    await system.eventually(is_reported, "the alarm")
    await system.eventually(is_named, "and in the readiness", timeout_s=60)
    command = asyncio.create_task(system.command("convert", customer.sid))
    await system.client.delete(lease)
    assert (await command).status == "done"
    assert system.redirects_of(agent) == 1
    await system.eventually(is_reported, "the alarm is over", equals=False)
    await all_hang_up(system)
