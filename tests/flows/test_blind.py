"""Blind transfers: the agent is gone at once, and the customer hears ringing until someone answers."""

import pytest

from tests.flows.flow_helpers import GAP_MAX_S, STARTS, TARGET, talking
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


# ---- the agent hangs up ----------------------------------------------------------------------------------------------
