"""What desks' records say of a number's agents, and since when presence is kept."""

import json
from typing import Any

import pytest

from conferral.statemachine.presence import Presence
from conferral.statemachine.record import replace
from conferral.storage import scripts
from conferral.storage.agents import LEFT_COUNTS_MS, Agents, read_presence
from conferral.storage.connection.client import run_or_raise
from conferral.storage.presence_runs import (
    BROKEN_MS,
    KEPT_MS,
    MISSED_MS,
    PAUSE_MS,
    PRESENCE_MS,
    SILENT_MS,
    keep_presence,
)
from tests.storage.test_agents import age
from tests.support.entries import ringing
from tests.support.people import AGENT_PHONE, ALICE, BOB
from tests.support.presence_times import kept_for, moved, silent_for

pytestmark = pytest.mark.redis
#: By when a desk renews once its way is there again: it connects again after up to 12 s (`BACK_OFF_MAX_MS`), or renews
#: 15 s after the last try. Milliseconds.
DESK_BACK_MS = 15_000


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


async def test_an_agent_who_says_so_is_away(agents, presence):
    await renewed(agents, is_ready=False)
    assert (await presence()).away == {ALICE}
    assert (await presence(())).away == {ALICE}, "whether or not the directory lists the agent"
    await renewed(agents)
    assert (await presence()).away == frozenset()


async def test_absence_shows_nothing_before_presence_was_kept_for_a_while(agents, presence, client, keys):
    assert await presence() == Presence(), "Redis is empty"
    await renewed(agents)
    await kept_for(client, keys, KEPT_MS - 5_000)
    assert (await presence()).away == frozenset()
    await kept_for(client, keys, KEPT_MS)
    assert (await presence()).away == {BOB}
    assert (await presence(("alice",))).away == frozenset(), "the directory does not list Bob"


async def test_webhooks_keep_presence_so_that_no_desk_differs_from_nothing_known(presence, client, keys):
    await keep_presence(client, keys)
    assert (await presence()).has_desk([ALICE]), "webhooks may have been away until now"
    await kept_for(client, keys, KEPT_MS)
    found = await presence()
    assert (found.away, found.has_desk([ALICE, BOB, AGENT_PHONE])) == ({ALICE, BOB}, False)
    await moved(client, keys, "webhooks", PAUSE_MS)
    found = await presence()
    assert (found.away, found.has_desk([ALICE])) == (frozenset(), True), "no webhooks reach Redis"


async def test_presence_is_kept_from_the_first_word_after_a_pause(client, keys):
    await kept_for(client, keys, 100_000)
    before = await client.hget(keys.presence, "webhooks_since_ms")
    await moved(client, keys, "webhooks", PAUSE_MS - 2_000)
    await keep_presence(client, keys)
    assert int(await client.hget(keys.presence, "webhooks_since_ms")) == int(before) - PAUSE_MS + 2_000
    await moved(client, keys, "webhooks", PAUSE_MS)
    await keep_presence(client, keys)
    since, last = await client.hmget(keys.presence, "webhooks_since_ms", "webhooks_ms")
    assert since == last
    assert 0 < await client.pttl(keys.presence) <= SILENT_MS


async def test_a_desk_that_falls_silent_is_gone_only_if_others_renew(agents, presence, client, keys):
    """Else their way to us may be broken, while Twilio reaches them."""
    await renewed(agents)
    await kept_for(client, keys, 1_000_000)
    await client.hincrby(keys.presence, "desks_since_ms", -100_000)  # others renewed, too, until all fell silent
    await moved(client, keys, "desks", 100_000)
    await age(client, keys, 100_000 + MISSED_MS - 1_000)
    found = await presence()
    assert (found.away, found.has_desk([ALICE])) == ({BOB}, True)
    assert [one.identity for one in await agents.list()] == ["alice"]
    await renewed(agents, "carol")  # the way is there again, and Alice's desk will renew as soon as it may
    assert (await presence()).away == {BOB}
    await client.hincrby(keys.presence, "desks_since_ms", 2_000 - DESK_BACK_MS)
    assert (await presence()).away == {BOB}
    await client.hincrby(keys.presence, "desks_since_ms", -2_000)
    for _ in range(2):
        found = await presence()
        assert (found.away, found.has_desk([ALICE])) == ({ALICE, BOB}, False)
        assert [one.identity for one in await agents.list()] == ["carol"]
        await moved(client, keys, "desks", 60_000)  # it stays gone, also if all others fall silent
    await renewed(agents)
    assert (await presence()).away == {BOB}


async def test_renewals_are_a_run_while_any_desk_may_be_the_next(agents, client, keys):
    """A lone desk renews every 9 to 15 s."""
    await renewed(agents)
    since = int(await client.hget(keys.presence, "desks_since_ms"))
    await moved(client, keys, "desks", 15_000)
    await renewed(agents)
    assert int(await client.hget(keys.presence, "desks_since_ms")) == since - 15_000
    await moved(client, keys, "desks", BROKEN_MS)
    await renewed(agents)
    assert await client.hget(keys.presence, "desks_since_ms") == await client.hget(keys.presence, "desks_ms")


async def test_a_desk_that_renews_while_another_process_finds_it_gone_is_kept(agents, client, keys):
    await renewed(agents)
    found = await client.hget(keys.agents, "alice")
    await renewed(agents, is_busy=True)
    assert int(await scripts.remove_unchanged(client, [keys.agents], ["alice", found])) == 0
    found = await client.hget(keys.agents, "alice")
    assert int(await scripts.remove_unchanged(client, [keys.agents], ["alice", found])) == 1
    assert not await client.exists(keys.agents)


