"""What must not stop a worker, nor make it forget or repeat anything: mistakes of ours, odd entries, a full, silent,
refusing or rewound Redis, a flapping connection."""

import asyncio
import signal

import pytest

from conferral.operations.dead_letters import DeadLetters
from conferral.runtime.clock import SystemClock
from conferral.statemachine.effects import HangUpCall, ReadCalls
from conferral.storage import commands
from conferral.worker.carrying import Order
from tests.support.world import World

pytestmark = pytest.mark.redis


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        yield world


async def ends_well(world: World, customer) -> None:
    assert (await world.command("end", customer.sid)).status == "done"
    await world.settled()


async def dead_reasons(world: World) -> list[bytes]:
    return [fields[b"dead_reason"] for _, fields in await world.client.xrange(world.keys.dead)]


async def test_mistake_in_deciding_costs_its_entry_and_not_the_worker(world, monkeypatch):
    """It used to stop the process, which gave its leases back, so that the next one died of the same entry."""
    from conferral.worker import held as module

    customer, agent = await world.talking()
    healthy, _ = await world.talking()
    decide = module.decide

    def stumbles(events, *rest):
        if any(event.name == "convert" and event.session_id == customer.sid for _, event in events):
            raise KeyError("a mistake of ours")
        return decide(events, *rest)

    monkeypatch.setattr(module, "decide", stumbles)
    await world.client.xadd(world.keys.commands, {"type": "convert", "session": customer.sid, "id": "c1"})
    assert (await world.command("convert", healthy.sid)).status == "done"
    await world.eventually(lambda: world.client.xlen(world.keys.dead), "a dead letter")
    assert await dead_reasons(world) == [b"deciding it failed"]
    told = await commands.wait_for_outcome(world.client, world.keys, "c1", 5)
    assert (told.status, told.reason) == ("failed", "put aside: deciding it failed")
    monkeypatch.undo()
    assert (await world.command("convert", customer.sid)).status == "done"
    assert world.redirects_of(agent) == 1
    assert (await world.command("end", healthy.sid)).status == "done"
    await ends_well(world, customer)


async def test_command_that_was_put_aside_is_done_when_it_is_put_back(world, monkeypatch):
    from conferral.worker import held as module

    customer, agent = await world.talking()
    decide = module.decide

    def stumbles(events, *rest):
        if any(event.name == "convert" for _, event in events):
            raise KeyError("a mistake of ours")
        return decide(events, *rest)

    monkeypatch.setattr(module, "decide", stumbles)
    assert (await world.command("convert", customer.sid, id="c1")).status == "failed"
    await world.eventually(lambda: world.client.xlen(world.keys.dead), "a dead letter")
    letters = DeadLetters(world.client, world.keys)
    # Back where it was, and aside again: what is wrong is not mended by trying.
    assert (await letters.retry_all("deciding it failed", 1)).done == 1
    await world.eventually(lambda: world.client.xlen(world.keys.dead), "a dead letter again")
    monkeypatch.undo()
    assert (await letters.retry_all()).done == 1
    assert (await commands.wait_for_outcome(world.client, world.keys, "c1", 10)).status == "done"
    assert world.redirects_of(agent) == 1
    assert await letters.count() == 0
    await ends_well(world, customer)


async def test_outcome_that_is_put_aside_leaves_nothing_in_the_outbox(world, monkeypatch):
    """It used to leave its effect there for ever."""
    from conferral.worker import held as module

    customer, _ = await world.talking()
    decide = module.decide

    def stumbles(events, *rest):
        if any(event.name == "effect_succeeded" for _, event in events):
            raise KeyError("a mistake of ours")
        return decide(events, *rest)

    monkeypatch.setattr(module, "decide", stumbles)
    assert (await world.command("convert", customer.sid)).status == "done"
    await world.eventually(lambda: world.client.xlen(world.keys.dead), "a dead letter")
    monkeypatch.undo()

    async def is_gone():
        return not await world.client.hlen(world.keys.outbox(world.keys.partition_of(customer.sid)))

    await world.eventually(is_gone, "the effect has left the outbox")
    await ends_well(world, customer)


