"""The webhooks' way into Redis: grouped, tried again within its deadline, honest when it did not work."""

import asyncio
import math

import pytest
from structlog.testing import capture_logs

from conferral.statemachine.record import replace
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import State
from conferral.storage import digits
from conferral.storage.agents import Agents
from conferral.storage.codecs import session_codec
from conferral.storage.connection.client import make_client
from conferral.storage.presence_runs import SILENT_MS
from conferral.storage.webhook_store import command_queue
from conferral.storage.webhook_store.store import GateClaim, NewestSession, WebhookStore
from tests.support.entries import SESSION, event_in, ringing
from tests.support.people import ALICE
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis


async def test_published_event_is_on_the_stream_and_its_call_is_known(publisher, client, keys):
    await publisher.publish(ringing(), call_sid="CA2")
    assert await client.xlen(keys.events(keys.partition_of(SESSION))) == 1
    assert await client.get(keys.call("CA2")) == SESSION.encode()
    assert await client.ttl(keys.call("CA2")) > 86_400


async def only_event(client, keys):
    ((_, fields),) = await client.xrange(keys.events(keys.partition_of(SESSION)))
    return event_in(fields)


@pytest.mark.parametrize("status, has_desk", [("in-progress", True), ("ringing", False)])
@pytest.mark.parametrize("address, is_agent", [(ALICE, True), ("client:bob", False), ("+14155550199", False)])
async def test_answer_says_whether_the_agent_has_a_desk(publisher, client, keys, address, is_agent, status, has_desk):
    await Agents(client, keys).renew("alice", "Alice", "d1", is_ready=True, is_busy=False)
    await publisher.publish(replace(ringing(), address=address, status=status))

    assert (await only_event(client, keys)).desk is (is_agent and has_desk)


@pytest.mark.parametrize("ago_ms", [SILENT_MS, -3_600_000])
async def test_answer_of_an_agent_whose_desk_is_gone_says_so(publisher, client, keys, ago_ms):
    """Its last renewal was long ago, or is in the future, since the clock was set back."""
    agents = Agents(client, keys)
    renewed = await agents.renew("alice", "Alice", "d1", is_ready=True, is_busy=False)
    stored = await client.hget(keys.agents, "alice")
    before = str(renewed.renewed_ms).encode()
    await client.hset(keys.agents, "alice", stored.replace(before, str(renewed.renewed_ms - ago_ms).encode()))
    await publisher.publish(replace(ringing(), address=ALICE, status="in-progress"))

    assert not (await only_event(client, keys)).desk


@pytest.mark.parametrize("stored", ["no JSON", "[]", "7", '{"renewed_ms": "x"}', None])
async def test_answer_is_stored_whatever_the_agents_hash_holds(publisher, client, keys, stored):
    if stored is None:
        await client.set(keys.agents, "no hash")
    else:
        await client.hset(keys.agents, "alice", stored)
    answered = replace(ringing(), address=ALICE, status="in-progress")
    await publisher.publish(answered, call_sid="CA2")

    assert replace(await only_event(client, keys), entry_id="") == answered
    assert await client.get(keys.call("CA2")) == SESSION.encode()


@pytest.mark.parametrize("code, result", [(600, "rejected"), (603, "rejected"), (486, "busy"), (0, "busy")])
async def test_ring_that_a_desk_rejected_by_itself_is_busy(publisher, client, keys, code, result):
    rejected = replace(ringing(), address=ALICE, status="busy", sip_response_code=code)
    await publisher.publish(rejected)
    assert (await only_event(client, keys)).reported_status == result
    await client.delete(keys.events(keys.partition_of(SESSION)))
    await Agents(client, keys).note_busy(rejected.call_sid)
    assert 0 < await client.ttl(keys.ring(rejected.call_sid)) <= 60
    await publisher.publish(rejected)
    assert (await only_event(client, keys)).reported_status == "busy"


@pytest.mark.parametrize(
    "left_s, has_ended",
    [
        (math.inf, False),
        (864_000, False),
        (864_000 - 900 + 2, False),
        (864_000 - 900 - 1, True),
        (604_800, True),
        (1, True),
    ],
    ids=["not-ours", "new", "fresh", "old", "ended", "long-ended"],
)
async def test_session_that_is_not_stored_has_ended_unless_the_call_is_new(publisher, client, keys, left_s, has_ended):
    await client.set(keys.call(SESSION), "order-7", ex=left_s if left_s < math.inf else None)
    assert await publisher.newest_session(SESSION) == NewestSession("order-7", None, has_ended)


@pytest.mark.parametrize("state", ["bridged", "ended"])
async def test_session_that_is_still_stored_says_itself_whether_it_has_ended(publisher, client, keys, state):
    await client.set(keys.call(SESSION), SESSION, ex=60)
    await client.hset(keys.session(SESSION), mapping=session_codec.encode(Session(SESSION, State(state), version=1)))
    newest = await publisher.newest_session(SESSION)
    assert (newest.session_id, newest.view.state, newest.has_ended) == (SESSION, state, state == "ended")


async def test_call_without_a_session_is_new(publisher):
    assert await publisher.newest_session(SESSION) is None


async def test_of_two_claims_at_once_both_get_the_first_ones_session(publisher, client, keys):
    await client.set(keys.call(SESSION), SESSION, ex=60)
    claims = [publisher.claim_visit(SESSION, SESSION, f"{SESSION}-{number}") for number in (2, 3)]
    assert len(set(await asyncio.gather(*claims))) == 1
    assert await client.ttl(keys.call(SESSION)) == 864_000


