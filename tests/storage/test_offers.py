"""Claims of agents who are offered a caller, and what desks say of them."""

import json
from functools import partial

import pytest

from conferral.statemachine.session import AGENT, Party, Session
from conferral.statemachine.states import State
from conferral.storage.agents import LEFT_COUNTS_MS, Agents, read_presence
from conferral.storage.codecs.session_codec import CorruptHashError
from conferral.storage.connection.client import run_or_raise
from conferral.storage.offers import CLAIM_MS, DEADLINE_MS, LATELY_MS, Claim, Offers
from tests.support.people import AGENT_PHONE, ALICE, BOB
from tests.support.presence_times import silent_for

pytestmark = pytest.mark.redis
OFFER = Claim("s1", 1, 8_000)


def queued(name: str, **given) -> Session:
    """A caller who waits, and whom alice's browser is being rung for."""
    values = {"version": 7, "state": State.CONFERENCED, "queued_since_ms": 1}
    return Session(name, **values | {"parties": {AGENT: Party(AGENT, "agent-1", address=ALICE)}} | given)


class Sessions:
    """Those that are stored."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.stored: dict[str, Session | CorruptHashError] = {}

    async def load(self, names):
        self.loaded += names
        return {name: self.stored[name] if name in self.stored else queued(name) for name in names}


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def offers(client, keys, sessions) -> Offers:
    return Offers(client, keys, sessions)


async def is_ready(client, keys, identity="alice", *, is_ready=True, is_busy=False, is_click=False):
    agents = Agents(client, keys)
    return await agents.renew(identity, identity, "d1", is_ready=is_ready, is_busy=is_busy, is_click=is_click)


async def desk(offers, address=ALICE):
    return (await offers.desks([ALICE, BOB, AGENT_PHONE])).by_address[address]


async def test_a_desk_is_free_if_it_is_ready_and_in_no_call(offers, client, keys):
    assert not (await desk(offers)).is_there
    agent = await is_ready(client, keys)
    assert (await desk(offers)).free_since_ms == agent.since_ms
    await client.sadd(keys.agent_sessions("alice"), "s7")
    assert ((await desk(offers)).free_since_ms, (await desk(offers)).is_there) == (0, True)
    await client.delete(keys.agent_sessions("alice"))
    called_ms = (await is_ready(client, keys, is_busy=True)).called_ms
    assert (await desk(offers)).free_since_ms == called_ms, "the call is over, whatever the last renewal said"
    await is_ready(client, keys, is_ready=False)
    assert not (await desk(offers)).is_there
    await is_ready(client, keys, is_ready=False, is_busy=True)
    away_in_call = await desk(offers)
    assert (away_in_call.is_there, away_in_call.free_since_ms) == (True, 0), "callers may wait for the end of the call"
    presence = await read_presence(partial(run_or_raise, client), keys, [ALICE], ["alice"])
    assert (presence.has_desk([ALICE]), presence.away) == (True, {ALICE}), "webhooks judge by the same rule"
    assert [*(await offers.desks([ALICE, AGENT_PHONE])).by_address] == [ALICE]


async def test_an_agent_has_one_offer_at_a_time(offers, client, keys):
    await is_ready(client, keys)
    assert await offers.claim(ALICE, OFFER)
    assert not await offers.claim(ALICE, Claim("s2", 1, 8_000))
    found = await desk(offers)
    assert (found.claim, found.free_since_ms) == (OFFER, 0)
    await client.pexpire(keys.offer("alice"), CLAIM_MS - 30_000)
    await offers.keep(ALICE)
    assert await client.pttl(keys.offer("alice")) > CLAIM_MS - 30_000
    assert await offers.end(ALICE, OFFER)
    assert not await offers.end(ALICE, OFFER), "it is over"
    assert await offers.claim(ALICE, Claim("s2", 1, 8_000))
    assert not await offers.end(ALICE, OFFER, "no-answer"), "another has the agent"
    assert ((await desk(offers)).claim, (await desk(offers)).is_there) == (Claim("s2", 1, 8_000), True)


async def test_who_did_not_answer_is_away_until_a_click(offers, client, keys):
    await is_ready(client, keys)
    await offers.claim(ALICE, OFFER)
    assert await offers.end(ALICE, OFFER, "no-answer")
    assert not (await desk(offers)).is_there
    agent = await is_ready(client, keys)
    assert (agent.status, agent.reason, agent.registered) == ("away", "no-answer", "d1"), "others may still ring it"
    await client.delete(keys.agents)
    agent = await is_ready(client, keys)
    assert (agent.status, agent.reason) == ("away", "no-answer"), "a laptop that wakes is no click"
    agent = await is_ready(client, keys, is_click=True)
    assert (agent.status, agent.reason) == ("ready", "")
    assert (await is_ready(client, keys)).status == "ready"
    assert not await offers.end(ALICE, OFFER, "no-answer"), "an offer that is over makes no one away"
    assert (await desk(offers)).free_since_ms == agent.since_ms


async def test_who_did_not_answer_is_in_no_call_whatever_the_last_renewal_said(offers, client, keys):
    """The machine died in the call, and the callback of the call's end was lost: no one waits for it."""
    await is_ready(client, keys, is_busy=True)
    await offers.claim(ALICE, OFFER)
    assert await offers.end(ALICE, OFFER, "no-answer")
    assert not (await desk(offers)).is_there


