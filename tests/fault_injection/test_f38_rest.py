"""Requests to Twilio that come to grief: before or after their effect, for ever, refused, mangled, not authorised."""

import asyncio
from typing import Any

import pytest

from conferral.statemachine.policy import Policy
from offhook import CallHandle
from offhook.request_log import RestEntry
from tests.fault_injection.calls import all_hang_up, many_talk
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.flow_helpers import CAROL, SECOND, TARGET
from tests.support.local_system import FAST
from tests.support.people import BOB, EVE

pytestmark = pytest.mark.redis
#: The sandbox's fault for the first request, and whether the request took effect.
TROUBLES: dict[str, tuple[dict[str, Any], bool]] = {
    "429": ({"status": 429, "retry_after_s": 1}, False),
    "429 without Retry-After": ({"status": 429, "retry_after_s": 0}, False),
    "503 before": ({"status": 503}, False),
    "503 after": ({"status": 503, "moment": "after"}, True),
    "reset before": ({"cut": "before"}, False),
    "reset after": ({"cut": "after"}, True),
    "half an answer": ({"mangled": "half"}, True),
    "a page with 502": ({"mangled": "html", "status": 502}, False),
    "a page with 502, after": ({"mangled": "html", "status": 502, "moment": "after"}, True),
    "a page with 200": ({"mangled": "html", "moment": "after"}, True),
}


def redirects(system: FaultSystem, call: CallHandle) -> list[RestEntry]:
    """What Twilio was asked to redirect a call with, refused and lost requests as well."""
    return [entry for entry in system.sandbox.request_log.requests("POST", f"/Calls/{call.sid}") if entry.get("Twiml")]


async def calls_bob_and_eve(system: FaultSystem, cut: str) -> str:
    """A `call` whose first dial is cut off; returns the command's outcome."""
    system.answered_by(BOB, EVE)
    system.sandbox.faults.next_rest("POST", "/Calls.json", To=BOB, cut=cut)
    return (await system.command("call", "", agent=BOB, customer=EVE)).status


async def three_requests_are_cut(system: FaultSystem, cut: str) -> tuple[CallHandle, str, str]:
    """A redirect, a dial into a conference, and a dial by `POST /Calls` at once, each cut off once.

    Returns the redirected call, and what became of the two dials.
    """
    (converted, agent), (joined, _) = await many_talk(system, 2)
    await system.done("convert", joined.sid)
    system.answered_by(TARGET)
    system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", cut=cut)
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants.json", cut=cut)
    transfer, called, _ = await asyncio.gather(
        system.command("transfer", joined.sid, to=TARGET, mode="warm"),
        calls_bob_and_eve(system, cut),
        system.done("convert", converted.sid),
    )
    return agent, transfer.status, called


async def test_fault_38_request_that_never_arrived_is_verified_and_sent_once_more(system: FaultSystem) -> None:
    """A dial by `POST /Calls` can't be verified, so it is never sent again."""
    agent, transferred, called = await three_requests_are_cut(system, "before")

    assert [entry.applied for entry in redirects(system, agent)] == [False, True]
    assert transferred == "done"
    assert [entry.applied for entry in system.dial_requests(TARGET)] == [False, True]
    assert (called, [entry.applied for entry in system.dial_requests(BOB)]) == ("failed", [False])
    await all_hang_up(system)


async def test_fault_39_request_whose_answer_is_lost_is_found_and_not_repeated(system: FaultSystem) -> None:
    agent, transferred, called = await three_requests_are_cut(system, "after")

    assert [entry.applied for entry in redirects(system, agent)] == [True]
    assert (transferred, called) == ("done", "done")
    assert [system.sandbox.request_log.dials_to(address) for address in (TARGET, BOB, EVE)] == [1, 1, 1]
    await all_hang_up(system)


@pytest.mark.soak
async def test_fault_40_session_with_a_hanging_request_delays_no_other(system: FaultSystem) -> None:
    """Not even its own end: that goes out next to what hangs."""
    (stuck, agent), (other, _), (bridged, _) = await many_talk(system, 3)
    system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=20.0, cut="before", Twiml="*")
    await system.begins("convert", stuck.sid)
    await system.sandbox.wait_until(lambda: redirects(system, agent))

    await system.done("convert", other.sid)
    await system.done("end", bridged.sid)
    await system.done("end", stuck.sid)

    (hanging,) = redirects(system, agent)
    assert (hanging.applied, hanging.duration_ms) == (False, 0.0), "it hangs all the while"
    await all_hang_up(system)


@pytest.mark.system(CONFERRAL_CONVERT_TIMEOUT=20)
async def test_fault_41_refused_and_mangled_answers_are_waited_out_and_nothing_happens_twice(
    system: FaultSystem,
) -> None:
    """Each trouble meets the redirect of a call of its own; all at the same time, so that the breaker opens too."""
    talks = dict(zip(TROUBLES, await many_talk(system, len(TROUBLES)), strict=True))
    for trouble, (_, agent) in talks.items():
        fault, _ = TROUBLES[trouble]
        system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", **fault)

    await asyncio.gather(*(system.done("convert", customer.sid) for customer, _ in talks.values()))

    for trouble, (_, agent) in talks.items():
        _, took_effect = TROUBLES[trouble]
        applied = [entry.applied for entry in redirects(system, agent)]
        assert applied == ([True] if took_effect else [False, True]), trouble
    assert not system.sandbox.faults.pending_faults()
    await all_hang_up(system)