async def test_calls_of_an_identity_are_counted_once_and_over_all_processes(publisher, client, keys, clock):
    other = WebhookStore(client, keys, clock)

    async def too_many(call_sid, at=publisher, identity=ALICE):
        return await at.exceeds_call_limit(identity, call_sid, 2)

    assert [await too_many("CA1"), await too_many("CA2", other), await too_many("CA1", other)] == [False] * 3
    # The same key in every version: 32 digits of the identity's hash.
    assert await client.exists(keys.identity("bdb89ab86b4a6aed7b6d9bba37bef6e6"))
    assert await asyncio.gather(too_many("CA3"), too_many("CA4", other)) == [True, True]
    assert not await too_many("CA3", identity="client:bob")
    await publisher.uncount_call(ALICE, "CA1")
    assert [await too_many("CA3"), await too_many("CA1")] == [False, True]
    await other.close()


async def test_calls_of_an_identity_expire_after_a_minute_and_no_key_contains_it(publisher, client, keys):
    identity = "sip:+14155550123@example.com"
    assert not await publisher.exceeds_call_limit(identity, "CA1", 1)
    key = publisher.identity_key(identity)
    assert "4155550123" not in key
    assert 59_000 < await client.pttl(key) <= 60_000
    seconds, microseconds = await client.time()
    now_ms = seconds * 1000 + microseconds // 1000
    for past_ms in (now_ms - 60_000, now_ms + 2 * 60_000):
        await client.delete(key)
        await client.zadd(key, {"CA1": past_ms})
        assert not await publisher.exceeds_call_limit(identity, "CA2", 1)
    await client.delete(key)
    await client.zadd(key, {"CA1": now_ms - (60 - 20) * 1000})
    assert await publisher.exceeds_call_limit(identity, "CA2", 1)


async def test_events_of_one_turn_go_out_in_one_pipeline_and_in_order(single, publisher, client, keys, monkeypatch):
    flights, run_all = [], command_queue.run_all

    async def count(to, batch, *, is_durable):
        flights.append((len(batch), is_durable))
        return await run_all(to, batch, is_durable=is_durable)

    monkeypatch.setattr(command_queue, "run_all", count)
    await asyncio.gather(*(publisher.publish(ringing(n)) for n in range(100)))
    assert flights == [(100, True)]
    entries = await client.xrange(keys.events(keys.partition_of(SESSION)))
    assert [event_in(fields).sequence for _, fields in entries] == list(range(100))


async def test_read_does_not_wait_until_a_replica_has_the_write_of_another(publisher, monkeypatch):
    is_replicated, run_all = asyncio.Event(), command_queue.run_all

    async def run(to, batch, *, is_durable):
        if is_durable:
            await is_replicated.wait()
        return await run_all(to, batch, is_durable=is_durable)

    monkeypatch.setattr(command_queue, "run_all", run)
    writes = [asyncio.create_task(publisher.publish(ringing(number))) for number in range(3)]
    try:
        assert await publisher.read(SESSION) is None
        assert not any(write.done() for write in writes)
    finally:
        is_replicated.set()
        await asyncio.gather(*writes, return_exceptions=True)


async def test_session_is_read_as_it_was_when_the_event_was_stored(publisher, client, keys):
    assert await publisher.publish_and_read(ringing()) is None
    session = Session(SESSION, version=1, parties={"agent": Party("agent", "agent-1", "CA1", "+14155550199")})
    await client.hset(keys.session(SESSION), mapping=session_codec.encode(session))
    assert (await publisher.publish_and_read(ringing())).parties == session.parties


async def test_session_is_read_before_the_event_is_written(single, keys, clock):
    """So what waits for the write waits for what was read, too."""
    sent: list[bytes] = []

    async def note(request: bytes) -> None:
        sent.append(request)

    async with Relay(single.socket) as relay:
        relay.on_request = note
        client = make_client(relay.url)
        await WebhookStore(client, keys, clock).publish_and_read(ringing())
        await client.aclose()
    everything = b"".join(sent)
    assert 0 <= everything.index(b"HGETALL") < everything.index(b"XADD")


async def test_session_that_can_not_be_decoded_is_unknown_and_its_key_is_logged(publisher, client, keys):
    await client.hset(keys.session(SESSION), mapping={"state": "bridged", "version": "1", "session": "{"})
    with capture_logs() as lines:
        assert await publisher.read(SESSION) is None
        assert await publisher.publish_and_read(ringing()) is None
    skipped = [(line["names"], line["reason"]) for line in lines if line["event"] == "records_skipped"]
    assert skipped == [([keys.session(SESSION)], "session")] * 2


async def test_claim_and_count_are_repeated_though_their_answers_are_lost(single, keys, clock):
    """A browser's call gets its session although Redis fails over meanwhile, as any other call does."""
    async with Relay(single.socket) as relay:
        client = make_client(relay.url)
        publisher = WebhookStore(client, keys, clock)
        relay.cut_reply(b"EVAL", every=2)
        assert await publisher.claim_gate(SESSION, "d1", "CA2") is GateClaim.OURS
        assert not await publisher.exceeds_call_limit(ALICE, "CA2", 1)
        assert relay.cut_off >= 2
        await publisher.close()
        await client.aclose()


async def test_digits_are_taken_once_and_a_repeated_router_step_does_not_bring_them_back(publisher, client, keys):
    for expected in ("4711#", "", ""):
        await client.execute_command(*digits.keep(keys, "c1", "4711#"))
        assert await publisher.take_digits("c1") == expected
    assert 0 < await client.ttl(keys.digits("c1")) <= digits.DIGITS_TTL_S
