"""A script that fails ends its test, whatever the test waits for; a command that it is refused does not."""

import asyncio

import pytest

from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import make_client, store_errors
from conferral.storage.scripts import Script
from tests.support.memory_redis import MemoryServer

FAILS = Script("fail_always-0.lua", "error('the reason')")
REFUSED = Script("refuse_always-0.lua", "redis.call('SET', 'text', 'a') return redis.call('HSET', 'text', 'a', 'b')")


@pytest.fixture(params=["redis", "memory"])
def make_own_client(request):
    if request.param == "memory":
        return MemoryServer(lambda: 0).client
    server = request.getfixturevalue("redis_server")
    return lambda: make_client(server.url)


def run(script, make_own_client, *, waits):
    async def work():
        client = make_own_client()
        try:
            with store_errors():
                await script(client, [], [])
        finally:
            await client.aclose()

    async def main():
        working = asyncio.create_task(work())
        if waits:
            await asyncio.Event().wait()
        await working

    asyncio.run(main())


def test_a_script_that_fails_ends_its_test(make_own_client):
    with pytest.raises(asyncio.CancelledError, match=r"a script failed: .*the reason"):
        run(FAILS, make_own_client, waits=True)


def test_a_refused_command_is_an_error_of_the_store(make_own_client):
    with pytest.raises(StoreError, match="Redis refused"):
        run(REFUSED, make_own_client, waits=False)
