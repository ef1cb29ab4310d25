"""The account and its numbers, as Twilio's own client reads them."""

import inspect
import re

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from twilio.rest.api.v2010.account import AccountInstance
from twilio.rest.api.v2010.account.incoming_phone_number import IncomingPhoneNumberInstance
from twilio.rest.api.v2010.account.outgoing_caller_id import OutgoingCallerIdInstance
from twilio.rest.api.v2010.account.sip.domain import DomainInstance

from model_scenario import BUSINESS, CUSTOMER
from offhook import ACCOUNT_SID, Sandbox
from offhook.model.formats import make_sid
from offhook.model.numbers import Number
from offhook.model.rest import account_routes, number_routes
from offhook.model.state import State
from webhook_app import WebhookApp


def properties_of(instance: type) -> set[str]:
    """What Twilio's client reads of a resource; it is made from Twilio's description."""
    return set(re.findall(r'payload\.get\(\s*"(\w+)"', inspect.getsource(instance)))


def test_resources_have_only_properties_that_twilio_describes(sandbox: Sandbox) -> None:
    state: State = sandbox.model.state
    number = Number(BUSINESS, "")
    assert account_routes.account_resource(state).keys() <= properties_of(AccountInstance)
    assert number_routes.number_resource(state, number).keys() <= properties_of(IncomingPhoneNumberInstance)
    assert account_routes.caller_id_resource(state, number).keys() <= properties_of(OutgoingCallerIdInstance)
    assert account_routes.domain_resource(state, number).keys() <= properties_of(DomainInstance)


async def test_verified_caller_ids_and_sip_domains_are_readable(sandbox: Sandbox, twilio: Client) -> None:
    sandbox.add_number(CUSTOMER, voice_url="", origin="verified")
    domain = sandbox.add_number("acme.sip.twilio.com", voice_url="http://127.0.0.1:9", byoc_trunk_sid="BY" + "1" * 32)
    assert [one.phone_number for one in await twilio.outgoing_caller_ids.list_async(phone_number=CUSTOMER)] == [
        CUSTOMER
    ]
    assert not await twilio.incoming_phone_numbers.list_async(phone_number=CUSTOMER)
    fetched = await twilio.api.v2010.account.sip.domains(make_sid("SD", domain.number, 0)).fetch_async()
    assert (fetched.domain_name, fetched.byoc_trunk_sid) == ("acme.sip.twilio.com", "BY" + "1" * 32)
    with pytest.raises(TwilioRestException) as unknown:
        await twilio.api.v2010.account.sip.domains("SD" + "f" * 32).fetch_async()
    assert unknown.value.status == 404


async def test_account_is_readable_only_with_its_credentials(sandbox: Sandbox, twilio: Client) -> None:
    account = await twilio.api.v2010.accounts(ACCOUNT_SID).fetch_async()
    assert (account.sid, account.status, account.type) == (ACCOUNT_SID, "active", "Full")
    with pytest.raises(TwilioRestException) as refused:
        await twilio.api.v2010.accounts("AC" + "f" * 32).fetch_async()
    assert (refused.value.status, refused.value.code) == (401, 20003)
    with pytest.raises(TwilioRestException) as unchanged:
        await twilio.api.v2010.accounts(ACCOUNT_SID).update_async(status="closed")
    assert (unchanged.value.status, "the sandbox does not model POST" in unchanged.value.msg) == (404, True)


async def test_number_gets_its_voice_url_by_rest(app: WebhookApp, sandbox: Sandbox, twilio: Client) -> None:
    app.on("/voice", "<Response><Reject/></Response>")
    sandbox.add_number(CUSTOMER)
    (listed,) = await twilio.incoming_phone_numbers.list_async(phone_number=CUSTOMER)
    without = await sandbox.call_in(BUSINESS, CUSTOMER)
    await sandbox.wait_until(lambda: without.status == "completed")
    assert [(it.code, it.message) for it in sandbox.request_log.debugger] == [(11100, f"{CUSTOMER} has no voice URL")]

    await twilio.incoming_phone_numbers(listed.sid).update_async(voice_url=f"{app.url}/voice", friendly_name="Sales")
    number = await twilio.incoming_phone_numbers(listed.sid).fetch_async()
    assert (number.voice_url, number.friendly_name, number.voice_method) == (f"{app.url}/voice", "Sales", "POST")
    call = await sandbox.call_in(BUSINESS, CUSTOMER)
    await sandbox.wait_until(lambda: call.status == "no-answer")

    for values, code in (({"voice_url": "nonsense"}, 21402), ({"voice_method": "PUT"}, 20001)):
        with pytest.raises(TwilioRestException) as refused:
            await twilio.incoming_phone_numbers(listed.sid).update_async(**values)
        assert (refused.value.status, refused.value.code) == (400, code)
    with pytest.raises(TwilioRestException) as unknown:
        await twilio.incoming_phone_numbers("PN" + "f" * 32).fetch_async()
    assert unknown.value.status == 404


async def test_form_in_a_charset_that_no_one_knows_is_read_as_utf_8(api: aiohttp.ClientSession) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=none"}
    for body in (b"To=%2B14155550123", b"To=\xff"):
        async with api.post("Calls.json", data=body, headers=form) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, 21205)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [BUSINESS, CUSTOMER]),
        ({"phone_number": BUSINESS}, [BUSINESS]),
        ({"phone_number": "555010"}, [BUSINESS]),
        ({"phone_number": "+1*15555*123"}, [CUSTOMER]),
        ({"phone_number": "+15550199"}, []),
    ],
)
async def test_numbers_are_listed_by_a_part_of_them(
    sandbox: Sandbox, twilio: Client, wanted: dict[str, str], found: list[str]
) -> None:
    voice = {"voice_url": "https://calls.example/voice", "voice_method": "GET"}
    sandbox.add_number(CUSTOMER, **voice)
    sandbox.add_application("AP" + "1" * 32, voice_url="https://calls.example/client")
    listed = await twilio.incoming_phone_numbers.list_async(**wanted)
    assert [one.phone_number for one in listed] == found
    others = [{name: getattr(one, name) for name in voice} for one in listed if one.phone_number == CUSTOMER]
    assert others == [voice] * found.count(CUSTOMER)
