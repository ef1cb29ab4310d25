"""Whoever is alone is found by the account's lists when nothing is told any more, and nobody else is touched."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from conferral.sandbox import SandboxCall
from conferral.storage.times import from_iso
from conferral.worker.process import policy_of
from conferral.worker.sweep.sweeper import SweepTimes
from tests.stories.crowd import BOB, EVE, Crowd
from tests.stories.kit import TARGET, dials_to, outcomes, talking, until_hears
from tests.stories.openings import WAYS, in_conference, opened
from tests.stories.trio import Trio, joined_by_target
from tests.support.forked_worker import ForkedWorker
from tests.support.phones import answers, rings
from tests.support.world import AGENT, CUSTOMER, FAST, NUMBER, World

pytestmark = pytest.mark.redis
INTERVAL_S = 0.4
#: `CONFERRAL_LONE_GRACE` of a world.
GRACE_MS = 300
#: For reading Twilio and Redis on a busy machine; what this process stood still is added.
SLACK_MS = 700
CONFERENCE_EVENTS = ("participant-*", "conference-*", "announcement-*")


@dataclass
class Foreigners:
    """Others who use the same account."""

    world: World
    calls: list[SandboxCall]
    room: str

    def are_untouched(self) -> bool:
        """Whether no request has named one of them, reads among them, and all are as they were."""
        sids = [*(call.sid for call in self.calls), self.room]
        asked = [entry.path for entry in self.world.sandbox.ledger.rest if any(sid in entry.path for sid in sids)]
        room = self.world.sandbox.exchange.state.conferences[self.room]
        return not asked and room.status == "in-progress" and {call.status for call in self.calls} == {"in-progress"}


def foreigners(world: World) -> Foreigners:
    return Foreigners(
        world, world.sandbox.add_foreign_calls(3, age_s=60), world.sandbox.add_foreign_conference("lunch", age_s=60)
    )


@pytest.fixture
async def world(redis_server) -> AsyncIterator[World]:
    async with World(redis_server.url, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S) as world:
        yield world


# ---- flows -----------------------------------------------------------------------------------------------------------


async def inbound(world: World) -> Crowd:
    talk = await talking(world, "inbound", in_room=True)
    return Crowd(world, talk.session, {"customer": talk.customer, "agent": talk.agent})


async def outbound(world: World) -> Crowd:
    talk = await talking(world, "outbound", in_room=True)
    return Crowd(world, talk.session, {"customer": talk.customer, "agent": talk.agent})


def from_the_start(way: str) -> Callable[[World], Awaitable[Crowd]]:
    async def begin(world: World) -> Crowd:
        opening, leg = await in_conference(world, way)
        return Crowd(world, opening.id, {opening.way.waiter: opening.waiter, opening.way.awaited: leg})

    return begin


def transferred(mode: str) -> Callable[[World], Awaitable[Crowd]]:
    async def begin(world: World) -> Crowd:
        crowd = await inbound(world)
        trio = await joined_by_target(Trio(world, crowd["customer"], crowd["agent"], id=crowd.id), mode)
        if mode != "blind":
            await crowd.done("complete")
        assert trio.target is not None
        await crowd.until(state="conferenced", phase="")
        return Crowd(world, crowd.id, {"customer": crowd["customer"], "agent": trio.target})

    return begin


async def group(world: World) -> Crowd:
    """Three, of whom one has left again: nobody's leaving ends it by itself."""
    crowd = await inbound(world)
    await crowd.add("bob", BOB)
    await crowd.done("remove", party="agent")
    del crowd.people["agent"]
    return crowd


async def supervised(world: World) -> Crowd:
    crowd = await inbound(world)
    await crowd.supervise("monitor")
    return crowd


def parked(start: str) -> Callable[[World], Awaitable[Crowd]]:
    async def begin(world: World) -> Crowd:
        talk = await talking(world, start, in_room=False)
        crowd = Crowd(world, talk.session, {"customer": talk.customer, "agent": talk.agent})
        if start == "inbound":
            await crowd.done("convert")
        await crowd.done("park")
        return crowd

    return begin


class Flow(NamedTuple):
    """How two, or one, came to be in a conference, who leaves it then, and why it ends."""

    begin: Callable[[World], Awaitable[Crowd]]
    leaver: str
    reason: str


FLOWS = {
    "inbound-agent": Flow(inbound, "agent", "agent-left"),
    "inbound-customer": Flow(inbound, "customer", "customer-left"),
    "outbound-agent": Flow(outbound, "agent", "agent-left"),
    "outbound-customer": Flow(outbound, "customer", "customer-left"),
    "waiting-agent": Flow(from_the_start("waiting"), "agent", "agent-left"),
    "waiting-customer": Flow(from_the_start("waiting"), "customer", "customer-left"),
    "client-agent": Flow(from_the_start("client"), "agent", "agent-left"),
    "client-customer": Flow(from_the_start("client"), "customer", "customer-left"),
    "call-agent": Flow(from_the_start("call"), "agent", "agent-left"),
    "call-customer": Flow(from_the_start("call"), "customer", "customer-left"),
    "warm-agent": Flow(transferred("warm"), "agent", "agent-left"),
    "consult-customer": Flow(transferred("consult"), "customer", "customer-left"),
    "blind-agent": Flow(transferred("blind"), "agent", "agent-left"),
    "group-bob": Flow(group, "bob", "agent-left"),
    "group-customer": Flow(group, "customer", "agent-left"),
    "supervised-agent": Flow(supervised, "agent", "agent-left"),
    "parked-inbound": Flow(parked("inbound"), "customer", "customer-left"),
    "parked-outbound": Flow(parked("outbound"), "customer", "customer-left"),
}


