"""What `conferral check` reads of the account and of a number."""

from datetime import UTC, datetime

import pytest
from twilio.rest import Client

from conferral.telephony.number_setup import AccountStatus, NumberSetup, read_account, read_number
from tests.telephony.scripted_http import ACCOUNT, BASE, Answer, ScriptedHttp, page

NUMBER = "+14155550100"
ACCOUNT_URL = f"GET {BASE.removesuffix('/')}"


def client_with(answers: dict[str, Answer]) -> tuple[Client, ScriptedHttp]:
    http = ScriptedHttp(answers)
    return Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http), http


@pytest.mark.parametrize("created, created_at", [
    ("Fri, 20 Nov 2026 08:00:00 +0000", datetime(2026, 11, 20, 8, tzinfo=UTC)), (None, None), ("soon", None),
])  # fmt: skip
async def test_account_has_a_status_a_type_and_an_age(created: str | None, created_at: datetime | None) -> None:
    client, _ = client_with({ACCOUNT_URL: {"status": "active", "type": "Trial", "date_created": created}})

    assert await read_account(client, ACCOUNT) == AccountStatus("active", "Trial", created_at)


async def test_number_is_found_among_those_that_contain_it() -> None:
    longer = {"phone_number": f"{NUMBER}0", "voice_url": "https://example.com/other"}
    urls = {name: f"https://example.com/{name}" for name in ("voice_url", "voice_fallback_url", "status_callback")}
    ours = {"phone_number": NUMBER, "voice_method": "POST", **urls}
    client, http = client_with({"GET IncomingPhoneNumbers": page("incoming_phone_numbers", longer, ours)})

    setup = await read_number(client, NUMBER)
    voice_url, fallback_url, status_callback = urls.values()
    assert setup == NumberSetup(voice_url, "POST", fallback_url, status_callback, "", "")
    assert "example.com" not in repr(setup)
    assert http.requests == [("GET IncomingPhoneNumbers", {"PhoneNumber": NUMBER, "PageSize": 20})]
