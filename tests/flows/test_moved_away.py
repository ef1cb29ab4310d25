"""Another program gives a call of ours another document by REST: it is left alone, and the session is over."""

import pytest

from conferral.statemachine.reasons import REMOVED_BY_END
from offhook import CallHandle
from offhook.model.behavior import Behavior
from offhook.model.messages import RestRequest
from tests.flows.flow_helpers import TARGET, talking
from tests.flows.test_sweep import swept
from tests.support.local_system import LocalSystem

INTERVAL_S = 0.4
WITHOUT_ACTION = Behavior(old_action_on_redirect=False)
pytestmark = [pytest.mark.redis, pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=INTERVAL_S)]
#: A document that goes on for as long as any test.
SURVEY = "<Response>" + '<Play loop="1000">https://survey.example/questions.mp3</Play>' + "</Response>"


def move(call: CallHandle) -> None:
    """What another program of the account does; from then on the call is that program's."""
    call.move(twiml=SURVEY)
    call.record.is_foreign = True


async def is_left_alone(system: LocalSystem, call: CallHandle, session: str, reason: str = "moved") -> None:
    """The session has ended, and sweeps that list the call since don't lead to any request that changes it."""
    ended = await system.until(session, state="ended")
    await system.settled()
    await swept(system, 3)
    await system.settled()
    changes = [entry for entry in system.sandbox.request_log.requests("POST", call.sid) if entry.applied]
    assert call.status == "in-progress", await system.report()
    assert [entry for entry in changes if entry.get("Status") == "completed"] == []
    assert ended["end_reason"] == reason, ended
    outcome = [entry for entry in await system.outcomes() if entry["kind"] == "session"]
    assert [(entry["session"], entry["reason"]) for entry in outcome] == [(session, reason)]


@pytest.mark.parametrize(
    "action",
    [
        "requested",
        pytest.param("lost", marks=pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=0.4, behavior=WITHOUT_ACTION)),
    ],
)
async def test_bridged_customer_whom_another_program_moves_is_left_alone(system, action):
    customer, agent = await system.talking()
    move(customer)
    await is_left_alone(system, customer, customer.sid)
    assert agent.status == "completed"


async def test_bridged_customer_who_is_moved_without_any_callback_is_left_alone(system):
    customer, _ = await system.talking()
    system.sandbox.faults.lose_callbacks("*", count=10_000)
    system.sandbox.faults.fail_fetches("/voice/dial-action", status=500, count=1_000)
    move(customer)
    await is_left_alone(system, customer, customer.sid)


@pytest.mark.parametrize("who", ["customer", "agent"])
async def test_either_party_of_an_outbound_bridge_may_be_moved_away(system, who):
    talk = await talking(system, "outbound")
    move(getattr(talk, who))
    await is_left_alone(system, getattr(talk, who), talk.session)


async def test_agent_of_an_inbound_bridge_who_is_moved_away_is_left_alone(system):
    customer, agent = await system.talking()
    move(agent)
    await is_left_alone(system, agent, customer.sid, "agent-left")
    assert customer.status == "completed"


async def convert_while_another_program_moves(system, customer, agent, party, moment):
    """Moves the party before or after the request that moves the agent takes effect."""

    async def moves(rest):
        if rest.step == moment and rest.path.startswith(f"/Calls/{agent.sid}") and rest.method == "POST":
            system.sandbox.on_rest = None
            move(party)

    system.sandbox.on_rest = moves
    await system.command("convert", customer.sid)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_customer_who_is_moved_as_a_conversion_begins_is_not_hung_up(system, moment):
    customer, agent = await system.talking()
    await convert_while_another_program_moves(system, customer, agent, customer, moment)
    if moment == "before":
        await is_left_alone(system, customer, customer.sid)
    else:
        # The agent waits in the conference: the customer is brought in, as the command says.
        await system.until(customer.sid, state="conferenced")
        customer.record.is_foreign = False
        await system.ended_by_command(customer.sid)


@pytest.mark.parametrize("command", ["convert", "park", "consult"])
async def test_customer_who_is_moved_out_of_a_conference_is_left_alone(system, command):
    customer, agent = await system.converted()
    await system.eventually(system.under_way, "what a conversion sets is set", equals=0)
    if command == "park":
        await system.done("park", customer.sid)
    elif command == "consult":
        system.answered_by(TARGET)
        await system.begins("transfer", customer.sid, mode="consult", to=TARGET)
        await system.until(customer.sid, **{"transfer.status": "consulting"})
    move(customer)
    await is_left_alone(system, customer, customer.sid)
    assert agent.status == "completed"


@pytest.mark.parametrize("who", ["customer", "agent"])
@pytest.mark.system(behavior=Behavior(completed_participant="updated"))
async def test_party_whose_call_another_program_completes_was_not_moved(system, who):
    customer, agent = await system.converted()
    await system.eventually(system.under_way, "what a conversion sets is set", equals=0)
    completed = {"customer": customer, "agent": agent}[who]
    system.sandbox.apply(RestRequest("POST", f"/Calls/{completed.sid}.json", (("Status", "completed"),)))
    ended = await system.everyone_is_gone(customer.sid, f"{who}-left")
    # The end of the conference may be reported before their leaving.
    assert ended[f"party.{who}.left_reason"] in ("completed", REMOVED_BY_END)


@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=0.4, speed=1.0)
async def test_our_own_message_is_spoken_to_its_end_while_sweeps_list_the_call(system):
    system.agent_phone.script(outcome="busy")
    customer = await system.customer_calls()
    await system.until(customer.sid, state="ended")
    await swept(system, 3)
    assert customer.status == "in-progress"
    assert str(customer.hears_now) == "speech"
    await system.everyone_is_gone(customer.sid, "agent-busy")
    posts = system.sandbox.request_log.requests("POST", customer.sid)
    assert [entry for entry in posts if entry.get("Status")] == []
