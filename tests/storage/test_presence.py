"""What desks' records say of a number's agents, and since when presence is kept."""

from typing import Any

import pytest

from conferral.statemachine.presence import Presence
from conferral.statemachine.record import replace
from conferral.storage.agents import KEPT_MS, PAUSE_MS, PRESENCE_MS, Agents, read_presence
from conferral.storage.connection.client import run_or_raise
from tests.storage.test_agents import age
from tests.support.entries import ringing
from tests.support.people import AGENT_PHONE, ALICE, BOB

pytestmark = pytest.mark.redis


@pytest.fixture
def agents(client, keys) -> Agents:
    return Agents(client, keys)


@pytest.fixture
def presence(publisher):
    async def presence(
        listed: tuple[str, ...] = ("alice", "bob"), numbers: tuple[str, ...] = (ALICE, BOB, AGENT_PHONE)
    ):
        return await publisher.presence(numbers, listed)

    return presence


async def renewed(agents: Agents, identity: str = "alice", *, is_ready: bool = True, is_busy: bool = False) -> Any:
    return await agents.renew(identity, identity, "d1", is_ready=is_ready, is_busy=is_busy)


async def kept_for(client: Any, keys: Any, ms: int) -> None:
    seconds, microseconds = await client.time()
    await client.set(keys.presence, seconds * 1000 + microseconds // 1000 - ms, px=PAUSE_MS)


async def test_an_agent_who_says_so_is_away(agents, presence):
    await renewed(agents, is_ready=False)
    assert (await presence()).away == {ALICE}
    assert (await presence(())).away == {ALICE}, "whether or not the directory lists the agent"
    await renewed(agents)
    assert (await presence()).away == frozenset()


async def test_absence_shows_nothing_before_presence_was_kept_for_a_while(agents, presence, client, keys):
    assert await presence() == Presence(), "Redis is empty"
    await renewed(agents)
    assert (await presence()).away == frozenset()
    await kept_for(client, keys, KEPT_MS - 5_000)
    assert (await presence()).away == frozenset()
    await kept_for(client, keys, KEPT_MS)
    assert (await presence()).away == {BOB}
    assert (await presence(("alice",))).away == frozenset(), "the directory does not list Bob"
    await age(client, keys, PRESENCE_MS)
    assert (await presence()).away == {ALICE, BOB}
    await client.delete(keys.presence)
    assert (await presence()).away == frozenset(), "no desk has renewed its presence for a while"


async def test_presence_is_kept_from_the_first_renewal_after_a_pause(agents, client, keys):
    first = await renewed(agents)
    since = int(await client.get(keys.presence))
    assert since == first.renewed_ms
    assert 0 < await client.pttl(keys.presence) <= PAUSE_MS
    await kept_for(client, keys, 100_000)
    before = await client.get(keys.presence)
    await renewed(agents, "bob")
    assert await client.get(keys.presence) == before


async def test_a_restart_of_the_desks_process_counts_as_a_pause(client, keys):
    await kept_for(client, keys, 100_000)
    agent = await renewed(Agents(client, keys, lambda: 2.0))
    assert int(await client.get(keys.presence)) == agent.renewed_ms - 2_000


async def test_a_clock_that_was_set_back_counts_as_a_pause(agents, presence, client, keys):
    """What was written before is in the future, for as long as it is kept."""
    await renewed(agents)
    await kept_for(client, keys, 100_000)
    assert (await presence()).away == {BOB}
    await age(client, keys, -PRESENCE_MS)
    await client.pexpire(keys.presence, PAUSE_MS + PRESENCE_MS)
    assert (await presence()).away == frozenset()
    agent = await renewed(agents)
    assert int(await client.get(keys.presence)) == agent.renewed_ms
    assert (await presence()).away == frozenset()


@pytest.mark.parametrize("value", [b"x", b"", b"\xff"])
async def test_what_another_program_wrote_costs_nothing(agents, presence, client, keys, value):
    await renewed(agents)
    await client.hset(keys.agents, "bob", value)
    await client.set(keys.presence, value)
    assert (await presence()).away == frozenset()
    await client.delete(keys.presence)
    await client.hset(keys.presence, "x", "x")
    await renewed(agents)
    assert int(await client.get(keys.presence)) > 0


# ---- since when an agent has had no call -------------------------------------------------------------------------


async def idle_since(presence: Any, address: str = ALICE) -> int:
    return (await presence()).idle_since_ms[address]


async def test_an_agent_is_idle_since_ready_or_since_the_last_call(agents, presence, publisher, client, keys):
    ready = await renewed(agents)
    assert await idle_since(presence) == ready.since_ms
    await publisher.publish(call_of_alice("in-progress"))
    talking = await idle_since(presence)
    await renewed(agents, "bob")
    assert talking > await idle_since(presence, BOB), "who talks comes last"
    await publisher.publish(call_of_alice("completed"))
    assert ready.since_ms <= await idle_since(presence) < talking
    since = await idle_since(presence)
    await renewed(agents)
    assert await idle_since(presence) == since, "a renewal keeps it"
    await publisher.publish(call_of_alice("no-answer"))
    assert await idle_since(presence) == since, "a ring is no call"


async def test_a_renewal_corrects_what_a_lost_callback_left(agents, presence, publisher):
    await renewed(agents)
    await publisher.publish(call_of_alice("in-progress"))
    before = await idle_since(presence)
    await renewed(agents)
    assert await idle_since(presence) < before
    await renewed(agents, is_busy=True)
    assert await idle_since(presence) == before


def call_of_alice(status: str) -> Any:
    return replace(ringing(), address=ALICE, status=status)


async def test_who_waits_is_read_only_on_request(client, keys):
    """A list of hundreds of callers costs most calls nothing."""
    await client.hset(keys.queued, mapping={"s1": "+14155550100", "s2": ""})
    sent: list[tuple[Any, ...]] = []

    async def run(*commands: tuple[Any, ...]) -> Any:
        sent.extend(commands)
        return await run_or_raise(client, *commands)

    for with_queue, numbers in ((False, frozenset()), (True, {"+14155550100", ""})):
        sent.clear()
        found = await read_presence(run, keys, [ALICE], ["alice"], with_queue=with_queue)
        assert found.queued_numbers == numbers
        assert [one[1:] for one in sent].count((keys.queued,)) == with_queue
