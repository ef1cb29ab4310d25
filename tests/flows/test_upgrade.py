"""Versions side by side: the old schema is written until the upgrade; one that starts with an older one is idle."""

import asyncio

import aiohttp
import pytest

from conferral.storage import config
from conferral.storage.config import SCHEMA_VERSION
from conferral.storage.coordinator import read_owners
from conferral.storage.queries import process_registry
from conferral.worker.process import Worker
from conferral.worker.wiring import Environment
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import LocalSystem

pytestmark = pytest.mark.redis
OLD, NEW = SCHEMA_VERSION, SCHEMA_VERSION + 1


def start(system: LocalSystem, level: int) -> Worker:
    """A worker of the version that knows this level."""
    system.worker_options = {"schema_version": level}
    return system.start_worker()


async def owners(system: LocalSystem) -> set[str]:
    """Names of the workers that hold partitions, commands and the sweep."""
    return {owner.name for owner in (await read_owners(system.client, system.keys)).values()} - {""}


@pytest.mark.system(workers=0)
async def test_old_and_new_version_work_side_by_side(system: LocalSystem) -> None:
    old = start(system, OLD)
    await system.eventually(lambda: owners(system), "the old version holds everything", equals={old.name})
    customer, _ = await system.converted()
    new = start(system, NEW)
    await system.eventually(lambda: owners(system), "both hold partitions", equals={old.name, new.name})
    assert await config.read_schema_version(system.client, system.keys.prefix) == OLD
    assert new.schema.writes_at == OLD
    shown = {
        process.name: process.schema_version
        for process in await process_registry.read_processes(system.client, system.keys, 0)
    }
    assert shown == {old.name: OLD, new.name: NEW}

    await config.raise_schema_version(system.client, system.keys.prefix, NEW)

    async def notes_it() -> bool:
        said = f"{system.keys.config}: {config.newer_schema(NEW, OLD)}"
        return new.schema.writes_at == NEW and old.schema.contradiction == said

    # What raises it may be another program: no running worker becomes idle because of it.
    await system.eventually(notes_it, "both have read the level")
    assert await owners(system) == {old.name, new.name}
    # The call that was converted before goes on.
    system.sandbox.phone(TARGET).script(answer_after_s=0.02)
    await system.done("transfer", customer.sid, to=TARGET, mode="warm")
    customer.hang_up()
    await system.settled()


@pytest.mark.system(workers=0)
async def test_schema_version_lost_by_redis_is_restored_to_the_written_one(system: LocalSystem) -> None:
    """Older processes may still run: what they don't know waits until someone raises the level."""
    config_key = system.keys.config
    await system.client.hset(config_key, mapping={"partitions": system.keys.partitions, "schema": OLD})
    new = start(system, NEW)

    await system.eventually(lambda: owners(system), "the new version holds everything", equals={new.name})
    await system.client.flushall()
    await system.eventually(lambda: system.client.hexists(config_key, "schema"), "Redis is set up again")
    assert await config.read_schema_version(system.client, system.keys.prefix) == OLD
    assert new.schema.writes_at == OLD


async def test_worker_that_is_too_old_from_the_start_takes_nothing_and_says_so(
    system: LocalSystem, unused_tcp_port: int
) -> None:
    stop = asyncio.Event()
    old = Worker(system.settings, environment=Environment(schema_version=OLD - 1, clock=system.clock))
    running = asyncio.create_task(old.run(stop, unused_tcp_port))

    async def says_so() -> bool:
        try:
            async with aiohttp.ClientSession() as http:
                answer = await http.get(f"http://127.0.0.1:{unused_tcp_port}/readyz")
                reported = await answer.json()
        except aiohttp.ClientConnectionError:
            return False
        problem = f"schema: {config.newer_schema(OLD, OLD - 1)}; {config.NEWER_SCHEMA_FIX}"
        return answer.status == 503 and reported == {"ready": False, "missing": [problem], "warnings": []}

    await system.eventually(says_so, "it says that it is too old")
    customer, _ = await system.converted()
    assert await owners(system) == {system.workers[0].name}
    customer.hang_up()
    await system.settled()
    stop.set()
    assert await running == 0