@pytest.mark.soak
async def test_partition_whose_work_failed_is_not_given_back_as_clean(world, monkeypatch):
    """An error nobody thought of ends the process; the next holder has to know that somebody died here."""

    def breaks(*_args):
        raise MemoryError

    monkeypatch.setattr("conferral.worker.held.decide", breaks)
    customer = await world.customer_calls()
    assert await world._running[0] == 1
    partition = world.keys.partition_of(customer.sid)
    assert int(await world.client.hget(world.keys.lease(partition), "until")) > 0
    others = [number for number in range(world.keys.partitions) if number != partition]
    assert [await world.client.hget(world.keys.lease(number), "until") for number in others] == [b"0"] * len(others)
    monkeypatch.undo()
    world._running.clear()
    world._stops.clear()
    world.start_worker()
    await world.until(customer.sid, phase="connected")
    await ends_well(world, customer)


@pytest.mark.parametrize("entry_id", ["9999999999999999-0", "253402300800000-0"])
async def test_command_whose_id_is_in_another_unit_is_as_good_as_any(world, entry_id):
    customer, _ = await world.talking()
    await world.client.xadd(world.keys.commands, {"type": "convert", "session": customer.sid}, id=entry_id)
    await world.until(customer.sid, state="conferenced")
    await ends_well(world, customer)


async def test_command_whose_key_is_somebody_elses_holds_up_no_other(world):
    customer, _ = await world.talking()
    await world.client.set(world.keys.command("taken"), "somebody else's")
    await world.client.xadd(world.keys.commands, {"type": "convert", "session": customer.sid, "id": "taken"})
    assert (await world.command("convert", customer.sid)).status == "done"
    assert await dead_reasons(world) == [b"Redis refuses one of its keys"]
    await ends_well(world, customer)


async def test_outcome_that_can_not_be_written_stops_nothing(world):
    customer, agent = await world.talking()
    world.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=0.5)
    await world.client.xadd(world.keys.commands, {"type": "convert", "session": customer.sid, "id": "later"})
    await world.until(customer.sid, state="converting")
    await world.eventually(lambda: world.client.hexists(world.keys.command("later"), "status"), "it was accepted")
    await world.client.delete(world.keys.command("later"))
    await world.client.set(world.keys.command("later"), "somebody else's")
    await world.until(customer.sid, state="conferenced")
    await world.client.delete(world.keys.command("later"))
    outcome = await world.command("end", customer.sid)
    assert outcome.status == "done"
    await world.settled()  # with nothing left in an outbox
    (letter,) = [letter for _, letter in await world.client.xrange(world.keys.dead)]
    assert letter[b"dead_reason"] == b"Redis refuses one of its keys"
    assert letter[b"dead_entry"] == b"tell:later:done"


async def test_refusals_that_pass_are_waited_out_also_inside_scripts(world, redis_server):
    """Before Redis 7 an error that a script meets is wrapped, and its word stands inside the text."""
    customer, agent = await world.talking()
    await world.client.config_set("min-replicas-to-write", 1)
    with redis_server.client() as other:
        for _ in range(20):
            assert other.ping()
            await asyncio.sleep(0.02)  # a delay: spaces the pings
    await world.client.config_set("min-replicas-to-write", 0)
    assert (await world.command("convert", customer.sid)).status == "done"
    assert world.redirects_of(agent) == 1
    agent.hang_up()
    await world.client.config_set("min-replicas-to-write", 1)
    await asyncio.sleep(0.5)  # a delay: how long Redis refuses
    await world.client.config_set("min-replicas-to-write", 0)
    await world.until(customer.sid, state="ended")
    await world.settled()


async def test_full_redis_is_taken_over_and_drained(world):
    world.leaves_the_end_to_us()
    customer, agent = await world.converted()
    assert await world.stop_worker() == 0
    agent.hang_up()
    stream = world.keys.events(world.keys.partition_of(customer.sid))
    await world.eventually(lambda: world.client.xlen(stream), "the callbacks are stored")
    await world.client.xadd(stream, {"foo": "bar"})
    await world.client.config_set("maxmemory", "100kb")
    try:
        world.start_worker()
        session = await world.until(customer.sid, state="ended")
        assert session["end_reason"] == "agent-left"
        await world.eventually(lambda: world.client.xlen(world.keys.dead), "the odd entry is put aside")
        await world.sandbox.wait_until(lambda: not world.sandbox.live_calls(), timeout_s=60)
    finally:
        await world.client.config_set("maxmemory", "0")
    await world.settled()


