"""Dialing by REST: which requests Twilio gets, and none twice, whatever happens to requests and callbacks."""

import pytest

from offhook.model.behavior import Behavior
from tests.flows.flow_helpers import CAROL, TARGET, goes_on_and_ends, talks_and_ends
from tests.support.local_system import CUSTOMER, NUMBER, LocalSystem
from tests.support.phones import answers, busy, presses

pytestmark = pytest.mark.redis


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url) as system:
        system.sandbox.phone(TARGET).script_in_turn(presses("1"))  # wherever someone is asked to
        yield system


# ---- requests whose outcome no one knows -------------------------------------------------------------------------

#: The setting of whose number is shown, and that number.
CALLER_IDS = pytest.mark.parametrize("caller_id, shown", [("business", NUMBER), ("customer", CUSTOMER)])


@pytest.mark.parametrize("fault", [{"cut": "after"}, {"status": 500, "moment": "after"}], ids=["cut", "500"])
async def test_gated_dial_of_unknown_outcome_is_known_by_its_callbacks_and_never_repeated(system, fault):
    customer, agent = await system.converted()
    system.sandbox.faults.next_rest("POST", "/Calls.json", **fault)
    await system.done("transfer", customer.sid, to=TARGET, mode="warm", confirm="true")
    assert len(system.dial_requests(TARGET)) == 1
    await talks_and_ends(system, customer, agent, await system.dialed(TARGET))


@pytest.mark.parametrize("caller_id, shown, to, dialed, options", [
    ("business", NUMBER, TARGET, TARGET, {}), ("customer", CUSTOMER, TARGET, TARGET, {}),
    ("business", NUMBER, CAROL, f"{CAROL}?name=Ada", {"params": "name=Ada"}),
])  # fmt: skip
async def test_gated_dial_of_unknown_outcome_without_any_callback_is_found_in_the_list_of_calls(
    redis_server, caller_id, shown, to, dialed, options
):
    async with LocalSystem(redis_server.url, CONFERRAL_TRANSFER_CALLER_ID=caller_id) as system:
        system.not_answered_by(to)
        customer, agent = await system.converted()
        system.sandbox.faults.next_rest("POST", "/Calls.json", cut="after")
        system.sandbox.faults.lose_callbacks("*", count=3, To=dialed)
        command = await system.begins("transfer", customer.sid, to=to, mode="warm", brief="Hi.", **options)
        target = await system.dialed(to)
        await system.until(customer.sid, **{"party.target.call_sid": target.sid})
        target.answer()
        assert (await system.result_of(command)).status == "done"
        assert [request.get("From") for request in system.dial_requests(dialed)] == [shown]
        await talks_and_ends(system, customer, agent, target)


async def test_late_call_of_a_dial_that_was_given_up_is_hung_up(redis_server):
    """Neither callback nor list reports it in time; the phone is answered when no one waits any more."""
    async with LocalSystem(redis_server.url, behavior=Behavior(list_delay_s=30)) as system:
        system.not_answered_by(TARGET)
        customer, agent = await system.converted()
        system.sandbox.faults.next_rest("POST", "/Calls.json", cut="after")
        system.sandbox.faults.lose_callbacks("*", count=2, To=TARGET)
        await system.failed("unknown", "transfer", customer.sid, to=TARGET, mode="warm", confirm="true")
        target = await system.dialed(TARGET)
        assert target.status == "ringing"
        target.answer()
        await system.sandbox.wait_until(lambda: target.status == "completed")
        assert system.listening.never_heard(target, customer)
        assert system.listening.never_heard(target, agent)
        assert len(system.dial_requests(TARGET)) == 1
        await goes_on_and_ends(system, customer, agent)


