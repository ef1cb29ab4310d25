"""Presence of agents with a desk, by Redis's clock; one desk of each may be registered."""

from typing import Any

import pytest

from conferral.storage.agents import DESKS_MAX, Agents, AgentStatus
from conferral.storage.presence_runs import SILENT_MS
from tests.support.redis_clients import full

pytestmark = pytest.mark.redis


@pytest.fixture
def agents(client, keys) -> Agents:
    return Agents(client, keys)


async def renewed(agents: Agents, desk: str, *, is_ready: bool = True, is_busy: bool = False) -> str:
    """The desk that may be registered, once this one has renewed."""
    return (await agents.renew("alice", "Alice", desk, is_ready=is_ready, is_busy=is_busy)).registered


async def is_present(agents: Agents, client: Any, identity: str) -> bool:
    seconds, microseconds = await client.time()
    found = await agents.read(seconds * 1000 + microseconds // 1000)
    return identity in [agent.identity for agent in found]


async def age(client: Any, keys: Any, by_ms: int) -> None:
    """Let all that Alice's desks did have happened earlier, or with a negative time, later."""
    script = """
    local agent, by_ms = cjson.decode(redis.call('HGET', KEYS[1], 'alice')), tonumber(ARGV[1])
    for _, one in pairs(agent.desks) do
      one.since_ms, one.renewed_ms = one.since_ms - by_ms, one.renewed_ms - by_ms
    end
    agent.renewed_ms = agent.renewed_ms - by_ms
    redis.call('HSET', KEYS[1], 'alice', cjson.encode(agent))
    """
    await client.execute_command("EVAL", script, 1, keys.agents, by_ms)


async def test_an_agent_is_listed_with_name_and_status_and_since(agents):
    first = await agents.renew("alice", 'Alice "Ä" <b>', "d1", is_ready=True, is_busy=False)
    again = await agents.renew("alice", 'Alice "Ä" <b>', "d1", is_ready=True, is_busy=False)
    away = await agents.renew("dave", "Dave", "d2", is_ready=False, is_busy=False)

    assert again.since_ms == first.since_ms == first.renewed_ms <= again.renewed_ms
    assert (again.status, away.status, away.registered) == (AgentStatus.READY, AgentStatus.AWAY, "")
    assert await agents.list() == [again, away]
    assert again.name == 'Alice "Ä" <b>'


async def test_an_agent_is_gone_without_renewals_and_removed(agents, client, keys):
    await renewed(agents, "d1", is_ready=False)
    assert await is_present(agents, client, "alice")
    assert not await is_present(agents, client, "dave")
    assert SILENT_MS - 1_000 < await client.pttl(keys.agents) <= SILENT_MS

    await age(client, keys, SILENT_MS - 5_000)
    assert await is_present(agents, client, "alice")
    await age(client, keys, 5_000)
    assert not await is_present(agents, client, "alice")
    await agents.renew("dave", "Dave", "d2", is_ready=True, is_busy=False)
    assert [agent.identity for agent in await agents.list()] == ["dave"]
    assert await client.hkeys(keys.agents) == [b"dave"]


async def test_a_clock_that_was_set_back_keeps_no_one_present(agents, client, keys):
    await renewed(agents, "d1")
    await age(client, keys, -3_600_000)
    assert not await is_present(agents, client, "alice")
    assert await renewed(agents, "d2") == "d2"


async def test_the_newest_desk_may_be_registered_and_then_the_older_one(agents, client, keys):
    assert await renewed(agents, "z1") == "z1"
    await age(client, keys, 1_000)
    assert await renewed(agents, "a2") == "a2"
    assert await renewed(agents, "z1") == "a2"
    assert await renewed(agents, "a2", is_ready=False) == "z1"
    assert (await agents.list())[0].status is AgentStatus.READY
    assert await renewed(agents, "z1", is_ready=False) == ""
    assert (await agents.list())[0].status is AgentStatus.AWAY


async def test_a_desk_with_a_call_stays_registered_until_the_call_ends_or_the_desk_is_gone(agents, client, keys):
    assert await renewed(agents, "d1") == "d1"
    await age(client, keys, 1_000)
    assert await renewed(agents, "d2", is_busy=True) == "d1"
    assert await renewed(agents, "d1", is_busy=True) == "d1"
    assert await renewed(agents, "d1") == "d2"

    await age(client, keys, 20_000)
    assert await renewed(agents, "d3", is_busy=True) == "d2"
    await age(client, keys, 20_000)
    assert await renewed(agents, "d3", is_busy=True) == "d3"


async def test_a_desk_that_takes_a_call_over_is_registered_at_once_and_after_it(agents):
    for desk in ("d1", "d2"):
        await renewed(agents, desk)
    taken = await agents.renew("alice", "Alice", "d1", is_ready=True, is_busy=True, takes_over=True)
    assert taken.registered == "d1"
    for is_busy in (True, False):
        assert [await renewed(agents, desk, is_busy=is_busy) for desk in ("d2", "d1")] == ["d1", "d1"]


async def test_an_agent_has_few_desks_that_are_ready(agents, client, keys):
    for number in range(DESKS_MAX):
        assert await renewed(agents, f"d{number}", is_busy=True) == "d0"
    assert await renewed(agents, "x", is_busy=True) == "d0"
    taking_over = await agents.renew("alice", "Alice", "x", is_ready=True, is_busy=True, takes_over=True)
    assert taking_over.registered == "d0"
    assert b'"x"' not in await client.hget(keys.agents, "alice")


async def test_a_full_redis_still_renews_and_lists(agents, client):
    await renewed(agents, "d1")
    async with full(client):
        assert await renewed(agents, "d1") == "d1"
        assert len(await agents.list()) == 1
