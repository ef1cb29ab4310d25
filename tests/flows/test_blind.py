"""Blind transfers: the agent is gone at once, and the customer hears ringing until someone answers."""

import pytest

from conferral.storage.commands import command_stream
from tests.flows.flow_helpers import CAROL, GAP_MAX_S, SECOND, STARTS, TARGET, Talk, talking
from tests.support.local_system import LocalSystem
from tests.support.phones import answers

pytestmark = pytest.mark.redis


@STARTS
async def test_customer_hears_ringing_from_the_agents_leaving_until_the_target_answers(system, direction, conferenced):
    talk = await talking(system, direction, conferenced=conferenced)
    system.not_answered_by(TARGET)
    began_s = system.listening.now()
    command = await system.begins("transfer", talk.session, to=TARGET, mode="blind")

    target = await system.dialed(TARGET)
    await system.until_hears(talk.customer, "ringback")
    await system.until(talk.session, **{"transfer.status": "ringing", "party.agent.status": "left"})
    session = await system.session(talk.session)
    assert (session["state"], session["phase"]) == ("transferring", "blind")
    assert talk.agent.status == "completed"
    assert system.listening.never_heard(talk.customer, target)

    target.answer()
    assert (await system.outcome_of(command)).status == "done"
    await system.until_talk(talk.customer, target)
    assert system.sounds(talk.customer, began_s) == [
        frozenset({talk.agent.sid}), "ringback", frozenset({target.sid}),
    ], system.listening.described()  # fmt: skip
    assert system.longest_gap_s(talk.customer, began_s) < GAP_MAX_S
    assert system.listening.never_heard(talk.agent, target)

    session = await system.until(talk.session, state="conferenced")
    assert session["party.agent.call_sid"] == target.sid
    assert session["party.agent.address"] == TARGET
    assert session["party.agent-1.call_sid"] == talk.agent.sid
    assert session["party.customer.held"] == "false"
    assert (session["transfer.mode"], session["transfer.status"]) == ("blind", "completed")
    assert system.dials_to(TARGET) == 1
    assert system.redirects_of(talk.agent) == (conferenced and direction == "inbound")
    assert system.redirects_of(talk.customer) == (direction == "outbound")

    await system.ended_by_hang_up(target, talk.session, "agent-left")
    transfer = (await system.outcomes())[0]
    assert (transfer["kind"], transfer["result"], transfer["to"]) == ("transfer", "completed", TARGET)


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_conference_agent_is_hung_up_after_customer_hold_and_before_target_dial(system, direction):
    talk = await talking(system, direction, conferenced=True)
    system.sandbox.phone(TARGET).script_in_turn(answers(after_s=0))
    since = len(system.sandbox.request_log.rest)
    await system.done("transfer", talk.session, to=TARGET, mode="blind")
    target = await system.leg(talk.session, "agent")
    asked = [entry for entry in system.sandbox.request_log.rest[since:] if entry.method == "POST"]
    steps = [
        next(index for index, entry in enumerate(asked) if fits(entry))
        for fits in (
            lambda entry: entry.get("EndConferenceOnExit") == "false",
            lambda entry: entry.get("Hold") == "true" and talk.customer.sid in entry.path,
            lambda entry: entry.get("Status") == "completed" and talk.agent.sid in entry.path,
            lambda entry: entry.get("To") == TARGET,
            lambda entry: (
                entry.get("Hold") == "false"
                and not entry.get("EndConferenceOnExit")
                and talk.customer.sid in entry.path
            ),
        )
    ]
    assert steps == sorted(steps), asked
    assert system.listening.never_heard(talk.agent, target)
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")


async def test_one_that_comes_while_the_two_are_being_converted_begins_when_both_are_in(system):
    talk = await talking(system)
    system.answered_by(TARGET)
    began_s = system.listening.now()
    convert = await command_stream.publish(system.client, system.keys, {"type": "convert", "session": talk.session})
    await system.done("transfer", talk.session, to=TARGET, mode="blind")
    assert (await system.outcome_of(convert)).status == "done"
    await system.until_hears(talk.customer, [await system.leg(talk.session, "agent")])
    assert system.longest_gap_s(talk.customer, began_s) < GAP_MAX_S
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_call_is_handed_on_and_on(system, direction):
    """The party that took the call is the agent then, and may transfer it, too."""
    talk = await talking(system, direction)
    for number, address in enumerate((TARGET, SECOND, CAROL), start=1):
        system.answered_by(address)
        await system.done("transfer", talk.session, to=address, mode="blind")
        agent = await system.leg(talk.session, "agent")
        await system.until_hears(talk.customer, [agent])
        session = await system.session(talk.session)
        assert session["party.agent.address"] == address
        assert session[f"party.agent-{number}.status"] == "left"
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")
    transfers = [
        (published["to"], published["result"])
        for published in await system.outcomes()
        if published["kind"] == "transfer"
    ]
    assert transfers == [(TARGET, "completed"), (SECOND, "completed"), (CAROL, "completed")]


