"""Callbacks that are lost, doubled, late, in reverse order, or not for us."""

from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

import aiohttp
import pytest
from twilio.request_validator import RequestValidator

from conferral.sandbox import Faults, SandboxCall
from conferral.sandbox.exchange import CallbackRequest
from conferral.sandbox.faults import CallbackPlan
from conferral.sandbox.ledger import DeliveryEntry
from conferral.sandbox.overrides import parse_target
from tests.faults.calls import all_hang_up, events_of, nothing_waits, stream_of, transferred
from tests.faults.kit import FaultWorld
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
SWEEP_S = 0.5
#: Whoever is dialled and of whom nobody tells is looked for when he has rung for so long.
POLICY = {"ring_timeout_ms": 1_000}
SEEDS = range(12)


@pytest.fixture
async def world(redis_server: RedisServer) -> AsyncIterator[FaultWorld]:
    async with FaultWorld(redis_server, policy=POLICY, CONFERRAL_SWEEP_INTERVAL=SWEEP_S) as world:
        yield world


class Reversing(Faults):
    """Each callback is sent a little sooner than the one before it, so that the last comes first."""

    #: Between two of them, and how long the first one waits, real seconds.
    STEP_S, FIRST_S = 0.03, 0.6

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def plan_callback(self, request: CallbackRequest) -> CallbackPlan:
        self.sent += 1
        return CallbackPlan(delay_s=max(0.0, self.FIRST_S - self.STEP_S * self.sent))


class Copying(Faults):
    """Each callback is sent so many times."""

    COPIES = 100

    def plan_callback(self, request: CallbackRequest) -> CallbackPlan:
        return CallbackPlan(copies=self.COPIES)


