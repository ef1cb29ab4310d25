"""Blind transfers: the agent is gone at once, and the customer hears ringing until someone answers."""

import pytest

from conferral.storage.commands import command_stream
from tests.flows.flow_helpers import (
    CAROL,
    GAP_MAX_S,
    SECOND,
    TARGET,
    Talk,
    begins,
    dials_to,
    done,
    everyone_is_gone,
    failed,
    longest_gap_s,
    outcome_of,
    outcomes,
    rejected,
    sounds,
    talking,
    until_hears,
)
from tests.support.local_system import LocalSystem
from tests.support.phones import answers, dialed, rings

pytestmark = pytest.mark.redis

#: Every way in which a blind transfer can begin: who called whom, and whether they are in a conference.
STARTS = pytest.mark.parametrize(
    "direction, conferenced",
    [("inbound", False), ("inbound", True), ("outbound", False), ("outbound", True)],
    ids=["inbound-bridged", "inbound-conferenced", "outbound-bridged", "outbound-conferenced"],
)


@STARTS
async def test_customer_hears_ringing_from_the_agents_leaving_until_the_target_answers(system, direction, conferenced):
    talk = await talking(system, direction, conferenced=conferenced)
    system.sandbox.phone(TARGET).script_in_turn(rings())
    began_s = system.listening.now()
    command = await begins(system, "transfer", talk.session, to=TARGET, mode="blind")

    target = await dialed(system.sandbox, TARGET)
    await until_hears(system, talk.customer, "ringback")
    await system.until(talk.session, **{"transfer.status": "ringing", "party.agent.status": "left"})
    session = await system.session(talk.session)
    assert (session["state"], session["phase"]) == ("transferring", "blind")
    assert talk.agent.status == "completed"
    assert system.listening.never_heard(talk.customer, target)

    target.answer()
    assert (await outcome_of(system, command)).status == "done"
    await until_hears(system, talk.customer, [target])
    await until_hears(system, target, [talk.customer])
    assert sounds(system, talk.customer, began_s) == [
        frozenset({talk.agent.sid}), "ringback", frozenset({target.sid}),
    ], system.listening.described()  # fmt: skip
    assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S
    assert system.listening.never_heard(talk.agent, target)

    session = await system.until(talk.session, state="conferenced")
    assert session["party.agent.call_sid"] == target.sid
    assert session["party.agent.address"] == TARGET
    assert session["party.agent-1.call_sid"] == talk.agent.sid
    assert session["party.customer.held"] == "false"
    assert (session["transfer.mode"], session["transfer.status"]) == ("blind", "completed")
    assert dials_to(system, TARGET) == 1
    assert system.redirects_of(talk.agent) == (conferenced and direction == "inbound")

    target.hang_up()
    await everyone_is_gone(system, talk.session, "agent-left")
    transfer = (await outcomes(system))[0]
    assert (transfer["kind"], transfer["result"], transfer["to"]) == ("transfer", "completed", TARGET)


async def test_target_is_dialed_directly_into_the_conference_without_audible_ringing(system):
    """The waiting party hears our ringback. By the conference's SID, so that a late leg can't open a second one."""
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(answers())
    await done(system, "transfer", talk.session, to=TARGET, mode="blind")
    session = await system.session(talk.session)
    (request,) = system.sandbox.request_log.requests("POST", "/Participants.json")
    assert request.path == f"/Conferences/{session['conference_sid']}/Participants.json"
    assert request.get("EarlyMedia") == "false"
    assert request.get("Label") == session["party.agent.label"]
    assert system.redirects_of(talk.customer) == 0
    talk.customer.hang_up()
    await everyone_is_gone(system, talk.session, "customer-left")


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_conference_agent_is_hung_up_after_customer_hold_and_before_target_dial(system, direction):
    talk = await talking(system, direction, conferenced=True)
    system.sandbox.phone(TARGET).script_in_turn(answers(after_s=0))
    since = len(system.sandbox.request_log.rest)
    await done(system, "transfer", talk.session, to=TARGET, mode="blind")
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
    talk.customer.hang_up()
    await everyone_is_gone(system, talk.session, "customer-left")


@STARTS
async def test_target_who_hangs_up_after_taking_the_call_ends_it(system, direction, conferenced):
    talk = await talking(system, direction, conferenced=conferenced)
    system.sandbox.phone(TARGET).script_in_turn(rings())
    command = await begins(system, "transfer", talk.session, to=TARGET, mode="blind")
    await system.until(talk.session, **{"transfer.status": "ringing", "party.agent.status": "left"})
    (target,) = system.sandbox.calls_of(TARGET)
    target.answer()
    await until_hears(system, talk.customer, [target])
    target.hang_up()
    assert (await outcome_of(system, command)).status == "done"
    await everyone_is_gone(system, talk.session, "agent-left")


@STARTS
async def test_nothing_of_a_running_one_can_be_undone_and_the_sentence_says_so(system, direction, conferenced):
    talk = await talking(system, direction, conferenced=conferenced)
    system.sandbox.phone(TARGET).script_in_turn(rings())
    command = await begins(system, "transfer", talk.session, to=TARGET, mode="blind")
    await system.until(talk.session, **{"transfer.status": "ringing"})
    before = await system.session(talk.session)
    for kind in ("complete", "cancel", "swap", "merge"):
        await rejected(system, "the agent has left or is leaving; allowed now: ", kind, talk.session)
    await rejected(
        system, "another transfer is in progress; allowed now: ", "transfer", talk.session, to=SECOND, mode="blind"
    )
    after = await system.session(talk.session)
    for name in ("state", "phase", "dials", "transfer.mode", "transfer.to", "transfer.status", "transfer.reason"):
        assert after[name] == before[name]
    await done(system, "end", talk.session)
    assert (await outcome_of(system, command)).reason == "command"
    await everyone_is_gone(system, talk.session, "command")
    assert (dials_to(system, TARGET), dials_to(system, SECOND)) == (1, 0)