# ---- the customer hangs up -------------------------------------------------------------------------------------------


def at_request(system: LocalSystem, step: str, path: str, act, **params: str) -> None:
    """Does something just before, or just after, a request that changes something takes effect; once."""

    async def reader(moment):
        asked = dict(moment.params)
        fits = moment.step == step and moment.method == "POST" and moment.path.startswith(path)
        if fits and params.items() <= asked.items():
            system.sandbox.on_rest = None
            act()

    system.sandbox.on_rest = reader


def moving_request(talk: Talk, direction: str, *, conferenced: bool) -> tuple[str, dict[str, str]]:
    """The request by which a blind transfer begins: the customer's hold, or redirect, or the agent's hang-up."""
    if conferenced:
        return "/Conferences/", {"Hold": "true"}
    if direction == "outbound":
        return f"/Calls/{talk.customer.sid}", {}
    return f"/Calls/{talk.agent.sid}", {"Status": "completed"}


@STARTS
@pytest.mark.parametrize("step", ["before", "after"])
async def test_customer_hanging_up_while_being_moved_leaves_no_one_behind(system, direction, conferenced, step):
    talk = await talking(system, direction, conferenced=conferenced)
    path, params = moving_request(talk, direction, conferenced=conferenced)
    at_request(system, step, path, talk.customer.hang_up, **params)
    await system.failed("customer-left", "transfer", talk.session, to=TARGET, mode="blind")
    await system.everyone_is_gone(talk.session, "customer-left")
    # If the customer had reached the conference, the target's phone may have rung for a moment.
    assert system.dials_to(TARGET) <= 1


@STARTS
async def test_customer_who_hangs_up_while_the_target_rings_stops_its_phone(system, direction, conferenced):
    talk = await talking(system, direction, conferenced=conferenced)
    system.not_answered_by(TARGET)
    command = await system.begins("transfer", talk.session, to=TARGET, mode="blind")
    await system.until(talk.session, **{"transfer.status": "ringing"})
    talk.customer.hang_up()
    await system.has_failed(command, "customer-left")
    await system.everyone_is_gone(talk.session, "customer-left")
    (target,) = system.sandbox.calls_of(TARGET)
    assert target.record.answered_at_s is None
    transfer = (await system.outcomes())[0]
    assert (transfer["result"], transfer["reason"]) == ("failed", "customer-left")


# ---- the agent hangs up ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction, conferenced", [("inbound", False), ("inbound", True), ("outbound", True)])
async def test_agent_hanging_up_before_being_hung_up_still_completes_the_transfer(system, direction, conferenced):
    talk = await talking(system, direction, conferenced=conferenced)
    system.answered_by(TARGET)
    path, params = moving_request(talk, direction, conferenced=conferenced)
    at_request(system, "before", path, talk.agent.hang_up, **params)
    began_s = system.listening.now()
    outcome = await system.command("transfer", talk.session, to=TARGET, mode="blind")
    assert (outcome.status, outcome.reason) == ("done", ""), await system.report()
    await system.until_hears(talk.customer, [await system.leg(talk.session, "agent")])
    assert system.longest_gap_s(talk.customer, began_s) < GAP_MAX_S
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")


async def test_agent_who_called_and_hangs_up_before_the_customer_is_moved_takes_the_customer_along(system):
    """The customer's leg is the child of his `<Dial>`: Twilio ends both, so that there is no one to hand over."""
    talk = await talking(system, "outbound")
    at_request(system, "before", f"/Calls/{talk.customer.sid}", talk.agent.hang_up)
    outcome = await system.command("transfer", talk.session, to=TARGET, mode="blind")
    assert outcome.status == "failed"
    # Both calls end in the same moment, so either callback may come first.
    assert outcome.reason in ("customer-left", "agent-left")
    await system.everyone_is_gone(talk.session, outcome.reason)
    assert system.dials_to(TARGET) == 0


@STARTS
async def test_agent_who_hangs_up_as_the_command_comes_has_handed_over_or_ended_the_call(
    system, direction, conferenced
):
    """Either is right, and it is one of the two: whichever of both is heard of first."""
    talk = await talking(system, direction, conferenced=conferenced)
    system.answered_by(TARGET)
    talk.agent.hang_up()
    outcome = await system.command("transfer", talk.session, to=TARGET, mode="blind")
    if outcome.status == "done":
        await system.until_hears(talk.customer, [await system.leg(talk.session, "agent")])
        await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")
    else:
        assert outcome.status in ("rejected", "failed")
        # If the transfer had begun, and Twilio ended the customer's call with the agent's, the end names the customer.
        reason = "customer-left" if outcome.reason == "customer-left" else "agent-left"
        await system.everyone_is_gone(talk.session, reason)
        assert system.dials_to(TARGET) == 0
