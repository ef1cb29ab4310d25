"""Every command by the Python client, with everything between the phones in place."""

import asyncio

import pytest

from conferral import Client, CommandFailed, CommandRejected
from tests.support.local_system import AGENT, CUSTOMER, LocalSystem
from tests.support.phones import answers, busy, presses

pytestmark = pytest.mark.redis
TARGET = "+14155550145"
EXPERT = "client:expert"
DAVE = "client:dave"


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url) as system:
        yield system


@pytest.fixture
async def client(system):
    async with Client(system.redis_url) as client:
        yield client


async def test_a_call_is_handed_over_in_every_way(system, client):
    system.sandbox.phone(TARGET).script_in_turn(answers(), busy(), presses("1"), answers())
    customer, _ = await system.talking()

    await client.convert(customer.sid)
    consult = await client.transfer(customer.sid, to=TARGET, mode="consult")
    assert (consult.status, consult.session) == ("done", customer.sid)
    assert (await client.session(customer.sid)).customer.held
    await client.swap(customer.sid)
    await client.merge(customer.sid)
    with pytest.raises(CommandRejected, match="another transfer is in progress") as refused:
        await client.transfer(customer.sid, to=TARGET, mode="warm")
    assert {"complete", "cancel", "end"} <= set(refused.value.allowed)
    await client.cancel(customer.sid)
    with pytest.raises(CommandFailed, match="transfer failed: busy"):
        await client.transfer(customer.sid, to=TARGET, mode="warm")
    await client.transfer(customer.sid, to=TARGET, mode="warm", confirm=True, brief="A caller", ring_timeout_s=60)
    await client.complete(customer.sid)

    session = await client.session(customer.sid)
    assert session.agent.address == TARGET
    assert session.transfer.status == "completed"
    assert (await client.end(customer.sid)).status == "done"
    assert [gone.id for gone in await client.sessions("ended")] == [customer.sid]
    await system.settled()


async def test_call_is_parked_and_retrieved(system, client):
    system.sandbox.phone(EXPERT).script_in_turn(answers())
    customer, _ = await system.talking()

    await client.park(customer.sid)
    session = await client.session(customer.sid)
    assert (session.state, session.phase) == ("conferenced", "parked")
    assert session.parked_until > session.updated_at
    await client.retrieve(customer.sid, to=EXPERT)

    session = await client.session(customer.sid)
    assert (session.phase, session.agent.address, session.parked_until) == ("", EXPERT, None)
    await client.end(customer.sid)
    await system.settled()


async def test_parties_come_and_go_are_held_muted_listened_to_and_recorded(system, client):
    system.sandbox.phone(EXPERT).script_in_turn(answers())
    system.sandbox.phone(DAVE).script_in_turn(answers())
    customer, _ = await system.talking()
    session_id = customer.sid

    await client.add(session_id, to=EXPERT, party="expert")
    await client.hold(session_id, party="customer")
    assert (await client.session(session_id)).customer.held
    await client.unhold(session_id, party=customer.sid)
    await client.mute(session_id, party="expert")
    assert (await client.session(session_id)).parties["expert"].muted
    await client.unmute(session_id, party="expert")
    for mode in ("monitor", "whisper", "barge"):
        await client.supervise(session_id, to=DAVE, mode=mode)
    await client.announce(session_id, say="Two minutes left.")
    for action in ("start", "pause", "resume", "stop"):
        await client.record(session_id, action=action)
    await client.remove(session_id, party="supervisor")
    await client.remove(session_id, party="expert")

    session = await client.session(session_id)
    assert session.recording.sid.startswith("RE")
    assert {name for name, party in session.parties.items() if not party.is_gone} == {"customer", "agent"}
    await client.end(session_id)
    await system.settled()


async def test_a_call_that_begins_in_a_conference_is_followed_to_its_end(system, client):
    system.sandbox.phone(CUSTOMER).script_in_turn(answers())

    called = await client.call(agent=AGENT, customer=CUSTOMER, mode="conference", session="order-7")
    entries = client.follow(called.session, from_start=True)
    first = await anext(entries)
    assert (called.session, first.event) == ("order-7", "call")
    session = await client.session("order-7")
    assert (session.state, session.mode, session.direction) == ("conferenced", "conference", "outbound")
    ending = asyncio.create_task(client.end("order-7"))

    reported = [entry async for entry in entries]

    assert reported[-1].is_end
    assert (await ending).status == "done"
    await system.settled()