async def test_timer_set_while_due_ones_are_moved_is_not_forgotten(world, monkeypatch):
    """The answer "the next one is due tomorrow" came after a commit had set one for in two seconds."""
    world.leaves_the_end_to_us()
    customer, agent = await world.converted()
    held = world.workers[0].keeper.held[world.keys.partition_of(customer.sid)]
    fire = held._around.access.fire_timers
    monkeypatch.setattr("conferral.worker.timers.LOOK_EVERY_S", 10.0**9)

    async def answers_late(partition, lease, now_ms):
        answer = await fire(partition, lease, now_ms)
        agent.hang_up()
        await world.eventually(lambda: _has_timer(held, "lone"), "the grace has begun")
        return answer

    monkeypatch.setattr(held._around.access, "fire_timers", answers_late)
    await held.fire_timers()
    monkeypatch.undo()
    session = await world.until(customer.sid, state="ended")
    assert session["end_reason"] == "agent-left"
    await world.settled()


async def _has_timer(held, name: str) -> bool:
    return any(name in stored.session.timers for stored in held._cache._sessions.values())


async def test_flapping_redis_makes_no_poison(world, monkeypatch):
    """A mark stands for a worker's death, not for a try."""
    customer, _ = await world.talking()
    held = world.workers[0].keeper.held[world.keys.partition_of(customer.sid)]
    held._suspected = 50
    held._cache.clear()
    from conferral.runtime.errors import StoreUnreachableError

    load, failures = held._around.store.load, iter(range(5))

    async def flaps(session_ids):
        if next(failures, None) is not None:
            raise StoreUnreachableError("flapping")
        return await load(session_ids)

    monkeypatch.setattr(held._around.store, "load", flaps)
    assert (await world.command("convert", customer.sid)).status == "done"
    assert not await dead_reasons(world)
    await ends_well(world, customer)


async def test_rewound_history_is_looked_up_before_anything_is_sent_again(world):
    """Redis is set back to before the conversion: the same effect is decided again, and found to have been done."""
    customer, agent = await world.talking()
    partition = world.keys.partition_of(customer.sid)
    names = [
        *(name(partition) for name in (world.keys.lease, world.keys.outbox, world.keys.timers)),
        world.keys.session(customer.sid),
        world.keys.log(customer.sid),
    ]
    copies = {name: await world.client.dump(name) for name in names}
    assert (await world.command("convert", customer.sid, id="c1")).status == "done"
    log = await world.log(customer.sid)
    for name, copy in copies.items():
        await world.client.delete(name)
        if copy is not None:
            await world.client.restore(name, 0, copy)
    stream = world.keys.events(partition)
    await world.client.xadd(stream, {"type": "convert", "session": customer.sid, "token": "c1"})
    for label, call, number in (("agent-1", agent.sid, 1), ("customer-1", customer.sid, 2)):
        room = (await world.sandbox_room()).sid
        await world.client.xadd(
            stream,
            {"type": "participant_joined", "session": customer.sid, "source": room, "sequence": number,
             "conference_sid": room, "call_sid": call, "label": label},
        )  # fmt: skip
    await world.until(customer.sid, state="conferenced")
    assert len(log) > 5
    await ends_well(world, customer)
    assert world.redirects_of(agent) == 1


async def test_live_session_is_checked_once_after_a_rollback(world):
    """No call is missing, and no caller is alone; Twilio is asked all the same."""
    customer, _ = await world.converted()
    await world.client.hincrby(world.keys.lease(world.keys.partition_of(customer.sid)), "commit", -1)

    async def events_since_check() -> list[str]:
        log = await world.log(customer.sid)
        checks = [number for number, entry in enumerate(log) if "rolled-back" in entry.get("detail", "")]
        return [entry["event"] for entry in log[checks[0] :]] if checks else []

    async def was_checked() -> bool:
        return "calls_read" in await events_since_check()

    await world.eventually(was_checked, "Twilio was asked")
    assert (await events_since_check()).count("account_swept") == 1
    await ends_well(world, customer)


@pytest.mark.parametrize(
    "repetitions_ms, result",
    [pytest.param(60_000, ("failed", "unknown"), marks=pytest.mark.soak), (100, ("done", ""))],
)
async def test_whoever_is_dialled_a_while_after_a_rewind_is_dialled_for_the_first_time(
    world, monkeypatch, repetitions_ms, result
):
    """It used to be in doubt, and so was not dialled, for as long as the same worker held the partition."""
    monkeypatch.setattr("conferral.worker.held.REPETITIONS_MS", repetitions_ms)
    world.sandbox.phone("client:bob").script(answer_after_s=0.02, keys="1", keys_after_s=0.01)
    customer, _ = await world.converted()
    lease = world.keys.lease(world.keys.partition_of(customer.sid))
    holder = await world.client.hget(lease, "holder")
    await world.client.hincrby(lease, "commit", -1)

    async def was_noticed():
        return await world.client.hget(lease, "holder") != holder

    await world.eventually(was_noticed, "the worker has taken its lease anew")
    await asyncio.sleep(0.2)  # a delay: the time after a rollback is over
    outcome = await world.command("transfer", customer.sid, to="client:bob", mode="warm", confirm="true")
    assert (outcome.status, outcome.reason) == result
    assert len(world.sandbox.calls_of("client:bob")) == (outcome.status == "done")
    await ends_well(world, customer)


