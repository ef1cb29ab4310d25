"""The account's numbers: read at the start and every 10 minutes, and kept while Twilio doesn't answer."""

import asyncio

import pytest
from twilio.rest import Client

from conferral.runtime.errors import ProviderError, ResultUnknownError
from conferral.telephony.addresses import AddressError, AllowList, parse_address
from conferral.telephony.own_numbers import OwnNumbers, read_account_numbers
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.each import each
from tests.support.people import NUMBER, SALES
from tests.telephony.scripted_http import ACCOUNT, ScriptedHttp, page

LIST = "GET IncomingPhoneNumbers"
STRANGE = "+14155550199"


def listed(*numbers: str) -> dict[str, object]:
    return page("incoming_phone_numbers", *({"phone_number": one} for one in numbers))


def account_with(*numbers: str) -> tuple[Client, ScriptedHttp]:
    http = ScriptedHttp({LIST: listed(*numbers)})
    return Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http), http


@in_virtual_time
async def test_the_list_is_read_at_the_start_and_every_ten_minutes(loop: VirtualLoop) -> None:
    own, stop = OwnNumbers(NUMBER), asyncio.Event()
    client, http = account_with(SALES)
    http.answers = {LIST: ResultUnknownError()}
    reading = asyncio.create_task(own.run(stop, client))
    await asyncio.sleep(50)  # a delay: virtual time
    assert (own.account, SALES in own, [*own]) == (None, False, [NUMBER])
    http.answers = {LIST: listed(SALES)}
    await asyncio.sleep(20)  # a delay: virtual time
    assert ([*own], len(own)) == ([NUMBER, SALES], 2)
    http.answers = {LIST: listed(STRANGE)}
    await asyncio.sleep(580)  # a delay: virtual time
    assert SALES in own
    await asyncio.sleep(20)  # a delay: virtual time
    assert [*own] == [NUMBER, STRANGE]
    http.answers = {LIST: ResultUnknownError()}
    await asyncio.sleep(700)  # a delay: virtual time
    assert STRANGE in own
    stop.set()
    await reading


async def test_every_page_is_read() -> None:
    client, http = account_with(SALES, "")
    link = f"/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json"
    http.first_answers = {LIST: listed(NUMBER) | {"next_page_uri": link}}
    assert await read_account_numbers(client) == {NUMBER, SALES}
    assert http.labels == {"own_numbers"}
    http.answers = {LIST: {"message": "not a list"}}
    with pytest.raises(ProviderError):
        await read_account_numbers(client)


@each("text", [
    SALES, "+1 415 555-0101", f"sip:{SALES}@example.com", "sip:4155550101@example.com", NUMBER,
    "sip:9,14155550101@example.com", "sip:*6714155550101@example.com", "sip:0114155550101@example.com",
])  # fmt: skip
def test_our_own_numbers_are_never_dialed(text: str) -> None:
    own = OwnNumbers(NUMBER)
    allowed = AllowList(frozenset({"US"}), sip_domains=frozenset({"example.com"}), own_region="US", own=own)
    own.account = frozenset({SALES})
    with pytest.raises(AddressError, match=r"^one of your own numbers is never dialed"):
        allowed.check(parse_address(text))
    allowed.check(parse_address(STRANGE))
    allowed.check(parse_address("sip:0101@example.com"))
