"""What an operator does with nothing but redis-cli."""

import asyncio
import shutil

import pytest

from tests.support.entries import entry_of
from tests.support.local_system import LocalSystem
from tests.support.redis_server import BUNDLED

pytestmark = pytest.mark.redis
PROGRAM = shutil.which("redis-cli") or str(BUNDLED.with_name("redis-cli"))


async def redis_cli(system: LocalSystem, *arguments: str) -> list[str]:
    """Lines that the real redis-cli prints."""
    socket = system.redis_url.removeprefix("unix://")
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "-s", socket, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode().splitlines()


def pairs(lines: list[str]) -> dict[str, str]:
    return dict(zip(lines[::2], lines[1::2], strict=True))


async def test_group_shows_committed_position_and_lag_and_the_length_what_is_undecided(system):
    customer, _ = await system.talking()
    stream = system.keys.events(system.keys.partition_of(customer.sid))
    await system.sandbox.wait_until_idle()  # a callback that is still on its way would stay undecided

    async def is_decided() -> bool:
        return not await system.under_way()

    await system.eventually(is_decided, "all that came is decided")
    await system.stop_worker()
    position = pairs(await redis_cli(system, "XINFO", "GROUPS", stream))
    assert position["name"] == "workers"
    assert await redis_cli(system, "XLEN", stream) == ["0"]

    entry = entry_of("convert", customer.sid, token="c1")
    undecided = await redis_cli(system, "XADD", stream, "*", *(part for pair in entry.items() for part in pair))
    behind = pairs(await redis_cli(system, "XINFO", "GROUPS", stream))
    assert behind["last-delivered-id"] == position["last-delivered-id"]
    assert await redis_cli(system, "XLEN", stream) == ["1"]
    if "lag" in behind:  # from Redis 7
        assert (position["lag"], behind["lag"]) == ("0", "1")

    system.start_worker()
    await system.until(customer.sid, state="conferenced")
    ahead = pairs(await redis_cli(system, "XINFO", "GROUPS", stream))
    assert ahead["last-delivered-id"] >= undecided[0]
    await system.ended_by_command(customer.sid)