@pytest.mark.parametrize(
    "trouble", [pytest.param(name, marks=[] if name == "503 after" else pytest.mark.soak) for name in TROUBLES]
)
async def test_fault_41_order_of_a_sessions_requests_is_kept(system: FaultSystem, trouble: str) -> None:
    """Held, then muted: the hold meets the trouble, and the mute that follows does not overtake it."""
    customer, _ = await system.converted()
    fault, _ = TROUBLES[trouble]
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants/*", Hold="true", **fault)
    hold = await system.begins("hold", customer.sid, party="customer")
    mute = await system.begins("mute", customer.sid, party="agent")

    assert [(await system.result_of(one)).status for one in (hold, mute)] == ["done", "done"]

    asked = [
        "hold" if entry.get("Hold") else "mute"
        for entry in system.sandbox.request_log.requests("POST", "/Participants/")
        if entry.applied and (entry.get("Hold") == "true" or entry.get("Muted"))
    ]
    assert asked.index("mute") > asked.index("hold")
    await all_hang_up(system)


@pytest.mark.soak
@pytest.mark.system(CONFERRAL_CONVERT_TIMEOUT=5, policy={name: getattr(Policy(), name) for name in FAST})
async def test_fault_63_redirect_that_takes_effect_late_leaves_the_two_talking(system: FaultSystem) -> None:
    """In time, the command is done; later, it has failed, and they talk in the conference all the same."""
    talks = dict(zip((4.5, 6.0, 9.0, 13.0, 30.0), await many_talk(system, 5), strict=True))
    for late_s, (_, agent) in talks.items():
        system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", latency_s=late_s, Twiml="*")

    outcomes = await asyncio.gather(
        *(system.command("convert", customer.sid, timeout_s=60) for customer, _ in talks.values())
    )
    assert all(agent.status == "in-progress" for _, agent in talks.values())
    moves = [redirects(system, agent) for _, agent in talks.values()]
    await system.eventually(lambda: [one.applied for (one,) in moves], "the moves", 60.0, equals=[True] * len(talks))
    for customer, agent in talks.values():
        await system.until(customer.sid, state="conferenced", phase="connected")
        await system.until_talk(customer, agent)

    assert [one.status for one in outcomes] == ["done", "done", "done", "failed", "failed"]
    await all_hang_up(system)


#: After how long Twilio carries out a request with `Hold=false`: before the consult may begin, or during it, seconds.
EARLY_S, LATE_S = 5.0, 16.0


@pytest.mark.soak
@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=120, policy={name: getattr(Policy(), name) for name in FAST})
async def test_fault_64_unhold_that_takes_effect_late_lets_no_one_overhear_a_consult(system: FaultSystem) -> None:
    """Later than a consult waits for it, the hold is set again before a sweep, though no callback says so."""
    system.answered_by(TARGET, SECOND, CAROL)
    talks = await many_talk(system, 3)
    cases = list(zip((TARGET, SECOND, CAROL), (EARLY_S, LATE_S, LATE_S), talks, strict=True))
    for _, late_s, (customer, _) in cases:
        path = f"/Conferences/*/Participants/{customer.sid}"
        system.sandbox.faults.next_rest("POST", path, latency_s=late_s, EndConferenceOnExit="true")
        await system.done("convert", customer.sid)
    await system.eventually(system.sandbox.faults.pending_faults, "the requests are sent", equals=[])
    commands = [await system.begins("transfer", customer.sid, to=to, mode="consult") for to, _, (customer, _) in cases]
    silent = cases[-1][2][0]
    system.sandbox.faults.lose_callbacks("participant-unhold", CallSid=silent.sid)

    for command, (to, late_s, (customer, agent)) in zip(commands, cases, strict=True):
        assert (await system.result_of(command)).status == "done"
        target = await system.dialed(to)
        await system.until_hears(target, [agent])
        assert applied_unhold(system, customer) == (late_s == EARLY_S)
    for to, late_s, (customer, agent) in cases:
        target = await system.dialed(to)
        await system.eventually(lambda one=customer: applied_unhold(system, one), "the unhold", 30.0)
        await system.eventually(lambda one=customer: system.listening.hears(one), "the music", 30.0, equals="music")
        await system.until_hears(target, [agent])
        if late_s == EARLY_S:
            assert system.listening.never_heard(customer, target)
            assert system.listening.never_heard(target, customer)
    assert not system.sandbox.faults.pending_faults()
    await all_hang_up(system)


def applied_unhold(system: FaultSystem, customer: CallHandle) -> bool:
    """Whether Twilio has carried out the first request that takes the customer off hold."""
    requests = system.sandbox.request_log.requests("POST", f"/Participants/{customer.sid}")
    return next(entry.applied for entry in requests if entry.get("EndConferenceOnExit") == "true")
