"""The control API in front of everything else: sessions opened, listed while they come and go, waited for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conferral.storage.commands.command_stream import session_id_of
from tests.flows.command_channels import TOKEN, HttpChannel, ReportedOutcome, api_of
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import AGENT, CUSTOMER, LocalSystem
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


async def is_live(api: HttpChannel, system: LocalSystem, session: str, **fields: str) -> None:
    """Waits until the API shows a session so; before a worker has taken it up no one knows it."""

    async def is_so() -> bool:
        status, body = await api.ask("GET", f"/sessions/{session}")
        return status == 200 and all(body[name] == (value or None) for name, value in fields.items())

    await system.eventually(is_so, f"{session} shows {fields}")


# ---- opened ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, state, phase", [("bridge", "bridged", "connected"), ("conference", "conferenced", "")])
async def test_session_that_is_opened_is_one_like_any_other(system, api, mode, state, phase):
    system.answered_by(CUSTOMER)
    body = {"agent": AGENT, "customer": CUSTOMER, "mode": mode, "timeout": 20}
    status, answer = await api.ask("POST", "/sessions", json=body)
    assert (status, answer["session"]) == (202, session_id_of(answer["command"]))
    session = answer["session"]

    assert await api.outcome(answer["command"]) == ReportedOutcome("done", "")

    await is_live(api, system, session, state=state, phase=phase, direction="outbound")
    customer, agent = await system.leg(session, "customer"), await system.leg(session, "agent")
    await system.until_hears(customer, [agent])
    # By any of its calls, as everywhere.
    assert (await found(api, f"/sessions/{agent.sid}"))["id"] == session
    assert (await api.ask("POST", f"/sessions/{agent.sid}/commands?wait=15", json={"type": "end"}))[0] == 200
    await system.everyone_is_gone(session, "command")
    ended = await found(api, f"/sessions/{session}")
    assert (ended["state"], ended["end_reason"]) == ("ended", "command")
    assert system.dials_to(AGENT) == 1


async def test_session_requested_again_under_the_same_id_is_opened_once(system, api):
    """As a client without an answer does; another `call` with the same id is refused, begun or not."""
    system.answered_by(CUSTOMER)
    body = {"agent": AGENT, "customer": CUSTOMER, "session": "order-7", "id": "job-7"}
    answered = await asyncio.gather(*(api.ask("POST", "/sessions", json=body) for _ in range(3)))
    assert answered == [(202, {"command": "job-7", "session": "order-7"})] * 3
    assert await api.outcome("job-7") == ReportedOutcome("done", "")
    assert await api.ask("POST", "/sessions", json=body) == answered[0]

    status, reported = await api.ask("POST", "/sessions", json={**body, "id": "job-8"})
    assert (status, reported["error"]["type"]) == (409, "id-conflict")
    status, reported = await api.ask("POST", "/sessions", json={**body, "session": "order-8"})
    assert (status, reported["error"]["type"]) == (409, "id-conflict")

    assert system.dials_to(AGENT) == 1
    await system.done("end", "order-7")
    await system.everyone_is_gone("order-7", "command")


# ---- listed ----------------------------------------------------------------------------------------------------------


async def pages(api: HttpChannel, path: str, key: str) -> AsyncIterator[list[Any]]:
    """Page after page, until the cursor is empty."""
    cursor = ""
    while True:
        page = await found(api, f"{path}&cursor={cursor}" if cursor else path)
        yield page[key]
        cursor = page["cursor"]
        if not cursor:
            return


@pytest.mark.parametrize("state", ["", "bridged"])
async def test_list_has_each_session_that_stays_once_while_others_come_and_go(system, api, state):
    staying = {(await system.talking())[0].sid for _ in range(5)}
    going = [(await system.talking())[0] for _ in range(5)]
    query = f"/sessions?limit=2&state={state}" if state else "/sessions?limit=2"
    seen: list[tuple[str, str]] = []
    coming = []
    async for page in pages(api, query, "sessions"):
        assert len(page) <= 2
        seen += [(one["id"], one["state"]) for one in page]
        if going:
            left = going.pop()
            left.hang_up()
            await system.until(left.sid, state="ended")
            coming.append((await system.talking())[0].sid)
    # How many pages there are depends on whether those who went had been listed before, so some may still be there.
    for left in going:
        left.hang_up()
        await system.until(left.sid, state="ended")
    assert sorted(name for name, _ in seen if name in staying) == sorted(staying)
    # Each row was true when it was read: a session listed as live may have ended since.
    assert len(set(seen)) == len(seen)
    assert not state or {shown for _, shown in seen} == {state}

    ended = [one["id"] async for page in pages(api, "/sessions?limit=2&state=ended", "sessions") for one in page]
    assert len(ended) == len(set(ended)) == 5
    times = [(await system.session(name))["ended_at"] for name in ended]
    assert times == sorted(times, reverse=True)
    for name in (*staying, *coming):
        await system.done("end", name)
    await system.settled()


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