async def test_an_offer_shows_no_absence_of_who_has_just_left_the_page_or_a_call(offers, client, keys):
    """The page may be loading again: then the agent is ready without a click."""
    await is_ready(client, keys)
    assert not (await desk(offers)).may_be_loading
    await client.sadd(keys.agent_sessions("alice"), "s7")
    assert (await desk(offers)).may_be_loading
    await client.delete(keys.agent_sessions("alice"))
    await offers.claim(ALICE, Claim("s1", 1, 100_000 + DEADLINE_MS))
    for talked_ms, is_soon in ((100_000 - LATELY_MS + 1, True), (100_000 - LATELY_MS, False), (100_001, True)):
        await client.set(keys.agent_talked("alice"), talked_ms)
        assert (await desk(offers)).may_be_loading is is_soon, "however long the offer rings"
    await client.delete(keys.offer("alice"))
    assert not (await desk(offers)).may_be_loading
    await Agents(client, keys).renew("alice", "alice", "d1", is_ready=False, is_left=True, is_busy=False)
    found = await desk(offers)
    assert (found.may_be_loading, found.is_there, found.free_since_ms) == (True, True, 0)
    await silent_for(client, keys, LEFT_COUNTS_MS)
    assert not (await desk(offers)).may_be_loading
    await is_ready(client, keys)
    assert not (await desk(offers)).may_be_loading


@pytest.mark.parametrize("stored", ["x", "1", "1 s1", "a 8 s1", "1 a s1", "1 8 ", ""])
async def test_what_another_program_wrote_is_no_claim(offers, client, keys, stored):
    await client.set(keys.offer("alice"), stored)
    assert (await desk(offers)).claim is None


async def test_an_agent_whose_record_is_damaged_is_not_there(offers, client, keys):
    await client.hset(keys.agents, "alice", json.dumps({"name": 7}))
    assert not (await desk(offers)).is_there
    await client.set(keys.offer("alice"), OFFER.text)
    assert await offers.end(ALICE, OFFER, "no-answer")


@pytest.mark.parametrize("session", [
    queued("s1", state=State.ENDED), queued("s1", queued_since_ms=0, parties={}), Session("s1"), CorruptHashError("x"),
], ids=["over", "elsewhere", "erased", "damaged"])  # fmt: skip
async def test_no_one_waits_behind_a_session_that_is_over_or_gone(offers, client, keys, sessions, session):
    sessions.stored["s1"] = session
    await is_ready(client, keys)
    await client.hset(keys.queued, mapping={"s1": "", "s2": ""})
    await client.sadd(keys.agent_sessions("alice"), "s1")
    await client.hset(keys.session("s2"), "version", 7)
    await offers.waiting()
    assert await client.hkeys(keys.queued) == [b"s2"]
    assert (await desk(offers)).free_since_ms
    assert not await client.exists(keys.agent_sessions("alice"))


async def test_a_caller_whose_record_cant_be_read_now_stays_in_the_queue(offers, client, keys, sessions):
    """As after a rollback; the next version finds the caller again."""
    sessions.stored["s1"] = CorruptHashError("x")
    await client.hset(keys.queued, "s1", "")
    await client.hset(keys.session("s1"), "version", 7)
    assert await offers.waiting() == {}
    assert await client.hkeys(keys.queued) == [b"s1"]


async def test_a_session_that_changes_meanwhile_stays_in_its_queue(offers, client, keys, sessions):
    await client.hset(keys.queued, "s1", "")
    await client.hset(keys.session("s1"), "version", 7)
    sessions.stored["s1"], load = queued("s1", queued_since_ms=0), sessions.load

    async def changes(names):
        await client.hset(keys.session("s1"), "version", 8)
        return await load(names)

    sessions.load = changes
    await offers.waiting()
    assert await client.hkeys(keys.queued) == [b"s1"]


async def test_a_session_is_loaded_again_once_it_has_changed(offers, client, keys, sessions):
    await client.hset(keys.queued, "s1", "")
    await client.hset(keys.session("s1"), "version", 7)
    assert [*await offers.waiting(["s2"])] == ["s1", "s2"]
    assert [*await offers.waiting()] == ["s1"]
    assert sessions.loaded == ["s1", "s2"]
    await client.hset(keys.session("s1"), "version", 8)
    await offers.waiting()
    assert sessions.loaded == ["s1", "s2", "s1"]
