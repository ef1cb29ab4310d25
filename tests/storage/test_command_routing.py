"""A command reaches its session in one script, or the script does nothing and says so."""

import pytest
from redis.exceptions import ResponseError

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.codecs import event_codec
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_parser import parse
from conferral.storage.commands.command_stream import Routed, route_at_once
from conferral.storage.connection.client import store_errors
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import Entry
from tests.support.redis_clients import full

pytestmark = pytest.mark.redis
KEYS = Keys("test", 4)
CALLER, AGENT = "CA1", "CA2"


@pytest.fixture(autouse=True)
def only_one_server(request):
    if "cluster" in request.node.name:
        pytest.skip("about one server, not about a cluster")


async def published(client, **fields):
    given = {"type": "hold", "session": CALLER, "party": "customer", **fields}
    entry_id = await command_stream.publish(client, KEYS, given)
    return Entry(entry_id, {name.encode(): text.encode() for name, text in given.items()})


async def route(client, entry):
    fields = entry.text()
    parsed = parse(fields)
    command_id = command_stream.command_id_of(fields, entry.entry_id)
    event = parsed.event(parsed.session, command_id, int(entry.entry_id.split("-")[0]))
    with store_errors():
        return await route_at_once(client, KEYS, entry, command_id, event)


async def events(client, session_id=CALLER):
    found = await client.xrange(KEYS.events(KEYS.partition_of(session_id)))
    return [event_codec.decode({a.decode(): b.decode() for a, b in fields.items()}, entry_id.decode())
            for entry_id, fields in found]  # fmt: skip


async def test_command_is_claimed_appended_and_removed(client):
    await client.set(KEYS.call(CALLER), CALLER)
    entry = await published(client, id="c1", by="cli")
    assert await route(client, entry) is Routed.ROUTED
    (event,) = await events(client)
    assert (event.name, event.session_id, event.party, event.by) == ("hold", CALLER, "customer", "cli")
    assert await command_stream.count_waiting(client, KEYS) == 0
    outcome = await command_stream.read_outcome(client, KEYS, "c1")
    assert (outcome.entry_id, outcome.session, outcome.by) == (entry.entry_id, CALLER, "cli")
    assert outcome.digest == command_stream.digest_of(entry.text())
    assert 0 < await client.ttl(KEYS.command("c1")) <= 86_400


async def test_session_without_a_call_is_found_by_its_hash(client):
    await client.hset(KEYS.session(CALLER), "id", CALLER)
    assert await route(client, await published(client)) is Routed.ROUTED


async def test_command_for_another_name_of_a_session_or_for_none_is_left_alone(client):
    entry = await published(client)
    assert await route(client, entry) is Routed.NOT_FOUND
    await client.set(KEYS.call(CALLER), "another-session")
    await client.hset(KEYS.session(CALLER), "id", CALLER)
    assert await route(client, entry) is Routed.NOT_FOUND
    assert await events(client) == []
    assert await command_stream.count_waiting(client, KEYS) == 1
    assert not await client.exists(KEYS.command(entry.entry_id))


async def test_command_that_is_routed_again_keeps_its_claim(client):
    """Its answer was lost; the session knows the second event by its token."""
    await client.set(KEYS.call(CALLER), CALLER)
    entry = await published(client, id="c1")
    assert await route(client, entry) is Routed.ROUTED
    assert await route(client, entry) is Routed.ROUTED
    first, second = await events(client)
    assert first.token == second.token


@pytest.mark.parametrize("party, expected", [("customer", Routed.REPEATED), ("agent", Routed.ID_REUSED)])
async def test_id_belongs_to_the_first_entry_that_claims_it(client, party, expected):
    await client.set(KEYS.call(CALLER), CALLER)
    assert await route(client, await published(client, id="c1")) is Routed.ROUTED
    assert await route(client, await published(client, id="c1", party=party)) is expected
    assert len(await events(client)) == 1
    assert await command_stream.count_waiting(client, KEYS) == 0


async def test_full_redis_claims_nothing(client):
    await client.set(KEYS.call(CALLER), CALLER)
    entry = await published(client, id="c1")
    async with full(client):
        with pytest.raises(StoreUnreachableError, match="OOM"):
            await route(client, entry)
    assert not await client.exists(KEYS.command("c1"))
    assert await events(client) == []


async def test_foreign_type_is_an_error_for_good(client):
    await client.set(KEYS.call(CALLER), CALLER)
    await client.set(KEYS.events(KEYS.partition_of(CALLER)), "foreign")
    with pytest.raises(Exception, match="refused") as raised:
        await route(client, await published(client))
    assert isinstance(raised.value.__cause__, ResponseError)
