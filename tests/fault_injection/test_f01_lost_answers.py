"""Commands that Redis ran without an answer, and commands that it got twice: each one counts once."""

import signal
from collections.abc import Callable

import pytest
import redis.asyncio as redis_asyncio

from conferral.runtime.clock import SystemClock
from conferral.storage import scripts
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.partition import lease as leases
from conferral.storage.partition.session_store import Batch, CommitResult, SessionStore
from tests.fault_injection.calls import all_hang_up, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.flow_helpers import TARGET
from tests.storage.test_commit import SESSION, opened
from tests.support.metric_values import value_of
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis
COMMIT = scripts.commit_batch.sha.encode()


async def life_of_a_call(system: FaultSystem) -> str:
    """A call is bridged, a third person is asked in, the agent leaves, and everyone hangs up: the laws hold."""
    customer, agent = await system.talking()
    await transferred(system, customer)
    assert (system.redirects_of(agent), system.dials_to(TARGET)) == (1, 1)
    await system.done("complete", customer.sid)
    await all_hang_up(system)
    return customer.sid


def commits(system: FaultSystem, result: str) -> float:
    """How many commits of the worker had this result (count)."""
    return value_of(system.workers[0].metrics.commits.labels(result))


async def test_fault_01_commit_is_stored_and_its_reply_is_lost(redis_server):
    relay = Relay(redis_server.socket)
    relay.cut_reply(COMMIT, skip=1, every=5)
    async with relay, FaultSystem(redis_server, worker_url=relay.url, CONFERRAL_CONVERT_TIMEOUT=10) as system:
        await life_of_a_call(system)
        await system.eventually(
            lambda: commits(system, "already") == commits(system, "unknown") == relay.cut_off > 2,
            "every commit whose reply was lost is recognised",
        )
        assert commits(system, "conflict") == 0


async def test_fault_02_commit_reaches_redis_twice(redis_server):
    async with (
        Relay(redis_server.socket) as relay,
        FaultSystem(redis_server, worker_url=relay.url, CONFERRAL_CONVERT_TIMEOUT=10) as system,
    ):
        relay.repeat(COMMIT)
        await life_of_a_call(system)
        assert relay.repeated > 10


@pytest.mark.soak
async def test_fault_02_commit_of_a_client_that_repeats_by_itself(own_redis):
    """The library's own defaults, which are not ours: it sends again what a silent Redis has already taken."""
    keys, clock, sent = Keys("test", 4), SystemClock(), 0
    client = make_client(own_redis.url)
    partition = keys.partition_of(SESSION)
    taken = await leases.claim(client, keys, partition, "1:one", clock)
    await client.script_load(scripts.commit_batch.text)
    entry_id = (await client.xadd(keys.events(partition), {"type": "x"})).decode()
    batch = Batch(entry_ids=[entry_id], sessions=[opened()])

    async def wake(request: bytes) -> None:
        nonlocal sent
        if sent and COMMIT not in request:  # it has given up waiting, and connects once more
            own_redis.signal(signal.SIGCONT)
        sent += COMMIT in request

    async with Relay(own_redis.socket) as relay:
        insistent = redis_asyncio.Redis(unix_socket_path=str(relay.socket))
        await insistent.ping()
        relay.on_request = wake
        own_redis.signal(signal.SIGSTOP)
        result = await SessionStore(insistent, keys, session_ttl_s=3600).commit(partition, taken, batch)
        assert (result, sent) == (CommitResult.ALREADY, 2)
        await insistent.aclose()
    assert await client.hget(keys.lease(partition), "commit") == b"1"
    assert await client.hget(keys.session(SESSION), "version") == b"1"
    assert await client.xlen(keys.log(SESSION)) == 1
    await client.aclose()


def cuts_the_reply(relay: Relay) -> None:
    relay.cut_reply(b"XADD", skip=1, every=2)


def repeats_it(relay: Relay) -> None:
    relay.repeat(b"XADD")


@pytest.mark.parametrize("play", [cuts_the_reply, repeats_it])
async def test_fault_03_event_of_a_webhook_is_on_the_stream_twice(redis_server, play: Callable[[Relay], None]) -> None:
    relay = Relay(redis_server.socket)
    play(relay)
    async with relay, FaultSystem(redis_server, webhooks_url=relay.url, CONFERRAL_CONVERT_TIMEOUT=10) as system:
        session_id = await life_of_a_call(system)
        log = await system.log(session_id)
        doubled = [entry for entry in log if entry["outcome"] == "stale"]
        assert len(doubled) >= relay.cut_off + relay.repeated > 3, log
        assert (await system.session(session_id))["end_reason"] == "customer-left"


async def test_fault_04_answer_to_a_read_is_lost(redis_server):
    relay = Relay(redis_server.socket)
    relay.cut_reply(b"XREAD", skip=1, every=3)
    async with relay, FaultSystem(redis_server, worker_url=relay.url, CONFERRAL_CONVERT_TIMEOUT=10) as system:
        await life_of_a_call(system)
        assert relay.cut_off > 3
