"""The account's lists find lone parties when callbacks are lost, and no one else is touched."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import msgspec
import pytest

from conferral.storage.coordinator import SWEEP, read_owners
from conferral.worker.process import make_policy
from conferral.worker.sweep.sweeper import SweepTimes
from offhook import CallHandle
from tests.flows.conference_starts import WAYS, in_conference, opened
from tests.flows.flow_helpers import talking
from tests.flows.group_call import GroupCall
from tests.support.flat_sessions import flat_record
from tests.support.foreign_calls import add_foreign_calls, add_foreign_conference
from tests.support.forked_worker import ForkedWorker
from tests.support.local_system import FAST, LocalSystem
from tests.support.metric_values import value_of
from tests.support.people import TARGET
from tests.support.phones import answers, rings

INTERVAL_S = 0.4
pytestmark = [pytest.mark.redis, pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=INTERVAL_S)]
#: `CONFERRAL_LONE_GRACE` of a world.
GRACE_MS = 300
#: For reading Twilio and Redis on a busy machine; what this process stood still is added.
SLACK_MS = 700
CONFERENCE_EVENTS = ("participant-*", "conference-*", "announcement-*")


@dataclass
class Foreigners:
    """Others who use the same account."""

    system: LocalSystem
    calls: list[CallHandle]
    conference: str

    def are_untouched(self) -> bool:
        """Whether no request has named one of them, reads among them, and all are as they were."""
        sids = [*(call.sid for call in self.calls), self.conference]
        asked = [entry.path for entry in self.system.sandbox.request_log.rest if any(sid in entry.path for sid in sids)]
        conference = self.system.sandbox.model.state.conferences[self.conference]
        return (
            not asked and conference.status == "in-progress" and {call.status for call in self.calls} == {"in-progress"}
        )


def foreigners(system: LocalSystem) -> Foreigners:
    return Foreigners(
        system,
        add_foreign_calls(system.sandbox, 3, age_s=60),
        add_foreign_conference(system.sandbox, "lunch", age_s=60),
    )


# ---- flows -----------------------------------------------------------------------------------------------------------


async def talk_of(system: LocalSystem, direction: str = "inbound", *, conferenced: bool = True) -> GroupCall:
    talk = await talking(system, direction, conferenced=conferenced)
    return GroupCall(system, talk.session, {"customer": talk.customer, "agent": talk.agent})


async def inbound(system: LocalSystem) -> GroupCall:
    return await talk_of(system)


async def waiting(system: LocalSystem) -> GroupCall:
    opening, leg = await in_conference(system, "waiting")
    return GroupCall(system, opening.id, {opening.way.waiter: opening.waiter, opening.way.awaited: leg})


async def group(system: LocalSystem) -> GroupCall:
    """Three, of whom one has left again: no one's leaving ends it by itself."""
    crowd = await inbound(system)
    await crowd.add("bob", TARGET)
    await crowd.done("remove", party="agent")
    del crowd.people["agent"]
    return crowd


async def supervised(system: LocalSystem) -> GroupCall:
    crowd = await inbound(system)
    await crowd.supervise("monitor")
    return crowd


async def parked(system: LocalSystem) -> GroupCall:
    crowd = await talk_of(system, "outbound", conferenced=False)
    await crowd.done("park")
    return crowd


class Flow(NamedTuple):
    """How two, or one, came to be in a conference, who leaves it then, and why it ends."""

    begin: Callable[[LocalSystem], Awaitable[GroupCall]]
    leaver: str
    reason: str


FLOWS = {
    "inbound-agent": Flow(inbound, "agent", "agent-left"),
    "waiting-customer": Flow(waiting, "customer", "customer-left"),
    "group-bob": Flow(group, "bob", "agent-left"),
    "supervised-agent": Flow(supervised, "agent", "agent-left"),
    "parked": Flow(parked, "customer", "customer-left"),
}


# ---- what is reported ------------------------------------------------------------------------------------------------


def lose_conference_events(system: LocalSystem) -> None:
    """No callback reports any more who joins or leaves a conference."""
    for event in CONFERENCE_EVENTS:
        system.sandbox.faults.lose_callbacks(event, count=10_000)


def lose_everything(system: LocalSystem) -> None:
    """Nor of calls; and actions of a `<Dial>` are not asked for, by which something could be noticed."""
    system.sandbox.faults.lose_callbacks("*", count=10_000)
    system.sandbox.faults.fail_fetches("/voice/dial-action", status=500, count=1_000)


def sweeps(system: LocalSystem) -> int:
    """Sweeps that were made (count)."""
    return sum(int(value_of(worker.metrics.sweeps.labels("done"))) for worker in system.workers)


async def swept(system: LocalSystem, times: int) -> None:
    """Waits until the account was swept so many times more, from the beginning of a sweep on."""
    before = sweeps(system) + 1  # one may be under way, whose lists are older than what was done
    await system.eventually(lambda: sweeps(system) >= before + times, f"{times} more sweeps")


async def waits_for_nothing(system: LocalSystem, session_id: str) -> None:
    """Waits until the session waits neither for Twilio nor for a moment, but for those that are minutes away."""
    partition = system.keys.partition_of(session_id)

    async def does() -> bool:
        pipeline = system.client.pipeline(transaction=True)  # all of one moment
        pipeline.hlen(system.keys.outbox(partition))
        pipeline.xlen(system.keys.events(partition))
        pipeline.hgetall(system.keys.session(session_id))
        under_way, undecided, record = await pipeline.execute()
        names = msgspec.json.decode(flat_record(record)["timers"]).keys()
        return not under_way and not undecided and names <= {"age", "park"}

    await system.eventually(does, f"{session_id} waits for nothing")


