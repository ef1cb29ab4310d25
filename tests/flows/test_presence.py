"""Who is rung: agents who are away, or have no desk, are skipped; the one who was idle for longest may come first."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from conferral.storage.agents import Agents
from tests.flows.test_fallbacks import URL, leaves_message
from tests.support.local_system import AGENT, NUMBER, LocalSystem
from tests.support.people import BOB, CAROL
from tests.support.phones import answers, busy, rings
from tests.support.presence_times import kept_for

pytestmark = pytest.mark.redis
MODES = pytest.mark.parametrize("mode", ["bridge", "conference"])
NO_ONE = "said Nobody can take your call at the moment. Please try again later. Goodbye."
LISTED = "\n[agents.alice]\n[agents.bob]\n[agents.carol]\n"


def settings(tmp_path, mode, agents=(AGENT, BOB, CAROL), **more):
    path = tmp_path / "directory.toml"
    named = ", ".join(f'"{agent}"' for agent in agents)
    lines = [f'[inbound."{NUMBER}"]', f"agents = [{named}]", f'mode = "{mode}"']
    path.write_text("\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in more.items())]) + LISTED)
    return {"CONFERRAL_DIRECTORY": path, "CONFERRAL_RING_TIMEOUT": 5}


async def is_at_desk(system, address, *, ready=True, busy=False, click=False):
    identity, agents = address.removeprefix("client:"), Agents(system.client, system.keys)
    await agents.renew(identity, identity, "desk-1", is_ready=ready, is_busy=busy, is_click=click)


async def was_ready_first(system, identity):
    """One became ready a second earlier: two may become ready in the same millisecond."""
    agent = json.loads(await system.client.hget(system.keys.agents, identity))
    await system.client.hset(system.keys.agents, identity, json.dumps(agent | {"since_ms": agent["since_ms"] - 1000}))


async def presence_is_kept(system):
    """Presence has been kept for long enough to show that someone has no desk."""
    await kept_for(system.client, system.keys)


async def attempts(system):
    (ended,) = [one for one in await system.outcomes() if one["kind"] == "session"]
    return [(one["to"], one["result"]) for one in json.loads(ended["attempts"])]


def tried(system):
    return [entry.to for entry in system.sandbox.request_log.dials]


@MODES
async def test_those_who_are_away_or_without_a_desk_are_skipped(redis_server, tmp_path, mode):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode)) as system:
        await is_at_desk(system, AGENT, ready=False)
        await presence_is_kept(system)
        await is_at_desk(system, CAROL)
        system.answered_by(CAROL)
        customer = await system.customer_calls()
        carol = await system.dialed(CAROL)
        await system.until_talk(customer, carol)
        session = await system.until(customer.sid, **{"party.agent.status": "connected"})
        assert session["party.agent.address"] == CAROL
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
        assert tried(system) == [CAROL]
        assert await attempts(system) == [(AGENT, "away"), (BOB, "away"), (CAROL, "answered")]


@MODES
async def test_who_goes_away_while_another_rings_is_skipped(redis_server, tmp_path, mode):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode)) as system:
        await is_at_desk(system, AGENT)
        await is_at_desk(system, BOB)
        system.agent_phone.script_in_turn(rings())
        system.answered_by(CAROL)
        customer = await system.customer_calls()
        await system.dialed(AGENT)
        await is_at_desk(system, BOB, ready=False)
        carol = await system.dialed(CAROL)
        await system.until_talk(customer, carol)
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
        assert tried(system) == [AGENT, CAROL]
        assert await attempts(system) == [(AGENT, "no-answer"), (BOB, "away"), (CAROL, "answered")]


@MODES
async def test_if_all_are_away_the_caller_hears_a_sentence(redis_server, tmp_path, mode):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode)) as system:
        for address in (AGENT, BOB, CAROL):
            await is_at_desk(system, address, ready=False)
        customer = await system.customer_calls()
        await system.everyone_is_gone(customer.sid, "agent-away")
        assert system.sounds(customer) == [NO_ONE]
        assert await attempts(system) == [(AGENT, "away"), (BOB, "away"), (CAROL, "away")]
        assert (await system.outcomes())[0]["landed_on"] == "end"


@MODES
async def test_if_all_are_away_the_fallback_follows(redis_server, tmp_path, mode):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode, fallback="voicemail")) as system:
        for address in (AGENT, BOB, CAROL):
            await is_at_desk(system, address, ready=False)
        customer = await system.customer_calls()
        await leaves_message(system, customer, customer.sid)


@MODES
@pytest.mark.parametrize("result", ["busy", "no-answer"])
async def test_the_end_says_what_those_did_who_were_rung(redis_server, tmp_path, mode, result):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode, (AGENT, BOB))) as system:
        await is_at_desk(system, AGENT)
        await is_at_desk(system, BOB, ready=False)
        system.agent_phone.script_in_turn(busy() if result == "busy" else rings())
        customer = await system.customer_calls()
        await system.everyone_is_gone(customer.sid, f"agent-{result}")
        assert await attempts(system) == [(AGENT, result), (BOB, "away")]


@MODES
async def test_a_url_hears_why_the_last_one_who_was_rung_did_not_answer(redis_server, tmp_path, mode):
    options = settings(tmp_path, mode, (BOB, CAROL, AGENT), fallback=URL) | {"CONFERRAL_RETURN_URLS": URL}
    async with LocalSystem(redis_server.url, speed=20, **options) as system:
        for address in (AGENT, BOB, CAROL):
            await is_at_desk(system, address, ready=address != AGENT)
        system.sandbox.phone(BOB).script_in_turn(busy())
        system.sandbox.phone(CAROL).script_in_turn(rings())
        customer = await system.customer_calls()
        await system.until(customer.sid, state="ended", end_reason="returned")

        def reasons():
            urls = [urlsplit(url) for one in system.sandbox.request_log.rest if (url := one.get("Url")).startswith(URL)]
            return [parse_qs(url.query)["reason"] for url in urls]

        await system.eventually(reasons, "the caller is moved", equals=[["no-answer"]])
        assert await attempts(system) == [(BOB, "busy"), (CAROL, "no-answer"), (AGENT, "away")]


async def test_a_transfer_rings_whom_it_names(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, "bridge", (AGENT,))) as system:
        await is_at_desk(system, BOB, ready=False)
        customer, _ = await system.talking()
        system.answered_by(BOB)
        await system.done("transfer", customer.sid, to=BOB, mode="warm")
        await system.ended_by_command(customer.sid)


@MODES
async def test_who_had_no_call_for_longest_is_rung_first(redis_server, tmp_path, mode):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode, order="idle")) as system:
        for address in (BOB, AGENT):
            await is_at_desk(system, address)
            system.sandbox.phone(address).script_in_turn(answers(0.4), answers(0.4))
        await was_ready_first(system, "bob")
        for address in (BOB, AGENT, BOB):
            customer = await system.customer_calls()
            agent = await system.dialed(address, 1 + tried(system)[:-1].count(address))
            await system.until_talk(customer, agent)
            await system.ended_by_hang_up(customer, customer.sid, "customer-left")
        assert tried(system) == [BOB, AGENT, BOB]


@MODES
async def test_who_talks_comes_last(redis_server, tmp_path, mode):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, mode, order="idle")) as system:
        for address in (AGENT, BOB, CAROL):
            await is_at_desk(system, address)
        system.agent_phone.script_in_turn(rings())
        system.answered_by(CAROL)
        customer = await system.customer_calls()
        await system.dialed(AGENT)
        await is_at_desk(system, BOB, busy=True)
        carol = await system.dialed(CAROL)
        await system.until_talk(customer, carol)
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
        assert tried(system) == [AGENT, CAROL]


@MODES
@pytest.mark.parametrize("result", ["busy", pytest.param("rejected", marks=pytest.mark.soak)])
async def test_a_ring_that_a_desk_rejects_because_its_agent_talks_is_busy(redis_server, tmp_path, mode, result):
    options = settings(tmp_path, mode, (AGENT, BOB)) | {"CONFERRAL_RING_TIMEOUT": 60}
    async with LocalSystem(redis_server.url, speed=20, **options) as system:
        for address in (AGENT, BOB):
            await is_at_desk(system, address)
            system.sandbox.phone(address).script_in_turn(rings())
        customer = await system.customer_calls()
        alice = await system.dialed(AGENT)
        if result == "busy":
            await Agents(system.client, system.keys).note_busy(alice.sid)
        alice.reject()
        (await system.dialed(BOB)).reject()
        await system.everyone_is_gone(customer.sid, "agent-busy" if result == "busy" else "agent-rejected")
        assert await attempts(system) == [(AGENT, result), (BOB, "rejected")]
