"""Nothing is requested from the internet, unless that is allowed; Twilio's hold music is here."""

import pytest

from model_scenario import BUSINESS, CUSTOMER
from offhook import Sandbox
from offhook.internet import is_on_internet, local_copy
from webhook_app import WebhookApp

ELSEWHERE = "https://app.example.com/voice"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        *((url, True) for url in (ELSEWHERE, "http://93.184.215.14/", "http://[2606:4700::1111]:80/", "http://a.io.")),
        *((f"http://{host}/", False) for host in ("127.0.0.1:5000", "[::1]:1", "localhost", "10.1.2.3", "web:8000")),
        *((f"http://{host}/", False) for host in ("host.docker.internal", "a.localhost", "nas.local", "no.invalid")),
    ],
)
def test_internet_is_what_others_own(url: str, expected: bool) -> None:
    assert is_on_internet(url) == expected


async def test_url_on_the_internet_is_an_alert_and_no_request(sandbox: Sandbox) -> None:
    sandbox.add_number(BUSINESS, voice_url=ELSEWHERE, status_callback=ELSEWHERE + "/ended")
    call = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: call.status == "completed")
    await sandbox.wait_until_idle()
    entries = [(it.code, it.url) for it in sandbox.request_log.debugger if it.code in {0, 11205}]
    assert entries == [(it, url) for url in (ELSEWHERE, ELSEWHERE + "/ended") for it in (0, 11205)]
    assert "--allow-internet" in sandbox.request_log.debugger[0].message
    assert [len(it.attempts) for it in sandbox.request_log.deliveries] == [1, 1]


async def test_redirect_to_the_internet_is_not_followed(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", f"<Response><Redirect>{ELSEWHERE}</Redirect></Response>")
    call = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: call.status == "completed")
    assert {0, 11205} <= {it.code for it in sandbox.request_log.debugger}


async def test_hold_music_is_served_here(app: WebhookApp, sandbox: Sandbox) -> None:
    music = "http://twimlets.com/holdmusic?Bucket=com.twilio.music.ambient&amp;Message=One%20moment"
    app.on("/voice", f"<Response><Dial><Conference waitUrl='{music}'>a</Conference></Dial></Response>")
    call = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: call.was_told("One moment"))
    await sandbox.wait_until(lambda: call.hears("music", "com.twilio.music.ambient"))
    assert not sandbox.request_log.debugger


@pytest.mark.parametrize(
    ("url", "content_type", "part"),
    [
        ("http://com.twilio.music.classical.s3.amazonaws.com/BusyStrings.mp3", "audio/mpeg", b""),
        ("https://api.twilio.com/cowbell.mp3", "audio/mpeg", b""),
        ("https://demo.twilio.com/docs/voice.xml", "text/xml", b"<Say>"),
        ("http://demo.twilio.com/docs/classic.mp3", "audio/mpeg", b""),
        ("http://twimlets.com/holdmusic", "text/xml", b"com.twilio.music.classical"),
    ],
)
def test_what_twilio_publishes_has_a_copy(url: str, content_type: str, part: bytes) -> None:
    found = local_copy(url)
    assert found is not None
    assert found[0] == content_type
    assert part in found[1]
    assert local_copy(ELSEWHERE) is None
