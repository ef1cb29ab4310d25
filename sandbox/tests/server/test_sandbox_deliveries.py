"""Requests to webhooks over HTTP: signature, headers, retries, time-outs, fallback."""

import asyncio
import socket
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from model_scenario import BUSINESS, CUSTOMER
from offhook import AUTH_TOKEN, Behavior, Sandbox
from offhook.request_log import DeliveryEntry
from offhook.webhook_delivery import Target, WebhookResponse
from webhook_app import WebhookApp

HANG_UP = "<Response><Hangup/></Response>"


async def called(sandbox: Sandbox) -> None:
    """A call that is over."""
    await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: not sandbox.live_calls())
    await sandbox.wait_until_idle()


def error_codes(sandbox: Sandbox) -> list[int]:
    return [error.code for error in sandbox.request_log.debugger]


def messages(sandbox: Sandbox) -> list[str]:
    return [error.message for error in sandbox.request_log.debugger]


async def test_voice_request_is_a_signed_form_with_twilios_headers(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", HANG_UP)

    await called(sandbox)

    (asked,) = app.at("/voice")
    assert asked.headers["User-Agent"] == "TwilioProxy/1.1"
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded; charset=UTF-8"
    assert asked.params["FromCity"] == ""
    assert asked.is_signed
    assert not replace(asked, text=asked.text.replace("From=%2B14155550123", "From=%2B1")).is_signed


async def test_get_is_signed_with_its_query_to_the_letter(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", HANG_UP)
    sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice?a=%7Eb+c&to=%2B1#rc=1", voice_method="GET")

    await called(sandbox)

    (asked,) = app.at("/voice")
    assert asked.raw_url.startswith(f"{app.url}/voice?a=%7Eb+c&to=%2B1&Called=%2B15550100&")
    assert asked.is_signed


async def test_retries_carry_the_same_token_and_another_request_another_one(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", web.Response(status=503), web.Response(status=503), HANG_UP)
    sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice#rc=2&rp=5xx", status_callback=f"{app.url}/status")

    await called(sandbox)

    tokens = [asked.headers["I-Twilio-Idempotency-Token"] for asked in app.at("/voice")]
    assert len(tokens) == 3
    assert len(set(tokens)) == 1
    assert app.at("/status")[0].headers["I-Twilio-Idempotency-Token"] not in tokens
    (entry,) = sandbox.request_log.voice_requests("/voice")
    assert [attempt.failure for attempt in entry.attempts] == ["5xx", "5xx", ""]
    assert entry.status == 200


async def test_error_status_is_not_retried_by_default_and_goes_to_the_fallback(
    app: WebhookApp, sandbox: Sandbox
) -> None:
    app.on("/voice", web.Response(status=500))
    app.on("/fallback", HANG_UP)
    sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice", voice_fallback_url=f"{app.url}/fallback")

    await called(sandbox)

    assert len(app.at("/voice")) == 1
    (asked,) = app.at("/fallback")
    assert (asked.params["ErrorCode"], asked.params["ErrorUrl"]) == ("11200", f"{app.url}/voice")
    assert error_codes(sandbox) == [11200]


async def test_refused_connection_is_retried_once_and_reported_as_11205(sandbox: Sandbox) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        sandbox.add_number(BUSINESS, voice_url=f"http://127.0.0.1:{taken.getsockname()[1]}/voice")

        await called(sandbox)

    (entry,) = sandbox.request_log.voice_requests()
    assert [attempt.failure for attempt in entry.attempts] == ["ct", "ct"]
    assert error_codes(sandbox) == [11205]
    assert messages(sandbox) == ["HTTP retrieval failure: connection refused, or not made in time"]


async def test_slow_webhook_is_given_up_after_the_read_timeout(sandbox: Sandbox) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # accepts and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/voice#rt=100&rc=0"
        sandbox.add_number(BUSINESS, voice_url=url)

        await called(sandbox)

    (entry,) = sandbox.request_log.voice_requests()
    assert [attempt.failure for attempt in entry.attempts] == ["rt"]
    assert error_codes(sandbox) == [11200]
    assert messages(sandbox) == ["HTTP retrieval failure: no response in time"]


async def test_status_callback_is_retried_only_on_request(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", HANG_UP)
    app.on("/status", web.Response(status=500))

    await called(sandbox)

    assert len(app.at("/status")) == 1
    assert sandbox.request_log.callbacks("completed")[0].status == 500
    assert error_codes(sandbox) == [15003]
    assert messages(sandbox) == ["Status callback failed: status 500"]


async def test_redirected_webhook_is_followed(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", web.Response(status=307, headers={"Location": "/moved/here"}))
    app.on("/moved/here", "<Response><Redirect>next</Redirect></Response>")
    app.on("/moved/next", HANG_UP)

    await called(sandbox)

    assert [asked.path for asked in app.asked][:3] == ["/voice", "/moved/here", "/moved/next"]


@pytest.mark.parametrize(
    ("url", "document", "code"),
    [
        pytest.param("{app}/voice", "<Response><Redirect>http://[</Redirect></Response>", 11100, id="in a document"),
        pytest.param("{app}/voice#rp=always", HANG_UP, 11243, id="invalid retry policy"),
    ],
)
async def test_invalid_address_is_logged_in_the_debugger(
    app: WebhookApp, sandbox: Sandbox, url: str, document: str, code: int
) -> None:
    app.on("/voice", document)
    sandbox.add_number(BUSINESS, voice_url=url.format(app=app.url))

    await called(sandbox)

    assert error_codes(sandbox) == [code]


@pytest.mark.parametrize("is_sorted", [False, True])
async def test_query_may_arrive_sorted_though_the_signature_covers_the_order_given(
    app: WebhookApp, is_sorted: bool
) -> None:
    app.on("/voice", HANG_UP)
    async with Sandbox(behavior=Behavior(sorted_queries=is_sorted)) as sandbox:
        sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice?b=2&a=1&c=%203#rc=1")
        await called(sandbox)

    (asked,) = app.at("/voice")
    given = f"{app.url}/voice?b=2&a=1&c=%203"
    assert asked.raw_url == (f"{app.url}/voice?a=1&b=2&c=%203" if is_sorted else given)
    assert asked.is_signed is not is_sorted
    signature = RequestValidator(sandbox.auth_token).compute_signature(given, asked.params)
    assert asked.headers["X-Twilio-Signature"] == signature


async def test_browser_may_use_twilios_names_and_both_values_arrive_signed(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", HANG_UP)
    sandbox.add_application("AP1", voice_url=f"{app.url}/voice")

    await sandbox.call_from_browser("alice", "client:bob", {"From": "Alice in Sales"})
    await sandbox.wait_until(lambda: not sandbox.live_calls())

    (asked,) = app.at("/voice")
    sent = parse_qsl(asked.text)
    assert [value for name, value in sent if name == "From"] == ["client:alice", "Alice in Sales"]
    assert [value for name, value in sent if name == "To"] == ["client:bob"]

    class Fields(dict[str, str]):
        def getall(self, name: str) -> list[str]:
            return [value for other, value in parse_qsl(asked.text, keep_blank_values=True) if other == name]

    signature = asked.headers["X-Twilio-Signature"]
    assert RequestValidator(AUTH_TOKEN).validate(asked.raw_url, Fields(asked.params), signature)


@pytest.mark.parametrize("is_delayed", [False, True])
async def test_callbacks_of_a_call_arrive_in_order_unless_a_fault_delays_one(
    app: WebhookApp, sandbox: Sandbox, twilio: Client, monkeypatch: pytest.MonkeyPatch, is_delayed: bool
) -> None:
    send = sandbox.webhook_sender.send

    async def send_slowly(target: Target, entry: DeliveryEntry) -> WebhookResponse:
        for _ in range(500 if entry.event == "initiated" else 0):  # others could overtake it
            await asyncio.sleep(0)
        return await send(target, entry)

    monkeypatch.setattr(sandbox.webhook_sender, "send", send_slowly)
    if is_delayed:
        sandbox.faults.delay_callbacks("initiated", by_s=0.2)
    sandbox.phone("client:alice").script(answer_after_s=0)
    events = ["initiated", "ringing", "answered", "completed"]
    await twilio.calls.create_async(
        to="client:alice",
        from_=BUSINESS,
        twiml="<Response/>",
        status_callback=f"{app.url}/call",
        status_callback_event=events,
    )
    await sandbox.wait_until(lambda: len(app.at("/call")) == 4)
    numbers = [asked.params["SequenceNumber"] for asked in app.at("/call")]
    assert numbers == (["1", "2", "3", "0"] if is_delayed else ["0", "1", "2", "3"])
