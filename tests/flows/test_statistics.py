"""Figures counted in several places are equal, and processes report what they have done."""

import pytest

from conferral.operations.health import rates, read_health
from conferral.operations.session_search import all_sessions
from conferral.operations.statistics import count_sessions
from conferral.statemachine.states import State
from conferral.storage.queries.session_reader import SessionReader
from tests.support.local_system import LocalSystem

pytestmark = pytest.mark.redis


async def test_counts_agree_wherever_they_are_shown(system: LocalSystem) -> None:
    reader = SessionReader(system.client, system.keys)
    before = await read_health(reader)
    await system.talking()
    customer, _ = await system.converted()
    ended, _ = await system.talking()
    await system.done("end", ended.sid)

    listed = count_sessions((one, None) for one in await all_sessions(reader, None, with_ended=True))
    assert listed.by_state == {"bridged": 1, "converting": 0, "conferenced": 1, "transferring": 0}
    assert (listed.live, listed.lone) == (2, 0)
    # The control API's list, page by page.
    paged = [(one, None) for state in State if state is not State.ENDED
             for one in (await reader.list_sessions(state=state, limit=50)).items]  # fmt: skip
    assert count_sessions(paged) == listed
    # The console's health, and the metrics of the worker that holds everything.
    health = await read_health(reader)
    assert sum(one.live for one in health.partitions) == listed.live

    async def is_measured() -> bool:
        samples = [one for family in system.workers[0].metrics.sessions.collect() for one in family.samples]
        return {one.labels["state"]: int(one.value) for one in samples} == listed.by_state

    await system.eventually(is_measured, "the metrics count the same")

    async def is_reported() -> bool:
        (worker,) = (await read_health(reader)).processes
        return worker.stats is not None and worker.stats.requests > 0 and worker.stats.events > 10

    await system.eventually(is_reported, "the worker tells what it has done")
    after = await read_health(reader)
    measured = rates(before, after)
    assert measured is not None
    assert measured.events > 0
    # A party that hangs up ends the other's call, so our own request for that may come too late.
    # The sweep's list of conferences with status init may be refused (`init_conference_list`).
    assert measured.failures.keys() <= {"21220", "20001"}
    (worker,) = after.processes
    assert (worker.kind, worker.name) == ("worker", system.workers[0].name)
    assert {one.owner.name for one in after.partitions} == {worker.name}
    assert customer.sid in await reader.live_ids()
