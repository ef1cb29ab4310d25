"""Two members of another program's conference are taken over; all others stay there."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest

from conferral.worker.routing import adoption
from offhook import CallHandle
from tests.flows.test_lost_agents import has_desk
from tests.support.foreign_app import ForeignApp
from tests.support.local_system import LocalSystem
from tests.support.people import CUSTOMER, TARGET

pytestmark = [pytest.mark.redis, pytest.mark.system(speed=5.0)]
OTHER_NUMBER = "+12025550177"
SESSION = "taken-over"
JOIN = '<Dial><Conference endConferenceOnExit="true">theirs</Conference></Dial>'


class Theirs:
    """A conference of another program: its caller, and those whom it has dialed by REST."""

    def __init__(self, system: LocalSystem, customer: CallHandle) -> None:
        self._system = system
        self.customer = customer
        self.sid = ""

    async def dial(self, address: str) -> CallHandle:
        """Dial someone into it, as the other program does."""
        self._system.sandbox.phone(address).script(answer_after_s=0.02)
        form = {"From": OTHER_NUMBER, "To": address, "EndConferenceOnExit": "true"}
        answer = await self._post("Conferences/theirs/Participants.json", form)
        self.sid = answer["conference_sid"]
        member = self._system.sandbox.call(answer["call_sid"])
        await self._system.eventually(lambda: member.sid in self._system.listening.hears(self.customer), address)
        return member

    async def update(self, call: CallHandle, **fields: str) -> None:
        """Change a participant, as the other program does."""
        await self._post(f"Conferences/{self.sid}/Participants/{call.sid}.json", fields)

    async def redirect(self, call: CallHandle, url: str) -> None:
        """Move a call, as the other program does."""
        await self._post(f"Calls/{call.sid}.json", {"Url": url})

    async def _post(self, path: str, form: dict[str, str]) -> dict[str, str]:
        sandbox = self._system.sandbox
        url = f"{sandbox.url}/2010-04-01/Accounts/{sandbox.account_sid}/{path}"
        login = {"Authorization": aiohttp.encode_basic_auth(sandbox.account_sid, sandbox.auth_token)}
        async with aiohttp.ClientSession(headers=login) as session, session.post(url, data=form) as response:
            assert response.status < 300, await response.text()
            found: dict[str, str] = await response.json()
            return found


@asynccontextmanager
async def theirs_in(system):
    """A caller of the other program's number, alone."""
    async with ForeignApp(join=JOIN) as app:
        system.sandbox.add_number(OTHER_NUMBER, voice_url=f"{app.url}/join")
        yield Theirs(system, await system.sandbox.call_in(CUSTOMER, OTHER_NUMBER))


@pytest.fixture
async def theirs(system):
    async with theirs_in(system) as theirs:
        yield theirs


def requests_to(system: LocalSystem, call: CallHandle) -> list[str]:
    return [entry.path.rpartition("Accounts/")[2] for entry in system.sandbox.request_log.requests("POST", call.sid)]


async def adopt(system, theirs, agent, **fields):
    return await system.done("adopt", SESSION, customer=theirs.customer.sid, agent=agent.sid, **fields)


@pytest.mark.parametrize("named", [False, True])
async def test_both_are_moved_and_are_an_ordinary_session(system, theirs, named):
    agent = await theirs.dial("client:zoe")
    await adopt(system, theirs, agent, ref="T-7", **({"conference": theirs.sid} if named else {}))
    session = await system.until(SESSION, state="conferenced")
    await system.until_talk(theirs.customer, agent)
    assert (session["direction"], session["number"], session["ref"]) == ("inbound", OTHER_NUMBER, "T-7")
    assert [session[f"party.{name}.address"] for name in ("customer", "agent")] == [CUSTOMER, "client:zoe"]
    assert session["conference_sid"] not in ("", theirs.sid)
    system.answered_by(TARGET)
    await system.done("transfer", SESSION, to=TARGET, mode="blind")
    await system.until_talk(theirs.customer, await system.dialed(TARGET))
    await system.ended_by_command(SESSION)


async def test_their_conference_goes_on_without_them(system, theirs):
    agent, third = await theirs.dial("client:zoe"), await theirs.dial("client:max")
    fourth = await theirs.dial("client:mia")
    await adopt(system, theirs, agent)
    await system.until_talk(theirs.customer, agent)
    await system.until_talk(third, fourth)
    assert [third.status, fourth.status] == ["in-progress"] * 2
    assert requests_to(system, third) == requests_to(system, fourth) == []
    await system.done("end", SESSION)
    assert [third.status, fourth.status] == ["in-progress"] * 2
    third.hang_up()  # which ends that conference: its flag is as it was
    await system.eventually(lambda: fourth.status, "completed", equals="completed")


