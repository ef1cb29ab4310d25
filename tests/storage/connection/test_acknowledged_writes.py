"""What was acknowledged right before the primary died, while its replica lagged, is there after the failover."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conferral.operations.erasure import SessionErasure
from conferral.runtime.clock import SystemClock
from conferral.statemachine.effects import CreateCall
from conferral.statemachine.parts import DialOptions
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.storage import command_stream, coordinator
from conferral.storage.codecs import session_codec
from conferral.storage.connection.client import Client, make_client, run_or_raise
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import MarkResult
from conferral.storage.queries.session_reader import SessionReader
from conferral.storage.webhook_store.store import GateClaim, WebhookStore
from tests.support.entries import SESSION, event_in, ringing
from tests.support.replicated_redis import ReplicatedServers, started
from tests.support.stores import partition_store_of
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis
KEYS = Keys("test", 1)
#: How far the replica is behind, seconds: much longer than it takes to kill the primary.
LAG_S = 0.08


class Installation:
    """Clients behind an address that leads to the primary, whichever it is."""

    def __init__(self, servers: ReplicatedServers, address: Relay) -> None:
        self._servers, self._address = servers, address
        self.client: Client = make_client(address.url)
        self.webhooks = WebhookStore(self.client, KEYS, SystemClock())

    async def fail_over(self) -> None:
        """The primary dies at this moment, and the address leads to its replica."""
        self._servers.fail_over()
        self._address.lead_to(self._servers.replica.port)
        await self.client.connection_pool.disconnect()


@pytest.fixture
async def installation(redis_program: Path, tmp_path: Path) -> AsyncIterator[Installation]:
    async with started(redis_program, tmp_path) as servers, Relay(servers.primary.port) as address:
        await servers.attach()
        made = Installation(servers, address)
        await run_or_raise(made.client, ("SET", "first", 1), is_durable=True)
        servers.relay.reply_delay_s = LAG_S
        try:
            yield made
        finally:
            await made.webhooks.close()
            await made.client.aclose()


async def test_event_that_webhooks_acknowledged_is_there(installation: Installation) -> None:
    await installation.webhooks.publish(ringing(), call_sid="CA2")
    await installation.fail_over()
    ((_, fields),) = await installation.client.xrange(KEYS.events(0))
    assert replace(event_in(fields), entry_id="") == ringing()
    assert await installation.webhooks.session_of("CA2") == SESSION


async def test_accepted_command_is_there(installation: Installation) -> None:
    given = {"type": "end", "session": SESSION, "id": "c1"}
    await command_stream.publish(installation.client, KEYS, given)
    await installation.fail_over()
    ((_, fields),) = await installation.client.xrange(KEYS.commands)
    assert fields[b"id"] == b"c1"


async def test_marked_dial_is_marked(installation: Installation) -> None:
    client = installation.client
    lease = await coordinator.claim_partition(client, KEYS, 0, "3:worker")
    dial = CreateCall(effect_id="E1", session_id=SESSION, to="client:bob", options=DialOptions(timeout_s=30))
    await client.hset(KEYS.outbox(0), "E1", b'{"kind":"x"}')
    assert await partition_store_of(client, KEYS).mark_sent(0, lease, dial, 1_000) is MarkResult.MARKED
    await installation.fail_over()
    assert await client.hget(KEYS.outbox(0), "E1") == b'{"sent_at_ms":1000,"kind":"x"}'
    assert await client.hget(KEYS.lease(0), "holder") == b"3:worker"


async def test_ring_group_belongs_to_the_phone_that_got_it(installation: Installation) -> None:
    assert await installation.webhooks.claim_gate(SESSION, "D1", "CA2", "group") is GateClaim.OURS
    await installation.fail_over()
    assert await installation.webhooks.claim_gate(SESSION, "D2", "CA3", "group") is GateClaim.LOST
    assert await installation.webhooks.claim_gate(SESSION, "D1", "CA2", "group") is GateClaim.OURS


async def test_erased_session_stays_erased(installation: Installation) -> None:
    client = installation.client
    ended = Session(SESSION, version=1, state=State.ENDED, ended_at_ms=1)
    await client.hset(KEYS.session(SESSION), mapping=session_codec.encode(ended))
    await run_or_raise(client, ("SET", "second", 1), is_durable=True)
    erasure = SessionErasure(SessionReader(client, KEYS))
    await erasure.erase(await erasure.find(SESSION))
    await installation.fail_over()
    assert not await client.exists(KEYS.session(SESSION))
