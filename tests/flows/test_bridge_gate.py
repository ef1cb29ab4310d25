"""No voicemail takes the caller: agents on phones confirm in a bridge, and Twilio detects machines."""

import pytest

from offhook import PhoneScript
from tests.flows.flow_helpers import TARGET, talking
from tests.support.local_system import NUMBER, LocalSystem
from tests.support.people import AGENT_PHONE, SECOND_AGENT_PHONE
from tests.support.phones import answers, presses, voicemail

pytestmark = pytest.mark.redis
PRESS_ONE = "said 1 to accept, 2 to decline."


def settings(tmp_path, **more):
    """A directory in which two agents on phones must confirm."""
    path = tmp_path / "directory.toml"
    lines = [f'[inbound."{NUMBER}"]', f'agents = ["{AGENT_PHONE}", "{SECOND_AGENT_PHONE}"]', "confirm = true"]
    lines += [f'{name} = "{value}"' for name, value in more.items()]
    path.write_text("\n".join(lines) + "\n")
    return {"CONFERRAL_DIRECTORY": path, "CONFERRAL_RING_TIMEOUT": 5}


async def test_the_second_agent_takes_the_call_that_a_mailbox_answered(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path)) as system:
        system.sandbox.phone(AGENT_PHONE).script_in_turn(voicemail())
        system.sandbox.phone(SECOND_AGENT_PHONE).script_in_turn(presses("1"))
        customer = await system.customer_calls()
        second = await system.dialed(SECOND_AGENT_PHONE)
        await system.until_talk(customer, second)
        session = await system.until(customer.sid, state="bridged", phase="connected")
        assert session["party.agent.call_sid"] == second.sid
        assert PRESS_ONE in system.sounds(second)
        assert PRESS_ONE not in system.sounds(customer)
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")


async def test_a_caller_whom_only_mailboxes_answer_leaves_a_message(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=20, **settings(tmp_path, fallback="voicemail")) as system:
        for phone in (AGENT_PHONE, SECOND_AGENT_PHONE):
            system.sandbox.phone(phone).script_in_turn(voicemail())
        customer = await system.customer_calls()
        await system.until(customer.sid, phase="voicemail")
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")


async def test_a_command_waits_for_the_key(redis_server, tmp_path):
    async with LocalSystem(redis_server.url, speed=2, **settings(tmp_path)) as system:
        system.sandbox.phone(AGENT_PHONE).script_in_turn(answers())
        customer = await system.customer_calls()
        agent = await system.dialed(AGENT_PHONE)
        await system.until(customer.sid, **{"party.agent.status": "confirming"})
        command_id = await system.begins("convert", customer.sid)
        agent.press("1")
        await system.until(customer.sid, state="conferenced", phase="connected")
        assert (await system.result_of(command_id)).status == "done"
        await system.until_talk(customer, agent)
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")


@pytest.mark.system(speed=20)
@pytest.mark.parametrize("kind", ["mailbox", "fax"])
async def test_a_machine_that_twilio_detects_takes_no_transfer(system, kind):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(PhoneScript(kind=kind))
    await system.failed("answering-machine", "transfer", talk.session, to=TARGET, mode="warm", amd="true")
    (dial,) = system.dial_requests(TARGET)
    assert dial.get("MachineDetection") == "Enable"
    await system.until(talk.session, state="conferenced", phase="connected")
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")


@pytest.mark.system(speed=20)
async def test_a_person_is_connected_after_detection(system):
    talk = await talking(system)
    system.answered_by(TARGET)
    await system.done("transfer", talk.session, to=TARGET, mode="warm", amd="true")
    await system.until_hears(await system.dialed(TARGET), [talk.customer, talk.agent])
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")