# ---- what is told ----------------------------------------------------------------------------------------------------


def lose_conference_events(world: World) -> None:
    """Nobody is told any more who comes into a conference and who leaves it."""
    for event in CONFERENCE_EVENTS:
        world.sandbox.faults.lose_callbacks(event, count=10_000)


def lose_everything(world: World) -> None:
    """Nor of calls; and actions of a `<Dial>` are not asked for, by which something could be noticed."""
    world.sandbox.faults.lose_callbacks("*", count=10_000)
    world.sandbox.faults.fail_fetches("/voice/dial-action", status=500, count=1_000)


def sweeps(world: World) -> int:
    """Sweeps that were made (count)."""
    return sum(int(worker.metrics.sweeps.labels("done")._value.get()) for worker in world.workers)


async def swept(world: World, times: int) -> None:
    """Waits until the account was swept so many times more, from the beginning of a sweep on."""
    before = sweeps(world) + 1  # one may be under way, whose lists are older than what was done

    async def has_been() -> bool:
        return sweeps(world) >= before + times

    await world.eventually(has_been, f"{times} more sweeps")


async def waits_for_nothing(world: World, session_id: str) -> None:
    """Waits until the session waits neither for Twilio nor for a moment, but for those that are minutes away."""
    partition = world.keys.partition_of(session_id)

    async def does() -> bool:
        pipeline = world.client.pipeline(transaction=True)  # all of one moment
        pipeline.hlen(world.keys.outbox(partition))
        pipeline.xlen(world.keys.events(partition))
        pipeline.hget(world.keys.session(session_id), "timers")
        under_way, undecided, timers = await pipeline.execute()
        names = {timer.partition("=")[0] for timer in timers.decode().split()}
        return not under_way and not undecided and names <= {"age", "park"}

    await world.eventually(does, f"{session_id} waits for nothing")


async def is_found_and_let_go(crowd: Crowd, flow: Flow) -> None:
    """Somebody hangs up, of which nobody is told: the grace and one sweep later everything is over."""
    world = crowd.world
    began_s = time.monotonic()
    hung_up_ms = await now_ms(world)
    crowd[flow.leaver].hang_up()
    ended = await crowd.until(state="ended")
    assert ended["end_reason"] == flow.reason
    assert [entry for entry in await world.log(crowd.id) if entry["event"] == "account_swept"], await world.report()
    times = SweepTimes.of(INTERVAL_S)
    expected_ms = GRACE_MS + 1000 * (times.interval_s + times.settle_s)
    lost_ms = 1000 * world.stalls.lost_s(began_s, time.monotonic())
    assert from_iso(ended["ended_at"]) - hung_up_ms <= expected_ms + SLACK_MS + lost_ms, await world.report()


async def now_ms(world: World) -> int:
    """Redis's time, Unix milliseconds."""
    seconds, microseconds = await world.client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def nothing_is_left(crowd: Crowd, reason: str) -> None:
    """No call, no timer, no effect; and others were told of the end once."""
    await crowd.world.settled()
    told = [entry for entry in await outcomes(crowd.world) if entry["kind"] == "session"]
    assert [(entry["session"], entry["reason"]) for entry in told] == [(crowd.id, reason)]


# ---- the stories -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOWS)
async def test_lone_participant_is_found_although_nobody_tells_of_anything(world, name):
    """Not of the conference from its start, of calls and their documents from the leaving on."""
    flow = FLOWS[name]
    others = foreigners(world)
    world.leaves_the_end_to_us()
    lose_conference_events(world)
    crowd = await flow.begin(world)
    await waits_for_nothing(world, crowd.id)
    lose_everything(world)
    await swept(world, 1)

    await is_found_and_let_go(crowd, flow)

    await nothing_is_left(crowd, flow.reason)
    assert others.are_untouched()


@pytest.mark.parametrize(
    "name", [name if name == "waiting-agent" else pytest.param(name, marks=pytest.mark.soak) for name in FLOWS]
)
async def test_lone_participant_is_let_go_although_no_conference_event_ever_came(world, name):
    """What comes of calls is enough; nobody is dialled twice on the way."""
    flow = FLOWS[name]
    others = foreigners(world)
    world.leaves_the_end_to_us()
    lose_conference_events(world)
    crowd = await flow.begin(world)

    crowd[flow.leaver].hang_up()

    assert (await crowd.until(state="ended"))["end_reason"] == flow.reason
    await nothing_is_left(crowd, flow.reason)
    assert others.are_untouched()
    for phone in (AGENT, CUSTOMER, TARGET, EVE):
        assert dials_to(world, phone) <= 1


