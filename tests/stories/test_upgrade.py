"""Versions side by side: the old level is written until it is raised, and who can't read the new one stands aside."""

import aiohttp
import pytest

from conferral.storage import config, processes
from conferral.storage.levels import LEVEL
from conferral.worker.outside import Outside
from conferral.worker.process import Worker
from tests.stories.kit import TARGET
from tests.support.redis_server import RedisServer
from tests.support.world import World

pytestmark = pytest.mark.redis
OLD = LEVEL - 1


def start(world: World, level: int) -> Worker:
    """A worker of the version that knows this level."""
    world.worker_options = {"outside": Outside(level=level)}
    return world.start_worker()


async def holders(world: World) -> set[str]:
    """Names of the workers that hold partitions, commands and the sweep."""
    keys = world.keys
    leases = [*map(keys.lease, range(keys.partitions)), keys.commands_lease, keys.sweep_lease]
    found = set()
    for key in leases:
        holder, until = await world.client.hmget(key, ["holder", "until"])
        if holder is not None and int(until or 0):
            found.add(holder.decode().partition(":")[2])
    return found


async def test_old_and_new_version_work_side_by_side_until_the_level_is_raised(redis_server: RedisServer) -> None:
    async with World(redis_server.url, workers=0) as world:
        old = start(world, OLD)

        async def old_holds_all() -> bool:
            return await holders(world) == {old.name}

        await world.eventually(old_holds_all, "the old version holds everything")
        customer, _ = await world.converted()
        new = start(world, LEVEL)

        async def both_hold() -> bool:
            return await holders(world) == {old.name, new.name}

        await world.eventually(both_hold, "both hold partitions")
        assert await config.level_of(world.client, world.keys.prefix) == OLD
        assert not new.level.allows(LEVEL)
        shown = {process.name: process.level for process in await processes.running(world.client, world.keys)}
        assert shown == {old.name: OLD, new.name: LEVEL}

        await config.raise_level(world.client, world.keys.prefix, LEVEL)

        async def new_holds_all() -> bool:
            return await holders(world) == {new.name}

        await world.eventually(new_holds_all, "the new version holds everything")
        assert old.level.problem == f"schema: Redis is at level {LEVEL}, this version knows {OLD}: update it"
        assert new.level.allows(LEVEL)
        # The call that was converted before goes on.
        world.sandbox.phone(TARGET).script(answer_after_s=0.02)
        assert (await world.command("transfer", customer.sid, to=TARGET, mode="warm")).status == "done"
        customer.hang_up()
        await world.settled()


async def test_redis_that_has_forgotten_the_level_is_told_the_one_that_was_written(redis_server: RedisServer) -> None:
    """Older processes may still run: what they don't know waits until somebody raises the level."""
    async with World(redis_server.url, workers=0) as world:
        config_key = world.keys.config
        await world.client.hset(config_key, mapping={"partitions": world.keys.partitions, "schema": OLD})
        new = start(world, LEVEL)

        async def new_holds_all() -> bool:
            return await holders(world) == {new.name}

        await world.eventually(new_holds_all, "the new version holds everything")
        await world.client.flushall()

        async def is_set_up() -> bool:
            return bool(await world.client.hexists(config_key, "schema"))

        await world.eventually(is_set_up, "Redis is set up again")
        assert await config.level_of(world.client, world.keys.prefix) == OLD
        assert not new.level.allows(LEVEL)


async def test_worker_that_is_too_old_from_the_start_takes_nothing_and_says_so(
    redis_server: RedisServer, unused_tcp_port: int
) -> None:
    async with World(redis_server.url) as world:
        import asyncio

        stop = asyncio.Event()
        old = Worker(world.settings, outside=Outside(level=OLD))
        running = asyncio.create_task(old.run(stop, unused_tcp_port))

        async def says_so() -> bool:
            try:
                async with aiohttp.ClientSession() as http:
                    answer = await http.get(f"http://127.0.0.1:{unused_tcp_port}/readyz")
                    told = await answer.json()
            except aiohttp.ClientConnectionError:
                return False
            problem = f"schema: Redis is at level {LEVEL}, this version knows {OLD}: update it"
            return answer.status == 503 and told == {"ready": False, "missing": [problem]}

        await world.eventually(says_so, "it says that it is too old")
        customer, _ = await world.converted()
        assert await holders(world) == {world.workers[0].name}
        customer.hang_up()
        await world.settled()
        stop.set()
        assert await running == 0