async def test_command_is_rejected_if_twilio_does_not_say_in_time_where_they_are(system, theirs, monkeypatch):
    monkeypatch.setattr(adoption, "DEADLINE_S", 0.1)
    agent = await theirs.dial("client:zoe")
    system.sandbox.faults.next_rest("GET", f"/Calls/{agent.sid}.json", latency_s=60)
    why = "Twilio did not say in time where the calls are; try again, or name the conference"
    await system.rejected(why, "adopt", SESSION, customer=theirs.customer.sid, agent=agent.sid)
    await system.until_talk(theirs.customer, agent)


async def test_session_may_have_the_sid_of_the_customers_call(system, theirs):
    agent, sid = await theirs.dial("client:zoe"), theirs.customer.sid
    await system.done("adopt", sid, customer=sid, agent=agent.sid)
    session = await system.until(sid, state="conferenced")
    assert session["conference_name"] != sid, "no one can guess the name of a conference whose id was chosen"
    await system.until_talk(theirs.customer, agent)
    await system.ended_by_command(sid)


async def test_agent_with_a_desk_whose_leg_is_lost_is_rung_again(system, theirs):
    agent = await theirs.dial("client:zoe")
    await has_desk(system, "client:zoe")
    await adopt(system, theirs, agent)
    await system.until_talk(theirs.customer, agent)
    agent.hang_up()
    back = await system.dialed("client:zoe", 2)
    await system.until_talk(theirs.customer, back)
    await system.ended_by_command(SESSION)


@pytest.mark.parametrize("who", ["customer", "agent"])
async def test_member_on_hold_fails_it_and_both_are_where_they_were(system, theirs, who):
    agent = await theirs.dial("client:zoe")
    await theirs.update({"customer": theirs.customer, "agent": agent}[who], Hold="true")
    outcome = await system.command("adopt", SESSION, customer=theirs.customer.sid, agent=agent.sid)
    assert (outcome.status, outcome.reason) == ("failed", f"{who}: the call is on hold in its conference")
    assert {theirs.customer.status, agent.status} == {"in-progress"}
    await theirs.update({"customer": theirs.customer, "agent": agent}[who], Hold="false")
    await adopt(system, theirs, agent)
    await system.until_talk(theirs.customer, agent)
    await system.ended_by_command(SESSION)


@pytest.mark.parametrize("fault", [{"status": 400, "code": 20001}, {"status": 500}])
async def test_agent_whom_twilio_does_not_move_leaves_both_where_they_were(system, theirs, fault):
    agent = await theirs.dial("client:zoe")
    system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}.json", count=9, **fault)
    outcome = await system.command("adopt", SESSION, customer=theirs.customer.sid, agent=agent.sid)
    assert outcome.status == "failed"
    await system.until(SESSION, state="ended", end_reason="convert-failed")
    await system.until_talk(theirs.customer, agent)
    assert system.redirects_of(theirs.customer) == 0
    system.sandbox.faults.clear()
    await system.done("adopt", f"{SESSION}-again", customer=theirs.customer.sid, agent=agent.sid)
    await system.until_talk(theirs.customer, agent)
    await system.ended_by_command(f"{SESSION}-again")


async def test_conference_ends_as_before_when_a_member_leaves_after_a_failure(system, theirs):
    agent, third = await theirs.dial("client:zoe"), await theirs.dial("client:max")
    system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}.json", status=400, code=20001)
    outcome = await system.command("adopt", SESSION, customer=theirs.customer.sid, agent=agent.sid)
    assert outcome.status == "failed"
    await system.eventually(lambda: len(requests_to(system, agent)), "the flag is set again", equals=3)
    agent.hang_up()
    await system.eventually(lambda: {theirs.customer.status, third.status}, "it ends", equals={"completed"})


async def test_lost_answers_move_each_once(system, theirs):
    agent = await theirs.dial("client:zoe")
    for call in (agent, theirs.customer):
        system.sandbox.faults.next_rest("POST", f"/Calls/{call.sid}.json", cut="after")
    await adopt(system, theirs, agent)
    await system.until_talk(theirs.customer, agent)
    assert [system.redirects_of(one) for one in (agent, theirs.customer)] == [1, 1]
    await system.ended_by_command(SESSION)


