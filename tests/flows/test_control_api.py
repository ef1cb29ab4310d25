"""The control API in front of everything else: sessions opened, listed while they come and go, waited for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.flows.command_channels import TOKEN, HttpChannel, api_of
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import LocalSystem
from tests.support.phones import busy, rings

pytestmark = pytest.mark.redis
SECRET = "s" * 32
SETTINGS = {
    "CONFERRAL_API_TOKEN": TOKEN,
    "TWILIO_API_KEY": "SK" + "3" * 32,
    "TWILIO_API_SECRET": SECRET,
    "TWILIO_TWIML_APP_SID": "AP" + "4" * 32,
}


@pytest.fixture
async def system(redis_server) -> AsyncIterator[LocalSystem]:
    system = LocalSystem(redis_server.url, **SETTINGS)
    # All that is asked of Twilio is signed with the key that signs the tokens.
    system.sandbox.api_key = (SETTINGS["TWILIO_API_KEY"], SECRET)
    async with system:
        yield system


@pytest.fixture
async def api(system) -> AsyncIterator[HttpChannel]:
    async with api_of(system) as api:
        yield api


async def found(api: HttpChannel, path: str) -> Any:
    status, reported = await api.ask("GET", path)
    assert status == 200, reported
    return reported


# ---- waited for ------------------------------------------------------------------------------------------------------


async def test_wait_ends_with_the_outcome_or_when_the_time_is_up(system, api):
    customer, agent = await system.talking()
    path = f"/sessions/{customer.sid}/commands"
    system.sandbox.phone(TARGET).script_in_turn(busy(), rings())
    body = {"type": "transfer", "to": TARGET, "mode": "warm"}

    status, reported = await api.ask("POST", f"{path}?wait=15", json=body)
    assert (status, reported["status"], reported["reason"], reported["session"]) == (
        200,
        "failed",
        "busy",
        customer.sid,
    )

    # Longer than anything takes but the answer of someone who lets it ring.
    status, reported = await api.ask("POST", f"{path}?wait=0.2", json={**body, "id": "job-1"})
    assert (status, reported) == (202, {"command": "job-1"})
    target = await system.dialed(TARGET, 2)
    await system.until(customer.sid, **{"transfer.status": "ringing"})
    assert (await found(api, "/commands/job-1"))["status"] == "accepted"

    status, reported = await api.ask("POST", f"{path}?wait=15", json={"type": "merge"})
    assert (status, reported["error"]["type"]) == (409, "rejected")
    assert reported["error"]["reason"].partition("allowed now: ")[2] == ", ".join(reported["error"]["allowed"])
    assert {"complete", "cancel", "end"} <= set(reported["error"]["allowed"])

    # Several wait for the same command, and one of them goes away.
    impatient = asyncio.create_task(api.ask("POST", f"{path}?wait=15", json={**body, "id": "job-1"}))
    waiting = [asyncio.create_task(api.ask("POST", f"{path}?wait=15", json={**body, "id": "job-1"})) for _ in range(2)]
    impatient.cancel()
    target.answer()
    answered = await asyncio.gather(*waiting)
    assert [(status, reported["status"]) for status, reported in answered] == [(200, "done")] * 2
    await system.until_hears(target, [customer, agent])
    assert system.dials_to(TARGET) == 2
    assert (await api.ask("POST", f"{path}?wait=15", json={"type": "end"}))[1]["status"] == "done"
    await system.everyone_is_gone(customer.sid, "command")


async def test_command_that_no_worker_takes_up_is_done_when_one_comes(system, api):
    customer, _ = await system.talking()
    await system.stop_worker()
    path = f"/sessions/{customer.sid}/commands"
    assert (await api.ask("POST", f"{path}?wait=0.1", json={"type": "end", "id": "job-1"}))[0] == 202
    assert (await found(api, "/commands/job-1"))["status"] == ""

    waiting = asyncio.create_task(api.ask("POST", f"{path}?wait=15", json={"type": "end", "id": "job-1"}))
    system.start_worker()

    status, body = await waiting
    assert (status, body["status"]) == (200, "done")
    await system.everyone_is_gone(customer.sid, "command")
