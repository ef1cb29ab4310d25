"""Twilio's own Python client talks to the sandbox as it would to Twilio."""

import aiohttp
import pytest
from twilio.rest import Client

from conferral.sandbox import ACCOUNT_SID, Sandbox
from tests.sandbox.model_scenario import BUSINESS

PAUSE = "<Response><Pause length='600'/></Response>"


async def talking(sandbox: Sandbox, sid: str) -> None:
    await sandbox.wait_until(lambda: sandbox.call(sid).status == "in-progress")


async def test_call_is_created_fetched_updated_and_listed(sandbox: Sandbox, twilio: Client) -> None:
    sandbox.phone("client:alice").script(answer_after_s=0.1)

    made = await twilio.calls.create_async(to="client:alice", from_=BUSINESS, twiml=PAUSE)
    assert (made.status, made.direction, made.to) == ("queued", "outbound-api", "client:alice")
    await talking(sandbox, made.sid)
    fetched = await twilio.calls(made.sid).fetch_async()
    assert (fetched.status, fetched.start_time.tzinfo is not None) == ("in-progress", True)
    updated = await twilio.calls(made.sid).update_async(status="completed")

    assert updated.status == "completed"
    assert [call.sid for call in await twilio.calls.list_async(to="client:alice", status="completed")] == [made.sid]


async def test_participants_are_created_listed_held_and_removed(sandbox: Sandbox, twilio: Client) -> None:
    for name in ("alice", "bob"):
        sandbox.phone(f"client:{name}").script(answer_after_s=0.1)
    resource = twilio.conferences("room")
    alice = await resource.participants.create_async(
        to="client:alice", from_=BUSINESS, label="agent", early_media=False
    )
    bob = await resource.participants.create_async(to="client:bob", from_=BUSINESS, label="target one")
    assert (alice.status, alice.conference_sid[:2], alice.conference_sid) == ("queued", "CF", bob.conference_sid)
    await talking(sandbox, alice.call_sid)
    await talking(sandbox, bob.call_sid)

    (conference,) = await twilio.conferences.list_async(friendly_name="room", status="in-progress")
    members = twilio.conferences(conference.sid).participants
    assert [it.label for it in await members.list_async()] == ["target one", "agent"]
    held = await twilio.conferences(conference.sid).participants("target%20one").update_async(hold=True)
    assert (held.hold, held.muted, held.status) == (True, False, "connected")
    assert (await twilio.conferences(conference.sid).participants(alice.call_sid).fetch_async()).label == "agent"
    assert await twilio.conferences(conference.sid).participants(alice.call_sid).delete_async()

    assert sandbox.call(alice.call_sid).status == "completed"
    ended = await twilio.conferences(conference.sid).update_async(status="completed")
    assert (ended.status, ended.reason_conference_ended) == ("completed", "conference-ended-via-api")


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
    assert ("does not model" in body["more_info"]) == (status == 404)


@pytest.mark.parametrize(
    ("user", "password"), [(ACCOUNT_SID, "wrong"), ("AC" + "9" * 32, "sandbox-auth-token"), ("", "")]
)
async def test_wrong_credentials_are_refused(api: aiohttp.ClientSession, user: str, password: str) -> None:
    api.headers.clear()
    login = {"Authorization": aiohttp.encode_basic_auth(user, password)} if user else {}
    async with api.get("Calls.json", headers=login) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, 20003)


async def test_api_key_serves_as_well_as_the_token(sandbox: Sandbox, twilio: Client) -> None:
    client = Client("SK" + "1" * 32, "key-secret", account_sid=ACCOUNT_SID, http_client=twilio.http_client)
    client.api.base_url = sandbox.url

    assert await client.calls.list_async() == []