@pytest.mark.parametrize("options", [{}, {"confirm": "true"}], ids=["straight", "gated"])
async def test_dial_that_rings_for_ever_without_any_callback_is_hung_up(redis_server, options):
    policy = {"ring_timeout_ms": 1_000, "ring_slack_ms": 100, "dial_read_wait_ms": 100}
    async with LocalSystem(redis_server.url, policy=policy, behavior=Behavior(ring_buffer_s=60)) as system:
        system.not_answered_by(TARGET)
        customer, agent = await system.converted()
        system.sandbox.faults.lose_callbacks("*", count=10, To=TARGET)
        await system.failed("no-answer", "transfer", customer.sid, to=TARGET, mode="consult", **options)
        target = await system.dialed(TARGET)
        await system.sandbox.wait_until(lambda: target.record.is_final)
        assert system.dials_to(TARGET) == 1
        await goes_on_and_ends(system, customer, agent)


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status, code", [(403, 20403), (400, 16025), (400, 21211), (401, 20003)], ids=[
    "agent conferences switched off", "label in use", "number refused", "credentials wrong",
])  # fmt: skip
async def test_dial_that_twilio_refuses_fails_at_once_and_is_not_repeated(system, status, code):
    customer, agent = await system.converted()
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants.json", status=status, code=code, count=5)
    command = await system.failed("failed", "transfer", customer.sid, to=TARGET, mode="warm")
    assert len(system.dial_requests(TARGET)) == 1
    system.sandbox.faults.clear()
    assert (command.code, (await system.session(customer.sid))["transfer.code"]) == (str(code), str(code))
    await goes_on_and_ends(system, customer, agent)
    (transfer,) = [one for one in await system.outcomes() if one["kind"] == "transfer"]
    assert (transfer["reason"], transfer["code"]) == ("failed", str(code))


REFUSALS = pytest.mark.parametrize("path, options", [
    ("/Conferences/*/Participants.json", {}), ("/Calls.json", {"brief": "Hi."}),
], ids=["straight", "gated"])  # fmt: skip


@REFUSALS
@CALLER_IDS
async def test_call_that_has_shown_up_is_waited_for_although_refused(redis_server, path, options, caller_id, shown):
    async with LocalSystem(redis_server.url, CONFERRAL_TRANSFER_CALLER_ID=caller_id) as system:
        system.not_answered_by(TARGET)
        customer, agent = await system.converted()

        async def callbacks_come_first(moment):
            if moment.step == "after" and dict(moment.params).get("To") == TARGET:
                await system.until(customer.sid, **{"party.target.status": "ringing"})

        system.sandbox.on_rest = callbacks_come_first
        system.sandbox.faults.next_rest("POST", path, status=400, code=16025, moment="after")
        command = await system.begins("transfer", customer.sid, to=TARGET, mode="warm", **options)
        target = await system.dialed(TARGET)
        await system.sandbox.wait_until(lambda: system.dial_requests(TARGET)[0].status == 400)
        target.answer()
        assert (await system.result_of(command)).status == "done"
        assert [request.get("From") for request in system.dial_requests(TARGET)] == [shown]
        await talks_and_ends(system, customer, agent, target)


# ---- one conference --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"brief": "Mrs Weber."}], ids=["straight", "gated"])
async def test_target_answering_after_everyone_left_opens_no_second_conference(redis_server, options):
    """The hang-up is held up at Twilio, so the target picks up, or comes out of our gate, after the end."""
    async with LocalSystem(redis_server.url, behavior=Behavior(late_answer="new-conference")) as system:
        system.not_answered_by(TARGET)
        customer, _ = await system.converted()
        await system.begins("transfer", customer.sid, to=TARGET, mode="warm", **options)
        target = await system.dialed(TARGET)
        system.sandbox.faults.next_rest("POST", f"/Calls/{target.sid}", latency_s=0.9)
        if options:
            target.answer()
            await system.sandbox.wait_until(lambda: "said Mrs Weber." in system.listening.whats(target))
        customer.hang_up()
        await system.until(customer.sid, state="ended")
        if not options:
            target.answer()
        await system.sandbox.wait_until(lambda: target.record.is_final)
        await system.settled()
        assert len(system.sandbox.model.state.conferences) == 1


# ---- the pace ----------------------------------------------------------------------------------------------------


async def test_time_in_twilios_queue_is_not_counted_as_ringing(redis_server):
    policy = {"ring_timeout_ms": 1_000, "ring_slack_ms": 100, "dial_read_wait_ms": 100}
    async with LocalSystem(redis_server.url, policy=policy, behavior=Behavior(calls_per_second=0.6)) as system:
        system.sandbox.phone(TARGET).script_in_turn(busy())
        system.sandbox.phone(CAROL).script_in_turn(answers(0.1))
        customer, agent = await system.converted()
        await system.done("transfer", customer.sid, to=f"{TARGET},{CAROL}", mode="warm")
        await talks_and_ends(system, customer, agent, await system.dialed(CAROL))