async def test_timers_of_an_older_copy_of_redis_are_found(world):
    """Nothing was committed since, so only a look shows them."""
    customer, agent = await world.converted()
    partition = world.keys.partition_of(customer.sid)
    await world.stop_worker()
    agent.hang_up()
    stream = world.keys.events(partition)
    await world.eventually(lambda: world.client.xlen(stream), "the callbacks are stored")
    world.start_worker()
    await world.until(customer.sid, state="ended")
    await world.client.zadd(world.keys.timers(partition), {f"lone|{customer.sid}": 1})
    await world.settled()


async def test_released_lease_is_taken_at_once(redis_server):
    clock = SystemClock()
    async with World(redis_server.url, lease_ms=60_000) as world:
        customer, _ = await world.talking()
        world.start_worker()
        await world.eventually(lambda: _alive(world, 2), "two workers are alive")
        began_s = clock.monotonic_s()
        assert await world.stop_worker(0) == 0
        second = world.workers[1]

        async def has_all() -> bool:
            return len(second.keeper.held) == world.keys.partitions

        await world.eventually(has_all, "the second worker holds everything", timeout_s=60)
        # Expiry would take a minute: only the hand-over can have done it.
        assert clock.monotonic_s() - began_s < 10
        assert (await world.command("convert", customer.sid)).status == "done"
        await ends_well(world, customer)


async def _alive(world: World, count: int) -> bool:
    return await world.client.zcard(world.keys.workers) == count


@pytest.mark.soak
async def test_stop_takes_no_longer_than_promised_though_redis_is_silent(redis_server):
    clock = SystemClock()
    async with World(redis_server.url, CONFERRAL_PARTITIONS=16) as world:
        customer, agent = await world.talking()
        world.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=1.0)
        await world.client.xadd(world.keys.commands, {"type": "convert", "session": customer.sid})
        await world.until(customer.sid, state="converting")
        redis_server.signal(signal.SIGSTOP)
        try:
            began_s = clock.monotonic_s()
            await world.stop_worker()
            assert clock.monotonic_s() - began_s < 10
        finally:
            redis_server.signal(signal.SIGCONT)
        world.start_worker()
        await world.until(customer.sid, state="conferenced")
        await ends_well(world, customer)
        assert world.redirects_of(agent) == 1


async def test_sessions_that_ended_are_not_kept_in_memory(world):
    customer, agent = await world.talking()
    held = world.workers[0].keeper.held[world.keys.partition_of(customer.sid)]
    await ends_well(world, customer)
    await world.client.xadd(
        world.keys.events(held.number),
        {
            "type": "call_progressed",
            "session": customer.sid,
            "party": "agent",
            "call_sid": agent.sid,
            "status": "completed",
        },
    )
    await world.settled()
    assert held.states.by_session == {}
    assert not held._open_effects


async def test_stray_leg_is_hung_up_without_dropping_the_sessions_other_work(world):
    """Only the end of a session withdraws what it has not sent yet."""
    customer, _ = await world.talking()
    partition = world.keys.partition_of(customer.sid)
    executor = world.workers[0].executor
    reads = [
        ReadCalls(effect_id=f"r{n}", session_id=customer.sid, parent_call_sid=customer.sid, with_conference=False,
                  read_version=0)
        for n in range(3)
    ]  # fmt: skip
    for read in reads:
        executor.submit(Order(effect=read, partition=partition, ordered_at_ms=0))
    stray = HangUpCall(effect_id="h", session_id=customer.sid, call_sid="CA" + "9" * 32)
    executor.submit(Order(effect=stray, partition=partition, ordered_at_ms=0, ends_session=False))

    async def all_done() -> bool:
        return executor.performed == 4

    await world.eventually(all_done, "three looks and a hang-up")
    assert executor.dropped == 0
    await ends_well(world, customer)