async def test_those_who_still_have_company_talk_on_when_a_third_is_found_gone(world):
    others = foreigners(world)
    crowd = await inbound(world)
    await crowd.add("bob", BOB)
    await waits_for_nothing(world, crowd.id)
    lose_everything(world)

    crowd.people.pop("agent").hang_up()

    await crowd.party("agent", status="left")
    await crowd.talk("customer", "bob")
    await waits_for_nothing(world, crowd.id)
    await swept(world, 1)
    assert (await crowd.session())["state"] == "conferenced"
    await crowd.talk("customer", "bob")
    assert others.are_untouched()
    await crowd.done("end")
    await nothing_is_left(crowd, "command")


async def test_bridged_call_whose_end_nobody_told_is_ended(world):
    """Both legs are over at Twilio; here they would talk on for a day."""
    talk = await talking(world)
    crowd = Crowd(world, talk.session, {"customer": talk.customer, "agent": talk.agent})
    lose_everything(world)
    await swept(world, 1)

    await is_found_and_let_go(crowd, Flow(inbound, "customer", "customer-left"))

    await nothing_is_left(crowd, "customer-left")


@pytest.mark.parametrize("way", WAYS)
async def test_phone_stops_ringing_when_whoever_waited_is_found_gone(redis_server, way):
    """Long before it would have stopped by itself."""
    async with World(redis_server.url, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S, CONFERRAL_RING_TIMEOUT=60) as world:
        lose_conference_events(world)
        world.sandbox.phone(WAYS[way].phone).in_turn(*([answers()] if way == "call" else []), rings())
        opening = await opened(world, way)
        leg = await opening.rings()
        lose_everything(world)

        opening.waiter.hang_up()

        await opening.until(state="ended", end_reason=f"{opening.way.waiter}-left")
        await world.settled()
        assert leg.status in ("no-answer", "canceled", "completed")
        assert dials_to(world, opening.way.phone) == 1


async def test_customer_who_was_sent_on_is_left_alone(redis_server, tmp_path):
    """He is in no conference and no session is live, and he may stay there as long as he likes."""
    heard = "What did you think of us?"
    async with survey(heard) as url:
        directory = tmp_path / "directory.toml"
        directory.write_text(f'[inbound."{NUMBER}"]\nagents = ["{AGENT}"]\nafter = "{url}"\n')
        settings: dict[str, Any] = {"CONFERRAL_SWEEP_INTERVAL": INTERVAL_S, "CONFERRAL_DIRECTORY": directory}
        async with World(redis_server.url, **settings) as world:
            crowd = await inbound(world)
            await waits_for_nothing(world, crowd.id)
            world.sandbox.faults.lose_callbacks("*", count=10_000)

            crowd["agent"].hang_up()

            await crowd.until(state="ended", end_reason="agent-left")
            await until_hears(world, crowd["customer"], f"said {heard}")
            asked = len(world.sandbox.ledger.requests("POST"))
            await swept(world, 3)
            assert len(world.sandbox.ledger.requests("POST")) == asked
            assert crowd["customer"].status == "in-progress"
            crowd["customer"].hang_up()
            await nothing_is_left(crowd, "agent-left")


@asynccontextmanager
async def survey(sentence: str) -> AsyncIterator[str]:
    """Somebody else's TwiML, with which a customer goes on: a question, then a minute for the answer."""

    async def ask(_request: web.Request) -> web.Response:
        document = f"<Response><Say loop='0'>{sentence}</Say></Response>"
        return web.Response(text=document, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/survey", ask)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/survey"
    await runner.cleanup()


@pytest.mark.soak
@pytest.mark.processes
async def test_another_worker_sweeps_when_the_one_that_did_is_killed(redis_server, tmp_path):
    """Nobody is told of the leaving, and the worker that would have found it dies in the same moment."""
    lease_ms = 1_000
    async with World(redis_server.url, workers=0, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S) as world:
        policy = asdict(replace(policy_of(world.settings), **FAST))
        with ExitStack() as rest:
            with ForkedWorker(world, tmp_path, "first", lease_ms=lease_ms, policy=policy):
                holder = await held_by_somebody_else(world, b"")
                rest.enter_context(ForkedWorker(world, tmp_path, "second", lease_ms=lease_ms, policy=policy))
                world.leaves_the_end_to_us()
                crowd = await inbound(world)
                await waits_for_nothing(world, crowd.id)
                lose_everything(world)
            # Killed.
            crowd["agent"].hang_up()
            await held_by_somebody_else(world, holder)
            await crowd.until(state="ended", end_reason="agent-left")
            log = await world.log(crowd.id)
            assert [entry for entry in log if entry["event"] == "account_swept"], await world.report()
            await nothing_is_left(crowd, "agent-left")


async def held_by_somebody_else(world: World, before: bytes) -> bytes:
    """Waits until the sweep's lease has another holder; returns that one."""

    async def has_moved() -> bool:
        return (await world.client.hget(world.keys.sweep_lease, "holder") or before) != before

    await world.eventually(has_moved, "the sweep's lease has moved")
    return bytes(await world.client.hget(world.keys.sweep_lease, "holder"))