async def test_worker_that_dies_meanwhile_is_followed_by_another(system, theirs):
    agent = await theirs.dial("client:zoe")
    await system.begins("adopt", SESSION, customer=theirs.customer.sid, agent=agent.sid)
    await system.replace_workers()
    await system.until(SESSION, state="conferenced")
    await system.until_talk(theirs.customer, agent)
    await system.ended_by_command(SESSION)


async def test_agent_who_hangs_up_first_leaves_the_customer_alone(system, theirs):
    agent, third = await theirs.dial("client:zoe"), await theirs.dial("client:max")
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Participants/*.json", status=503, count=2)
    await system.begins("adopt", SESSION, customer=theirs.customer.sid, agent=agent.sid)
    agent.hang_up()
    await system.until(SESSION, state="ended")
    assert {theirs.customer.status, third.status} <= {"in-progress", "completed"}
    assert not [
        one for one in requests_to(system, theirs.customer) if one.endswith(f"Calls/{theirs.customer.sid}.json")
    ]


async def test_leg_that_another_program_has_moved_out_of_its_bridge_is_adopted(system, theirs):
    async with ForeignApp(bridge="<Dial><Client>max</Client></Dial>", join=JOIN) as app:
        system.sandbox.phone("client:max").script(answer_after_s=0.02)
        system.sandbox.add_number("+12025550178", voice_url=f"{app.url}/bridge")
        await system.sandbox.call_in("+14155550102", "+12025550178")
        child = await system.dialed("client:max")
        await system.eventually(lambda: child.status, "it is answered", equals="in-progress")
        await theirs.redirect(child, f"{app.url}/join")
        await system.until_talk(theirs.customer, child)
        await adopt(system, theirs, child)
        await system.until_talk(theirs.customer, child)
        await system.ended_by_command(SESSION)


async def test_call_is_adopted_by_one_of_two_commands_at_a_time(system, theirs):
    agent = await theirs.dial("client:zoe")
    calls = {"customer": theirs.customer.sid, "agent": agent.sid}
    first, second = await asyncio.gather(*(system.command("adopt", f"{SESSION}-{n}", **calls) for n in (1, 2)))
    assert (first.status, second.status) == ("done", "rejected"), (first, second)
    assert second.reason == f"customer: the call belongs to session {SESSION}-1"
    await system.until_talk(theirs.customer, agent)
    assert [system.redirects_of(one) for one in (agent, theirs.customer)] == [1, 1]
    await system.ended_by_command(f"{SESSION}-1")


async def test_what_can_not_be_adopted_is_rejected(system, theirs):
    agent = await theirs.dial("client:zoe")
    bridged, its_agent = await system.talking()
    refused = "it is bridged to another call, which a move would end; redirect it to /voice/handoff instead"
    cases = [
        (theirs.customer.sid, theirs.customer.sid, "customer and agent: must be two calls"),
        ("CA" + "0" * 32, agent.sid, "customer: no call in this account has this SID"),
        (bridged.sid, agent.sid, f"customer: the call belongs to session {bridged.sid}"),
        (theirs.customer.sid, its_agent.sid, f"agent: the call belongs to session {bridged.sid}"),
    ]
    for customer_sid, agent_sid, why in cases:
        await system.rejected(why, "adopt", SESSION, customer=customer_sid, agent=agent_sid)
    async with ForeignApp(bridge="<Dial><Client>max</Client></Dial>") as app:
        system.sandbox.phone("client:max").script(answer_after_s=0.02)
        system.sandbox.add_number("+12025550178", voice_url=f"{app.url}/bridge")
        caller = await system.sandbox.call_in("+14155550102", "+12025550178")
        child = await system.dialed("client:max")
        await system.until_talk(caller, child)
        await system.rejected(f"customer: {refused}", "adopt", SESSION, customer=caller.sid, agent=agent.sid)
        await system.rejected(f"agent: {refused}", "adopt", SESSION, customer=theirs.customer.sid, agent=child.sid)
        caller.hang_up()
        over = "customer: the call is not in progress"
        await system.rejected(over, "adopt", SESSION, customer=caller.sid, agent=agent.sid)
    await system.until_talk(theirs.customer, agent)
    theirs.customer.hang_up()
    await system.ended_by_command(bridged.sid)
