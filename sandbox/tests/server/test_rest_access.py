"""Who may use the REST API, and what is answered where there is nothing."""

from base64 import b64encode

import aiohttp
import pytest
from twilio.rest import Client

from control_client import API_KEY
from offhook import ACCOUNT_SID, AUTH_TOKEN, Sandbox

RIGHT = b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, 20404),
        ("GET", "/v1/Accounts", 404, 20404),
        ("GET", "/2010-04-01/nothing.json", 404, 20404),
        ("POST", "/sandbox/nothing", 404, 20404),
        ("DELETE", "/sandbox/calls", 405, 20004),
    ],
)
async def test_unrouted_request_is_answered_in_json(
    sandbox: Sandbox, method: str, path: str, status: int, code: int
) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, sandbox.url + path) as answer:
        body = await answer.json()
    assert (answer.status, body["status"], body["code"]) == (status, status, code)
    assert ("does not model" in body["message"]) == (status == 404)
    is_twilios = path.startswith(("/v1/", "/2010-04-01/"))
    assert [f"{method} {path}" in it.message for it in sandbox.request_log.debugger] == [True] * is_twilios


@pytest.mark.parametrize(
    ("user", "password"), [(ACCOUNT_SID, "wrong"), ("AC" + "9" * 32, "sandbox-auth-token"), ("", "")]
)
async def test_wrong_credentials_are_refused(api: aiohttp.ClientSession, user: str, password: str) -> None:
    api.headers.clear()
    login = {"Authorization": aiohttp.encode_basic_auth(user, password)} if user else {}
    async with api.get("Calls.json", headers=login) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, 20003)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Basic " + RIGHT, 200),
        ("basic   " + RIGHT, 200),  # RFC 9110, section 11.1: case-insensitive, and then blanks
        ("", 401),
        ("Basic", 401),
        ("Bearer " + RIGHT, 401),
        ("Basic !" + RIGHT, 401),
        ("Basic " + RIGHT[:-1], 401),
        ("Basic é", 401),
        ("Basic " + b64encode(ACCOUNT_SID.encode()).decode(), 401),
        ("Basic " + b64encode(b"\xff:\xff").decode(), 401),
        ("Basic " + b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}:".encode()).decode(), 401),
    ],
)
async def test_only_right_basic_auth_is_accepted(api: aiohttp.ClientSession, header: str, status: int) -> None:
    api.headers.clear()
    async with api.get("Calls.json", headers={"Authorization": header}) as answer:
        body = await answer.json()
    assert (answer.status, body.get("code")) == (status, 20003 if status == 401 else None)


async def test_api_key_serves_as_well_as_the_token(sandbox: Sandbox, twilio: Client) -> None:
    client = Client(*API_KEY, account_sid=ACCOUNT_SID, http_client=twilio.http_client)
    client.api.base_url = sandbox.url

    assert await client.calls.list_async() == []
