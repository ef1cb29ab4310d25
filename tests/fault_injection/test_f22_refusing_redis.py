"""Redis takes no writes, for one reason or another, or answers nothing at all: callers are connected all the same."""

import asyncio
import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest

from conferral.runtime.errors import SettingsError, StoreError
from conferral.storage import command_stream
from conferral.storage.connection.client import make_client
from conferral.worker.process import Worker
from offhook import CallHandle
from offhook.request_log import DeliveryEntry
from offhook.webhook_delivery import Target, WebhookResponse
from tests.fault_injection.calls import all_hang_up
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.readiness import readiness, talk, worker_lacks
from tests.support.local_system import AGENT, settings_for
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
#: Twilio waits for a document this long, seconds. Source: Twilio docs, "Webhooks connection overrides".
TWILIO_WAITS_S = 15.0
#: What our slowest answer takes: Redis is silent, and then Twilio is read; twice that for a busy machine.
ANSWERS_WITHIN_S = 7.4
#: How long Redis is in trouble in these tests, with what it takes until everyone has noticed that it is over, seconds.
TROUBLE_S = 6.0

Setting = Callable[[RedisServer], None]


async def caller_is_connected(system: FaultSystem) -> CallHandle:
    """Someone calls in the middle of it, and talks to the agent."""
    before = len(system.sandbox.calls_of(AGENT))
    caller = await system.customer_calls()
    await system.sandbox.wait_until(lambda: len(system.sandbox.calls_of(AGENT)) > before, TWILIO_WAITS_S)
    agent = system.sandbox.calls_of(AGENT)[-1]
    await system.sandbox.wait_until(lambda: talk(caller, agent), TWILIO_WAITS_S)
    return caller


def documents_came_in_time(system: FaultSystem) -> bool:
    """Whether every document that Twilio asked for came, at the first try, within the time that it has."""
    return all(
        entry.attempts and entry.attempts[0].status == 200 and entry.attempts[0].duration_ms < ANSWERS_WITHIN_S * 1000
        for entry in system.sandbox.request_log.deliveries
        if entry.kind == "voice"
    )


def configured(**values: Any) -> Setting:
    def configure(server: RedisServer) -> None:
        with server.client() as client:
            for name, value in values.items():
                client.config_set(name.replace("_", "-"), value)

    return configure


async def call_goes_on(server: RedisServer, begin: Setting, end: Setting, state: str, *, lasts_s: float) -> None:
    """A conversion is asked for, Redis is in trouble, someone calls; when it is over everything is done."""
    async with FaultSystem(server, CONFERRAL_CONVERT_TIMEOUT=20) as system:
        assert (await readiness(system), await worker_lacks(system)) == ((200, []), [])
        customer, agent = await system.talking()
        begin(server)
        try:
            await system.eventually(
                lambda: readiness(system), "the webhooks say what is wrong", equals=(503, [f"redis: {state}"])
            )
            assert await worker_lacks(system) == [f"redis: {state}"]
            with pytest.raises(StoreError):
                await command_stream.publish(system.client, system.keys, {"type": "convert", "session": customer.sid})
            caller = await caller_is_connected(system)
            assert talk(customer, agent)
            await asyncio.sleep(lasts_s)  # a delay: how long Redis refuses
        finally:
            end(server)
        assert documents_came_in_time(system)
        await system.eventually(lambda: readiness(system), "ready again", equals=(200, []))
        await system.eventually(lambda: worker_lacks(system), "and the worker", equals=[])
        await system.done("convert", customer.sid)
        assert system.redirects_of(agent) == 1
        assert caller.status == "in-progress"
        await all_hang_up(system, outage_s=TROUBLE_S + lasts_s)


async def test_fault_22_redis_is_full(own_redis):
    await call_goes_on(own_redis, configured(maxmemory="100kb"), configured(maxmemory=0), "full (OOM)", lasts_s=0.2)


