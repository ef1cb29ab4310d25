"""Conferences of up to 250, the most that Twilio allows, whose guests only a read shows."""

import pytest

from offhook import CallHandle
from tests.flows.flow_helpers import talking
from tests.support.entries import entry_of
from tests.support.foreign_app import ForeignApp
from tests.support.local_system import LocalSystem
from tests.support.people import SALES

pytestmark = pytest.mark.redis
#: Twilio allows no more.
SIZES = [30, pytest.param(250, marks=pytest.mark.soak)]


async def guests_join(system: LocalSystem, count: int) -> list[CallHandle]:
    guests = [await system.sandbox.call_in(f"+1415556{number:04}", SALES) for number in range(count)]

    async def all_are_in() -> bool:
        conference = await system.sandbox_conference()
        return len(conference.joined()) == count + 2

    await system.eventually(all_are_in, "the guests are in the conference", timeout_s=60)
    return guests


async def read_by_sweep(system: LocalSystem, session: str, number: int) -> None:
    """The sweep suspects something, so that the calls are read."""
    event = entry_of("account_swept", session, token=f"sweep:{number}", finding="call-missing")
    await system.client.xadd(system.keys.events(system.keys.partition_of(session)), event)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=3600)
async def test_full_conference_is_read_in_one_request_and_who_is_left_alone_there_is_found(system, size) -> None:
    talk = await talking(system, conferenced=True)
    system.sandbox.faults.lose_callbacks("*", count=100_000)
    verbs = f"<Dial><Conference beep='false'>{talk.session}</Conference></Dial>"
    async with ForeignApp(join=verbs) as app:  # of another program, whose callers join the session's conference
        system.sandbox.add_number(SALES, voice_url=f"{app.url}/join")
        guests = await guests_join(system, size - 2)

    before = len(system.sandbox.request_log.rest)
    await read_by_sweep(system, talk.session, 1)

    async def all_are_parties() -> bool:
        record = await system.session(talk.session)
        return sum(name.endswith(".in_conference") and value == "true" for name, value in record.items()) == size

    await system.eventually(all_are_parties, "a read has shown everyone")
    # The sweep lists the account's calls and conferences when it starts, which may be now.
    asked = [one.path for one in system.sandbox.request_log.rest[before:] if one.method == "GET"]
    assert len([path for path in asked if path not in ("/Calls.json", "/Conferences.json")]) == 1, asked
    conference = await system.sandbox_conference()

    async def no_one_ends_it() -> bool:
        return not any(one.end_on_exit for one in conference.participants.values())

    await system.eventually(no_one_ends_it, "no one's leaving ends the conference")
    for call in (*guests, talk.agent):
        call.hang_up()
    assert [one.call_sid for one in conference.joined()] == [talk.customer.sid]
    await read_by_sweep(system, talk.session, 2)
    await system.until(talk.session, state="ended")
    await system.settled()
    assert not await system.client.xlen(system.keys.dead)