async def is_found_and_let_go(crowd: GroupCall, flow: Flow) -> None:
    """Someone hangs up without a callback: the grace and one sweep later everything is over."""
    system = crowd.system
    began_s = system.clock.monotonic_s()
    crowd[flow.leaver].hang_up()
    ended = await crowd.wait_until(state="ended")
    assert ended["end_reason"] == flow.reason
    assert [entry for entry in await system.log(crowd.id) if entry["event"] == "account_swept"], await system.report()
    times = SweepTimes.for_interval(INTERVAL_S)
    expected_ms = GRACE_MS + 1000 * (times.interval_s + times.settle_s)
    took_ms = 1000 * (system.clock.monotonic_s() - began_s)
    assert took_ms <= expected_ms + SLACK_MS, await system.report()


async def nothing_is_left(crowd: GroupCall, reason: str) -> None:
    """No call, no timer, no effect; and the end was published once."""
    await crowd.system.settled()
    published = [entry for entry in await crowd.system.outcomes() if entry["kind"] == "session"]
    assert [(entry["session"], entry["reason"]) for entry in published] == [(crowd.id, reason)]


# ---- the stories -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOWS)
async def test_lone_participant_is_found_without_any_callbacks(system, name):
    """Not of the conference from its start, of calls and their documents from the leaving on."""
    flow = FLOWS[name]
    others = foreigners(system)
    system.end_calls_in_test()
    lose_conference_events(system)
    crowd = await flow.begin(system)
    await waits_for_nothing(system, crowd.id)
    lose_everything(system)
    await swept(system, 1)

    await is_found_and_let_go(crowd, flow)

    await nothing_is_left(crowd, flow.reason)
    assert others.are_untouched()


async def test_those_who_still_have_company_talk_on_when_a_third_is_found_gone(system):
    others = foreigners(system)
    crowd = await inbound(system)
    await crowd.add("bob", TARGET)
    await waits_for_nothing(system, crowd.id)
    lose_everything(system)

    crowd.people.pop("agent").hang_up()

    await crowd.party("agent", status="left")
    await crowd.talk("customer", "bob")
    await waits_for_nothing(system, crowd.id)
    await swept(system, 1)
    assert (await crowd.session())["state"] == "conferenced"
    await crowd.talk("customer", "bob")
    assert others.are_untouched()
    await crowd.done("end")
    await nothing_is_left(crowd, "command")


async def test_bridged_call_with_all_end_callbacks_lost_is_ended(system):
    """Both legs are over at Twilio; here they would talk on for a day."""
    crowd = await talk_of(system, conferenced=False)
    lose_everything(system)
    await swept(system, 1)

    await is_found_and_let_go(crowd, Flow(inbound, "customer", "customer-left"))

    await nothing_is_left(crowd, "customer-left")


async def test_conference_and_calls_that_outlive_their_session_are_ended(system):
    """Twilio says of each that it is gone, and it is not."""
    crowd = await inbound(system)
    for path in ("/Conferences/*", "/Calls/*"):
        system.sandbox.faults.next_rest("POST", path, status=404, code=20404, count=2, Status="completed")

    await crowd.done("end")

    await nothing_is_left(crowd, "command")
    assert {call.status for call in crowd.people.values()} == {"completed"}
    assert [entry for entry in await system.log(crowd.id) if entry["event"] == "account_swept"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=INTERVAL_S, CONFERRAL_RING_TIMEOUT=60)
async def test_phone_stops_ringing_when_the_waiting_party_is_found_gone(system, way):
    """Long before it would have stopped by itself."""
    lose_conference_events(system)
    system.sandbox.phone(WAYS[way].phone).script_in_turn(*([answers()] if way == "call" else []), rings())
    opening = await opened(system, way)
    leg = await opening.rings()
    lose_everything(system)

    opening.waiter.hang_up()

    await opening.until(state="ended", end_reason=f"{opening.way.waiter}-left")
    await system.settled()
    assert leg.status in ("no-answer", "canceled", "completed")
    assert system.dials_to(opening.way.phone) == 1


@pytest.mark.soak
@pytest.mark.processes
async def test_another_worker_sweeps_when_the_one_that_did_is_killed(redis_server, tmp_path):
    """No callback reports the leave, and the worker that would have found it dies at the same moment."""
    lease_ms = 1_000
    async with LocalSystem(redis_server.url, workers=0, CONFERRAL_SWEEP_INTERVAL=INTERVAL_S) as system:
        policy = asdict(replace(make_policy(system.settings), **FAST))
        with ExitStack() as rest:
            with ForkedWorker(system, tmp_path, "first", lease_ms=lease_ms, policy=policy):
                holder = await held_by_another(system, "")
                rest.enter_context(ForkedWorker(system, tmp_path, "second", lease_ms=lease_ms, policy=policy))
                system.end_calls_in_test()
                crowd = await inbound(system)
                await waits_for_nothing(system, crowd.id)
                lose_everything(system)
            # Killed.
            crowd["agent"].hang_up()
            await held_by_another(system, holder)
            await crowd.wait_until(state="ended", end_reason="agent-left")
            log = await system.log(crowd.id)
            assert [entry for entry in log if entry["event"] == "account_swept"], await system.report()
            await nothing_is_left(crowd, "agent-left")


async def held_by_another(system: LocalSystem, before: str) -> str:
    """Waits until another worker sweeps; returns its name."""

    async def has_moved() -> bool:
        return await sweeping() not in ("", before)

    async def sweeping() -> str:
        return (await read_owners(system.client, system.keys))[SWEEP].name

    await system.eventually(has_moved, "another worker sweeps")
    return await sweeping()