async def test_a_desk_whose_silence_shows_nothing_is_gone_after_five_minutes(agents, presence, client, keys):
    await renewed(agents)
    await kept_for(client, keys, 1_000_000)
    await moved(client, keys, "desks", SILENT_MS)
    await age(client, keys, SILENT_MS - 5_000)
    assert (await presence()).has_desk([ALICE])
    await age(client, keys, 5_000)
    assert not (await presence()).has_desk([ALICE])


async def test_a_clock_that_was_set_back_counts_as_a_pause(agents, presence, client, keys):
    """What was written before is in the future."""
    await renewed(agents)
    await kept_for(client, keys, 100_000)
    assert (await presence()).away == {BOB}
    await age(client, keys, -PRESENCE_MS)
    await moved(client, keys, "webhooks", -PRESENCE_MS)
    assert (await presence()).away == frozenset()
    await keep_presence(client, keys)
    since, last = await client.hmget(keys.presence, "webhooks_since_ms", "webhooks_ms")
    assert since == last
    assert (await presence()).away == frozenset()


@pytest.mark.parametrize("value", [b"x", b"", b"\xff"])
async def test_what_another_program_wrote_costs_nothing(agents, presence, client, keys, value):
    await renewed(agents)
    await client.hset(keys.agents, "bob", value)
    await client.hset(keys.presence, "webhooks_ms", value)
    assert (await presence()).away == frozenset()
    await client.delete(keys.presence)
    await client.set(keys.presence, "x")
    await renewed(agents)
    assert int(await client.hget(keys.presence, "desks_ms")) > 0


# ---- a page that is closed or left -------------------------------------------------------------------------------


async def left(agents: Agents, desk: str = "d1") -> Any:
    return await agents.renew("alice", "Alice", desk, is_ready=False, is_left=True, is_busy=False)


async def left_before(client: Any, keys: Any, ms: int) -> None:
    agent = json.loads(await client.hget(keys.agents, "alice"))
    desks = {
        name: one | ({"left_ms": one["left_ms"] - ms} if "left_ms" in one else {})
        for name, one in agent["desks"].items()
    }
    agent |= {"desks": desks, "left_ms": max(0, agent["left_ms"] - ms)}
    await client.hset(keys.agents, "alice", json.dumps(agent))


async def test_an_agent_whose_page_was_left_is_rung_for_ten_seconds_and_then_away(agents, presence, client, keys):
    ready = await renewed(agents)
    await kept_for(client, keys, KEPT_MS)
    agent = await left(agents)
    assert (agent.status, agent.registered) == ("ready", "")
    found = await presence()
    assert (found.away, found.has_desk([ALICE])) == ({BOB}, True)
    await left_before(client, keys, LEFT_COUNTS_MS - 2_000)
    assert (await left(agents)).since_ms == ready.since_ms, "said twice, it is as long ago"
    await silent_for(client, keys, 3_000)
    found = await presence()
    assert (found.away, found.has_desk([ALICE])) == ({ALICE, BOB}, False)
    (listed,) = await agents.list()
    assert (listed.status, listed.since_ms) == ("away", listed.left_ms + LEFT_COUNTS_MS)
    assert (await renewed(agents)).since_ms > listed.since_ms, "ready since now"


@pytest.mark.parametrize("desk, is_left", [("d1", True), ("d2", False)])
async def test_a_page_that_was_left_is_gone_whatever_is_said_later(agents, client, keys, desk, is_left):
    await renewed(agents)
    await left(agents)
    await silent_for(client, keys, LEFT_COUNTS_MS)
    assert (await agents.renew("alice", "Alice", desk, is_ready=False, is_left=is_left, is_busy=False)).status == "away"


async def test_a_page_that_loads_again_is_ready_as_before(agents, presence, client, keys):
    ready = await renewed(agents)
    await left(agents)
    again = await agents.renew("alice", "Alice", "d2", is_ready=True, is_busy=False)
    assert (again.status, again.since_ms, again.registered, again.left_ms) == ("ready", ready.since_ms, "d2", 0)
    await left_before(client, keys, LEFT_COUNTS_MS)
    assert (await presence()).away == frozenset()


async def test_another_open_page_takes_the_place_of_one_that_was_left(agents, presence):
    for desk in ("d1", "d2"):
        await agents.renew("alice", "Alice", desk, is_ready=True, is_busy=False)
    agent = await left(agents, "d2")
    assert (agent.status, agent.registered, agent.left_ms) == ("ready", "d1", 0)
    agent = await agents.renew("alice", "Alice", "d1", is_ready=False, is_busy=False)
    assert (agent.status, agent.left_ms) == ("away", 0), "it says so, and is gone at once"
    await renewed(agents)
    assert (await left(agents, "d1")).registered == ""


async def test_a_page_that_says_away_is_gone_at_once_and_so_is_what_was_not_ready(agents, presence):
    await renewed(agents)
    await agents.renew("alice", "Alice", "d2", is_ready=False, is_busy=False)
    assert (await presence()).away == frozenset(), "the other page is ready"
    await renewed(agents, is_ready=False)
    assert (await left(agents)).status == "away"
    assert (await presence()).away == {ALICE}
    assert (await left(agents, "d2")).status == "away"


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
