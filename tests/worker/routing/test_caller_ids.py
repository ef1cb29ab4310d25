"""Which numbers a command may show: those that the settings name, and those that Twilio says are in the account."""

import asyncio

import pytest
from twilio.http.response import Response
from twilio.rest import Client

from conferral.commands.parser import BadCommandError
from conferral.runtime.errors import ResultUnknownError
from conferral.worker.routing.addresses import CallerIdChecker
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.hands import Hands
from tests.support.people import NUMBER, SALES
from tests.telephony.scripted_http import ACCOUNT, ScriptedHttp, page

LIST = "GET IncomingPhoneNumbers"
STRANGE = "+14155550199"


def account_with(*numbers: str, http_type: type[ScriptedHttp] = ScriptedHttp):
    """A check against an account with these numbers, its requests, and its clock."""
    http, clock = (
        http_type({LIST: page("incoming_phone_numbers", *({"phone_number": one} for one in numbers))}),
        Hands(0.0),
    )
    client = Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http)
    return CallerIdChecker(client, lambda: {NUMBER}, clock), http, clock


async def test_a_number_that_the_settings_name_needs_no_question():
    caller_ids, http, _ = account_with()

    await caller_ids.check(NUMBER)

    assert http.requests == []


async def test_other_caller_id_owned_by_the_account_is_accepted_and_cached():
    caller_ids, http, clock = account_with(NUMBER, SALES)

    await caller_ids.check(SALES)
    clock.now_s = 299.5
    await caller_ids.check(SALES)

    ((name, asked),) = http.requests
    assert (name, asked["PhoneNumber"]) == (LIST, SALES)
    clock.now_s = 300.0
    await caller_ids.check(SALES)
    assert len(http.requests) == 2


@pytest.mark.parametrize("there", [(), (SALES,), (STRANGE + "0",)])
async def test_a_number_that_the_account_does_not_have_is_refused(there):
    caller_ids, http, _ = account_with(*there)

    with pytest.raises(BadCommandError, match=r"^caller_id: not a number in the account$"):
        await caller_ids.check(STRANGE)

    http.answers = {LIST: page("incoming_phone_numbers", {"phone_number": STRANGE})}
    await caller_ids.check(STRANGE)


async def test_without_twilio_the_command_is_to_be_given_again():
    """Later commands wait for the lookup, so Twilio is not asked again at once."""
    caller_ids, http, clock = account_with(SALES)
    http.first_answers = {LIST: ResultUnknownError()}

    for clock.now_s in (0.0, 9.9):
        with pytest.raises(BadCommandError, match=r"^caller_id: Twilio did not confirm .*; try again$"):
            await caller_ids.check(SALES)
    assert len(http.requests) == 1

    clock.now_s = 10.0
    await caller_ids.check(SALES)


@in_virtual_time
async def test_a_silent_twilio_holds_up_later_commands_for_two_seconds_in_all(loop: VirtualLoop) -> None:
    class SilentHttp(ScriptedHttp):
        async def request(self, *_request: object, **_others: object) -> Response:
            await asyncio.Event().wait()
            raise AssertionError

    caller_ids, _, _ = account_with(http_type=SilentHttp)
    for number in (SALES, STRANGE, SALES):
        with pytest.raises(BadCommandError, match=r"; try again$"):
            await caller_ids.check(number)
    assert loop.time() == 2.0
