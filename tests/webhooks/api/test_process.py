"""The control API as the program serves it."""

import asyncio
import signal

import aiohttp
import pytest

from tests.conferral.cli_helpers import SERVICE, start
from tests.support.ports import free_port
from tests.webhooks.api.api_helpers import BEARER, CALLER, TOKEN, put, session, take_up

pytestmark = [pytest.mark.processes, pytest.mark.redis]


async def test_program_serves_requests_and_stops_while_a_client_waits(redis_server, store, tmp_path):
    port = free_port()
    given = {**SERVICE, "REDIS_URL": redis_server.url, "CONFERRAL_API_TOKEN": TOKEN, "CONFERRAL_PARTITIONS": "4"}
    with start("webhooks", "--port", str(port), cwd=tmp_path, env=given) as program:
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=BEARER) as client, asyncio.timeout(40):
                await put(store, session())
                while not await answers(client):
                    await asyncio.sleep(0.05)
                asked = client.post(f"/sessions/{CALLER}/commands?wait=60", json={"type": "end", "id": "c1"})
                waiting = asyncio.ensure_future(asked)
                while not await take_up(store):
                    await asyncio.sleep(0.01)

                program.send_signal(signal.SIGTERM)

                async with asyncio.timeout(10):
                    answer = await waiting
                    assert (answer.status, await answer.json()) == (202, {"command": "c1"})
                    _, err = await asyncio.to_thread(program.communicate)
        finally:
            program.kill()
    assert program.returncode == 0
    assert "Traceback" not in err
    assert TOKEN not in err


async def answers(client):
    try:
        async with client.get(f"/sessions/{CALLER}") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False