async def test_one_that_comes_while_the_two_are_being_converted_begins_when_both_are_in(system):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(answers())
    began_s = system.listening.now()
    convert = await command_stream.publish(system.client, system.keys, {"type": "convert", "session": talk.session})
    await done(system, "transfer", talk.session, to=TARGET, mode="blind")
    assert (await outcome_of(system, convert)).status == "done"
    await until_hears(system, talk.customer, [await system.leg(talk.session, "agent")])
    assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S
    talk.customer.hang_up()
    await everyone_is_gone(system, talk.session, "customer-left")


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_call_is_handed_on_and_on(system, direction):
    """The party that took the call is the agent then, and may transfer it, too."""
    talk = await talking(system, direction)
    for number, address in enumerate((TARGET, SECOND, CAROL), start=1):
        system.sandbox.phone(address).script_in_turn(answers())
        await done(system, "transfer", talk.session, to=address, mode="blind")
        agent = await system.leg(talk.session, "agent")
        await until_hears(system, talk.customer, [agent])
        session = await system.session(talk.session)
        assert session["party.agent.address"] == address
        assert session[f"party.agent-{number}.status"] == "left"
    talk.customer.hang_up()
    await everyone_is_gone(system, talk.session, "customer-left")
    transfers = [
        (published["to"], published["result"])
        for published in await outcomes(system)
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
    await failed(system, "customer-left", "transfer", talk.session, to=TARGET, mode="blind")
    await everyone_is_gone(system, talk.session, "customer-left")
    # If the customer had reached the conference, the target's phone may have rung for a moment.
    assert dials_to(system, TARGET) <= 1


@STARTS
async def test_customer_who_hangs_up_while_the_target_rings_stops_its_phone(system, direction, conferenced):
    talk = await talking(system, direction, conferenced=conferenced)
    system.sandbox.phone(TARGET).script_in_turn(rings())
    command = await begins(system, "transfer", talk.session, to=TARGET, mode="blind")
    await system.until(talk.session, **{"transfer.status": "ringing"})
    talk.customer.hang_up()
    outcome = await outcome_of(system, command)
    assert (outcome.status, outcome.reason) == ("failed", "customer-left")
    await everyone_is_gone(system, talk.session, "customer-left")
    (target,) = system.sandbox.calls_of(TARGET)
    assert target.record.answered_at_s is None
    transfer = (await outcomes(system))[0]
    assert (transfer["result"], transfer["reason"]) == ("failed", "customer-left")


# ---- the agent hangs up ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction, conferenced", [("inbound", False), ("inbound", True), ("outbound", True)])
async def test_agent_hanging_up_before_being_hung_up_still_completes_the_transfer(system, direction, conferenced):
    talk = await talking(system, direction, conferenced=conferenced)
    system.sandbox.phone(TARGET).script_in_turn(answers())
    path, params = moving_request(talk, direction, conferenced=conferenced)
    at_request(system, "before", path, talk.agent.hang_up, **params)
    began_s = system.listening.now()
    outcome = await system.command("transfer", talk.session, to=TARGET, mode="blind")
    assert (outcome.status, outcome.reason) == ("done", ""), await system.report()
    await until_hears(system, talk.customer, [await system.leg(talk.session, "agent")])
    assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S
    talk.customer.hang_up()
    await everyone_is_gone(system, talk.session, "customer-left")


async def test_agent_who_called_and_hangs_up_before_the_customer_is_moved_takes_the_customer_along(system):
    """The customer's leg is the child of his `<Dial>`: Twilio ends both, so that there is no one to hand over."""
    talk = await talking(system, "outbound")
    at_request(system, "before", f"/Calls/{talk.customer.sid}", talk.agent.hang_up)
    outcome = await system.command("transfer", talk.session, to=TARGET, mode="blind")
    assert outcome.status == "failed"
    # Both calls end in the same moment, so either callback may come first.
    assert outcome.reason in ("customer-left", "agent-left")
    await everyone_is_gone(system, talk.session, outcome.reason)
    assert dials_to(system, TARGET) == 0


@STARTS
async def test_agent_who_hangs_up_as_the_command_comes_has_handed_over_or_ended_the_call(
    system, direction, conferenced
):
    """Either is right, and it is one of the two: whichever of both is heard of first."""
    talk = await talking(system, direction, conferenced=conferenced)
    system.sandbox.phone(TARGET).script_in_turn(answers())
    talk.agent.hang_up()
    outcome = await system.command("transfer", talk.session, to=TARGET, mode="blind")
    if outcome.status == "done":
        await until_hears(system, talk.customer, [await system.leg(talk.session, "agent")])
        talk.customer.hang_up()
        await everyone_is_gone(system, talk.session, "customer-left")
    else:
        assert outcome.status in ("rejected", "failed")
        # If the transfer had begun, and Twilio ended the customer's call with the agent's, the end names the customer.
        reason = "customer-left" if outcome.reason == "customer-left" else "agent-left"
        await everyone_is_gone(system, talk.session, reason)
        assert dials_to(system, TARGET) == 0