async def test_fault_22_backlog_drains_while_redis_is_full(own_redis, monkeypatch):
    """What was stored before is decided, effects are carried out, and their outcomes are written.

    Twilio's requests arrive when Redis takes writes again. Twilio repeats a refused callback three times at once; if
    Redis refuses these too, the conversion waits for its timer.
    """
    is_held, may_go, takes_writes = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(point: str, _partition: int) -> None:
        if point == "after_read" and is_held.is_set():
            await may_go.wait()

    system = FaultSystem(own_redis, CONFERRAL_CONVERT_TIMEOUT=20)
    system.worker_options["checkpoint"] = hold
    async with system:
        customer, agent = await system.talking()
        is_held.set()
        converting = await command_stream.publish(
            system.client, system.keys, {"type": "convert", "session": customer.sid}
        )
        stream = system.keys.events(system.keys.partition_of(customer.sid))
        await system.eventually(lambda: system.client.xlen(stream), "the command is on the stream")
        twilio = system.sandbox.webhook_sender
        send_at_once = twilio.send

        async def send_later(target: Target, entry: DeliveryEntry) -> WebhookResponse:
            await takes_writes.wait()
            return await send_at_once(target, entry)

        monkeypatch.setattr(twilio, "send", send_later)
        configured(maxmemory="100kb")(own_redis)
        may_go.set()

        async def is_drained() -> bool:
            return system.redirects_of(agent) == 1 and not await system.client.xlen(stream)

        await system.eventually(is_drained, "the backlog is drained though Redis is full")
        configured(maxmemory=0)(own_redis)
        takes_writes.set()
        assert (await system.result_of(converting)).status == "done"
        await all_hang_up(system, outage_s=TROUBLE_S)


async def test_fault_23_redis_that_evicts_live_calls_is_refused_at_the_start(own_redis):
    configured(maxmemory_policy="allkeys-lru")(own_redis)
    worker = Worker(settings_for(own_redis.url, None, "http://127.0.0.1:9"))
    with pytest.raises(SettingsError, match="maxmemory-policy allkeys-lru a full Redis forgets live calls"):
        await worker.run(asyncio.Event())


async def test_worker_that_may_not_read_its_keys_waits_for_the_permission(own_redis):
    client, stop = make_client(own_redis.url), asyncio.Event()
    await client.execute_command("ACL", "SETUSER", "default", "resetkeys")
    worker = Worker(settings_for(own_redis.url, None, "http://127.0.0.1:9"))
    running = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(TROUBLE_S):
        while await worker.problems() != ["redis: not permitted (NOPERM)"]:
            await asyncio.sleep(0.01)  # a poll
        assert worker.metrics.registry.get_sample_value("conferral_store_failures_total"), "counted before the start"
        await client.execute_command("ACL", "SETUSER", "default", "allkeys")
        while not worker.ownership.partitions:
            await asyncio.sleep(0.01)  # a poll
    stop.set()
    assert await running == 0
    await client.aclose()


async def test_command_is_done_although_someone_edited_the_rules_of_our_user_meanwhile(own_redis):
    async with FaultSystem(own_redis, CONFERRAL_CONVERT_TIMEOUT=20) as system:
        customer, _ = await system.talking()
        await system.client.execute_command("ACL", "SETUSER", "default", "-@scripting")
        given = await command_stream.publish(system.client, system.keys, {"type": "convert", "session": customer.sid})

        async def says_so() -> bool:
            return "redis: not permitted (NOPERM)" in await worker_lacks(system)

        await system.eventually(says_so, "the worker says it")
        await system.client.execute_command("ACL", "SETUSER", "default", "+@all")
        assert (await system.result_of(given)).status == "done"
        assert not await system.client.xlen(system.keys.dead)
        await all_hang_up(system, outage_s=TROUBLE_S)


def fails_to_save(server: RedisServer) -> None:
    """Its folder is gone, so that it can't write a snapshot, and refuses all writes because of that."""
    gone = server.folder / "gone"
    gone.mkdir()
    with server.client() as client:
        client.config_set("dir", str(gone))
        client.config_set("save", "3600 1")
        shutil.rmtree(gone)
        client.bgsave()
        while client.info("persistence")["rdb_last_bgsave_status"] != "err":
            pass


@pytest.mark.soak
@pytest.mark.parametrize("begin, end, state", [
    (configured(min_replicas_to_write=1), configured(min_replicas_to_write=0), "too few replicas (NOREPLICAS)"),
    (fails_to_save, configured(stop_writes_on_bgsave_error="no"), "can't write to its disk (MISCONF)"),
], ids=["replicas", "disk"])  # fmt: skip
async def test_fault_24_redis_refuses_writes(own_redis, begin, end, state):
    await call_goes_on(own_redis, begin, end, state, lasts_s=0.2)


@pytest.mark.soak
async def test_fault_25_redis_is_silent(own_redis):
    """Connections are open and nothing comes: every command ends at its deadline, and every document comes in time."""
    await call_goes_on(
        own_redis,
        lambda server: server.signal(signal.SIGSTOP),
        lambda server: server.signal(signal.SIGCONT),
        "no answer",
        lasts_s=1.0,
    )
