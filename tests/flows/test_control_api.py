"""The control API while no worker runs."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.flows.command_channels import TOKEN, HttpChannel, api_of

pytestmark = [pytest.mark.redis, pytest.mark.system(CONFERRAL_API_TOKEN=TOKEN)]


@pytest.fixture
async def api(system) -> AsyncIterator[HttpChannel]:
    async with api_of(system) as api:
        yield api


async def test_command_that_no_worker_takes_up_is_done_when_one_comes(system, api):
    customer, _ = await system.talking()
    await system.stop_worker()
    path = f"/sessions/{customer.sid}/commands"
    assert (await api.ask("POST", f"{path}?wait=0.1", json={"type": "end", "id": "job-1"}))[0] == 202
    assert (await api.ask("GET", "/commands/job-1"))[1]["status"] == ""

    waiting = asyncio.create_task(api.ask("POST", f"{path}?wait=15", json={"type": "end", "id": "job-1"}))
    system.start_worker()

    status, body = await waiting
    assert (status, body["status"]) == (200, "done")
    await system.everyone_is_gone(customer.sid, "command")
