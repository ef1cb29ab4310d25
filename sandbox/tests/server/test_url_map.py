"""Public URLs that are played on this machine."""

import re

import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator

from model_scenario import BUSINESS, CUSTOMER
from offhook import AUTH_TOKEN, Sandbox
from offhook.command.options import read_options
from webhook_app import WebhookApp

PUBLIC = "https://my.example"


async def test_public_url_is_signed_and_played_here(app: WebhookApp) -> None:
    moved = web.Response(status=302, headers={"Location": f"{PUBLIC}/app/moved"})
    app.on("/voice", moved)
    app.on("/moved", "<Response><Redirect>next?x=1</Redirect></Response>")
    app.on("/next", "<Response><Pause length='60'/></Response>")
    async with Sandbox(speed=20.0, maps={f"{PUBLIC}/app/": f"{app.url}/", "http://other.example": app.url}) as sandbox:
        sandbox.add_number(
            BUSINESS, voice_url=f"{PUBLIC}/app/voice?a=%2F", status_callback="http://other.example/ended"
        )
        call = await sandbox.call_in(CUSTOMER, BUSINESS)
        await sandbox.wait_until(lambda: app.at("/next"))
        call.hang_up()
        await sandbox.wait_until(lambda: app.at("/ended"))
        assert not sandbox.request_log.debugger

    asked, proxied = app.at("/voice")[0], {"Host": "my.example", "X-Forwarded-Proto": "https"}
    assert proxied.items() <= asked.headers.items()
    validator = RequestValidator(AUTH_TOKEN)
    assert validator.validate(f"{PUBLIC}/app/voice?a=%2F", asked.params, asked.headers["X-Twilio-Signature"])
    # Relative to the public URL of the redirect's target.
    (asked,) = app.at("/next")
    assert validator.validate(f"{PUBLIC}/app/next?x=1", asked.params, asked.headers["X-Twilio-Signature"])
    assert app.at("/moved")[0].method == "GET"
    assert app.at("/ended")[0].headers["Host"] == "other.example"


def test_only_urls_below_a_public_one_are_played_elsewhere() -> None:
    maps = Sandbox(maps={PUBLIC: "http://a:1", f"{PUBLIC}/b": "http://b:2/c"}).url_map
    for url, place in (
        (PUBLIC, "http://a:1"),
        ("HTTPS://My.Example/x?y", "http://a:1/x?y"),
        (f"{PUBLIC}?y", "http://a:1?y"),
        (f"{PUBLIC}/b", "http://b:2/c"),
        (f"{PUBLIC}/b/d/", "http://b:2/c/d/"),
        (f"{PUBLIC}/bc", "http://a:1/bc"),
        ("https://my.example.org/", "https://my.example.org/"),
        ("http://my.example/", "http://my.example/"),
    ):
        assert maps.place(url) == place


def test_maps_are_options() -> None:
    given = [f"{PUBLIC}=http://127.0.0.1:5000", "http://x=http://y"]
    expected = {PUBLIC: "http://127.0.0.1:5000", "http://x": "http://y"}
    assert read_options({}, map=given)["maps"] == expected
    for wrong in ("", PUBLIC):
        with pytest.raises(ValueError, match=re.escape(f"--map: {wrong!r} lacks its second URL")):
            read_options({}, map=[wrong])
    for wrong in ("my.example", "ftp://my.example", "https://my.example?x", "https://", "http://[", "http://a:b"):
        with pytest.raises(ValueError, match="is no base URL to map"):
            Sandbox(maps={PUBLIC: wrong})