class Storm(Faults):
    """Each callback is lost, sent three times, late or overtaken, as chance will have it."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self.chance = chance

    def plan_callback(self, request: CallbackRequest) -> CallbackPlan:
        copies = self.chance.choices((0, 1, 3), (3, 5, 2))[0]
        return CallbackPlan(copies, self.chance.choice((0.0, 0.0, 0.05, 0.4, 1.0)), self.chance.random() < 0.2)


async def agrees_with_twilio(world: FaultWorld, session_id: str) -> bool:
    """Whether the session believes of every party what is so at Twilio: on the phone or not, in the room or not."""
    session, state = await world.session(session_id), world.sandbox.exchange.state
    for field, call_sid in session.items():
        if not field.endswith(".call_sid") or not call_sid:
            continue
        party, call = field.removesuffix(".call_sid"), state.calls[call_sid]
        is_live = call_sid in state.live
        if is_live == (session[f"{party}.status"] == "left"):
            return False
        if is_live and bool(call.conference_sid) != (session.get(f"{party}.in_room") == "true"):
            return False
    return True


async def comes_to_agree(world: FaultWorld, customer: SandboxCall) -> None:
    await world.eventually(lambda: agrees_with_twilio(world, customer.sid), "session and Twilio agree")


async def plays_a_transfer(world: FaultWorld) -> SandboxCall:
    """A call is converted, transferred, and the agent leaves; session and Twilio agree after each step."""
    customer, agent = await world.talking()
    assert (await world.command("convert", customer.sid)).status == "done"
    await comes_to_agree(world, customer)
    target = await transferred(world, customer)
    await comes_to_agree(world, customer)
    agent.hang_up()
    await comes_to_agree(world, customer)
    assert (customer.status, target.status) == ("in-progress", "in-progress")
    return customer


@pytest.mark.soak
async def test_fault_43_no_callback_arrives_at_all(world: FaultWorld) -> None:
    """But for those by which the session becomes known: looks, timers and the sweep make up for all others."""
    customer, agent = await world.talking()
    world.sandbox.faults.callback_loss = 1.0

    assert (await world.command("convert", customer.sid)).status == "done"
    await comes_to_agree(world, customer)
    await transferred(world, customer)
    await comes_to_agree(world, customer)
    agent.hang_up()

    await comes_to_agree(world, customer)
    assert customer.status == "in-progress"
    await all_hang_up(world)


@pytest.mark.soak
async def test_fault_43_every_callback_comes_a_hundred_times(world: FaultWorld) -> None:
    world.sandbox.faults = Copying()

    customer = await plays_a_transfer(world)

    await world.sandbox.settled(timeout_s=30)
    log = await world.log(customer.sid)
    joined = events_of(log, "participant_joined")
    assert len(joined) >= Copying.COPIES, "all of them were decided upon"
    assert sum(entry["outcome"] != "stale" for entry in joined) == 3
    await all_hang_up(world)


@pytest.mark.soak
async def test_fault_43_callbacks_come_in_reverse_order(world: FaultWorld) -> None:
    customer, agent = await world.talking()
    await world.sandbox.settled()
    reversing = world.sandbox.faults = Reversing()
    assert (await world.command("convert", customer.sid)).status == "done"
    await world.sandbox.settled()
    assert reversing.sent > 2
    await comes_to_agree(world, customer)
    reversing.sent = 0
    await transferred(world, customer)
    await world.sandbox.settled()
    await comes_to_agree(world, customer)
    reversing.sent = 0
    agent.hang_up()
    await world.sandbox.settled()
    await comes_to_agree(world, customer)
    reversing.sent = 0
    await all_hang_up(world)


async def deliver_again(world: FaultWorld, entries: list[DeliveryEntry]) -> set[int]:
    """Sends callbacks once more as they were, signed, with the same token; returns the statuses answered."""
    delivery = world.sandbox._delivery
    assert delivery is not None
    return {(await delivery.send(parse_target(entry.url), replace(entry, attempts=[]))).status for entry in entries}


async def test_fault_43_callbacks_that_come_when_all_is_over_change_nothing(world: FaultWorld) -> None:
    """Some were lost until then, all the others are there twice; the newest comes first."""
    world.sandbox.faults = Storm(Random(43))
    customer, _ = await world.talking()
    assert (await world.command("convert", customer.sid)).status == "done"
    await transferred(world, customer)
    late = [entry for entry in world.sandbox.ledger.deliveries if entry.kind != "voice"]
    assert await deliver_again(world, late[::-1]) == {204}
    await comes_to_agree(world, customer)
    await all_hang_up(world)
    ended, requests = await world.session(customer.sid), len(changes(world))
    late = [entry for entry in world.sandbox.ledger.deliveries if entry.kind != "voice"]

    assert await deliver_again(world, late[::-1]) == {204}

    await all_hang_up(world)
    session = await world.session(customer.sid)
    assert (session["state"], session["end_reason"], session["ended_at"]) == (
        "ended",
        ended["end_reason"],
        ended["ended_at"],
    )
    assert len(changes(world)) == requests
    behind = [entry for entry in await world.log(customer.sid) if int(entry["version"]) > int(ended["version"])]
    assert behind
    assert {entry["outcome"] for entry in behind} <= {"stale", "ignored", "stayed"}
    assert all(entry["reason"] for entry in behind if entry["outcome"] != "stayed")


def changes(world: FaultWorld) -> list[str]:
    """What Twilio was asked to do, reads left out."""
    return [f"{entry.path} {entry.params}" for entry in world.sandbox.ledger.rest if entry.method == "POST"]


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
async def test_fault_43_callbacks_as_chance_will_have_it(redis_server: RedisServer, seed: int) -> None:
    """Repeat one with its seed, which stands in its name."""
    async with FaultWorld(redis_server, policy=POLICY, CONFERRAL_SWEEP_INTERVAL=SWEEP_S) as world:
        world.sandbox.faults = Storm(Random(seed))
        await plays_a_transfer(world)
        await all_hang_up(world)


# ---- not for us ------------------------------------------------------------------------------------------------------


async def posted(url: str, form: dict[str, str], *, token: str) -> int:
    """The status that a callback gets which somebody has signed."""
    url = parse_target(url).url  # what stands behind a # is for Twilio alone
    headers = {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, form)}
    async with aiohttp.ClientSession() as session, session.post(url, data=form, headers=headers) as response:
        return response.status


async def test_fault_44_callbacks_of_another_account_are_turned_away(world: FaultWorld) -> None:
    customer, agent = await world.talking()
    await world.sandbox.settled()
    await world.eventually(lambda: nothing_waits(world), "everything is decided upon")
    seen = next(entry for entry in world.sandbox.ledger.deliveries if entry.call_sid == agent.sid)
    form = dict(seen.params) | {"CallStatus": "completed", "SequenceNumber": "9"}
    ours, version = world.sandbox.auth_token, (await world.session(customer.sid))["version"]

    assert await posted(seen.url, dict(seen.params), token=ours) == 204
    assert await posted(seen.url, form, token="somebody else's") == 403
    assert await posted(seen.url, form | {"AccountSid": "AC" + "f" * 32}, token=ours) == 403

    await world.until(customer.sid, version=str(int(version) + 1))
    assert (await world.log(customer.sid))[-1]["outcome"] == "stale", "the first, which is Twilio's own once more"
    assert await world.client.xlen(stream_of(world.keys, customer.sid)) == 0
    assert (await world.command("convert", customer.sid)).status == "done"
    await all_hang_up(world)


async def test_fault_44_callbacks_of_a_session_that_nobody_knows_bring_it_back(world: FaultWorld) -> None:
    """What told of the call was lost undecided; the agent's own callbacks tell enough."""
    await world.stop_worker()
    customer = await world.customer_calls()
    stream = stream_of(world.keys, customer.sid)
    await world.eventually(lambda: world.client.xlen(stream), "the call is told of")
    await world.sandbox.settled()
    entries = await world.client.xrange(stream)
    lost = [entry_id for entry_id, fields in entries if fields[b"type"] == b"call_received"]
    assert len(lost) == 1
    await world.client.xdel(stream, *lost)

    world.start_worker()

    await world.until(customer.sid, phase="connected")
    assert (await world.command("convert", customer.sid)).status == "done"
    await all_hang_up(world)


async def test_fault_44_callbacks_of_a_session_that_never_was_leave_nothing(world: FaultWorld) -> None:
    customer, agent = await world.talking()
    seen = next(entry for entry in world.sandbox.ledger.deliveries if entry.call_sid == agent.sid)
    strange = "CA" + "e" * 32
    url = seen.url.replace(customer.sid, strange)
    form = dict(seen.params) | {"CallSid": strange, "ParentCallSid": strange, "CallStatus": "completed"}

    assert await posted(url, form, token=world.sandbox.auth_token) == 204

    stream = stream_of(world.keys, strange)

    async def is_decided() -> bool:
        return not await world.client.xlen(stream)

    await world.eventually(is_decided, "it is decided upon")
    assert not await world.session(strange)
    assert not await world.log(strange)
    await all_hang_up(world)
