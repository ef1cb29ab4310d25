"""Versions side by side: the old schema is written until the upgrade; a worker without the new one takes no lease."""

import aiohttp
import pytest

from conferral.storage import config
from conferral.storage.queries import process_registry
from conferral.storage.schema import SCHEMA_VERSION
from conferral.worker.environment import Environment
from conferral.worker.process import Worker
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import LocalSystem
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
OLD, NEW = SCHEMA_VERSION, SCHEMA_VERSION + 1


def start(system: LocalSystem, level: int) -> Worker:
    """A worker of the version that knows this level."""
    system.worker_options = {"schema_version": level}
    return system.start_worker()


async def holders(system: LocalSystem) -> set[str]:
    """Names of the workers that hold partitions, commands and the sweep."""
    keys = system.keys
    leases = [*map(keys.lease, range(keys.partitions)), keys.commands_lease, keys.sweep_lease]
    found = set()
    for key in leases:
        holder, until = await system.client.hmget(key, ["holder", "until"])
        if holder is not None and int(until or 0):
            found.add(holder.decode().partition(":")[2])
    return found


async def test_old_and_new_version_work_side_by_side_until_the_level_is_raised(redis_server: RedisServer) -> None:
    async with LocalSystem(redis_server.url, workers=0) as system:
        old = start(system, OLD)

        async def old_holds_all() -> bool:
            return await holders(system) == {old.name}

        await system.eventually(old_holds_all, "the old version holds everything")
        customer, _ = await system.converted()
        new = start(system, NEW)

        async def both_hold() -> bool:
            return await holders(system) == {old.name, new.name}

        await system.eventually(both_hold, "both hold partitions")
        assert await config.read_schema_version(system.client, system.keys.prefix) == OLD
        assert new.schema.writes_at == OLD
        shown = {
            process.name: process.schema_version
            for process in (await process_registry.read_all(system.client, system.keys))[1]
        }
        assert shown == {old.name: OLD, new.name: NEW}

        await config.raise_schema_version(system.client, system.keys.prefix, NEW)

        async def new_holds_all() -> bool:
            return await holders(system) == {new.name}

        await system.eventually(new_holds_all, "the new version holds everything")
        assert old.schema.problem == f"schema: Redis has version {NEW}, this release supports {OLD}: update it"
        assert new.schema.writes_at == NEW
        # The call that was converted before goes on.
        system.sandbox.phone(TARGET).script(answer_after_s=0.02)
        assert (await system.command("transfer", customer.sid, to=TARGET, mode="warm")).status == "done"
        customer.hang_up()
        await system.settled()


async def test_schema_version_lost_by_redis_is_restored_to_the_written_one(redis_server: RedisServer) -> None:
    """Older processes may still run: what they don't know waits until someone raises the level."""
    async with LocalSystem(redis_server.url, workers=0) as system:
        config_key = system.keys.config
        await system.client.hset(config_key, mapping={"partitions": system.keys.partitions, "schema": OLD})
        new = start(system, NEW)

        async def new_holds_all() -> bool:
            return await holders(system) == {new.name}

        await system.eventually(new_holds_all, "the new version holds everything")
        await system.client.flushall()

        async def is_set_up() -> bool:
            return bool(await system.client.hexists(config_key, "schema"))

        await system.eventually(is_set_up, "Redis is set up again")
        assert await config.read_schema_version(system.client, system.keys.prefix) == OLD
        assert new.schema.writes_at == OLD


async def test_worker_that_is_too_old_from_the_start_takes_nothing_and_says_so(
    redis_server: RedisServer, unused_tcp_port: int
) -> None:
    async with LocalSystem(redis_server.url) as system:
        import asyncio

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
            problem = f"schema: Redis has version {OLD}, this release supports {OLD - 1}: update it"
            return answer.status == 503 and reported == {"ready": False, "missing": [problem]}

        await system.eventually(says_so, "it says that it is too old")
        customer, _ = await system.converted()
        assert await holders(system) == {system.workers[0].name}
        customer.hang_up()
        await system.settled()
        stop.set()
        assert await running == 0
