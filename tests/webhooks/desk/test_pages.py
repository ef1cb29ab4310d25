"""The desk's page and files: what is served, to whom, and with which headers."""

import re

import pytest
from aiohttp import web

from conferral.runtime.clock import SystemClock
from conferral.webhooks.api.app import add_api
from conferral.webhooks.desk.app import add_desk
from conferral.webhooks.desk.pages import content_security_policy
from tests.webhooks.api.api_helpers import KEYS, settings

pytestmark = pytest.mark.redis
CRM, OTHER = "https://crm.example.com", "https://evil.example.com"
SDK = "/desk/voice-sdk.js"


@pytest.fixture
def opened(serve, store, metrics):
    """Serves API and desk without named tokens."""

    def opened(**changes):
        app = web.Application()
        add_desk(add_api(app, settings(**changes), store, KEYS, metrics, SystemClock()), store, KEYS)
        return serve(app)

    return opened


async def test_a_slash_after_the_pages_address_leads_to_it(opened):
    desk = await opened()
    response = await desk.get("/desk/?as=alice", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (308, "../desk?as=alice")
    assert (await desk.get("/desk/")).content_type == "text/html"


async def test_page_may_use_the_microphone_and_no_other_page_may_frame_it(opened):
    desk = await opened()
    response = await desk.get("/desk")
    text, headers = await response.text(), response.headers

    assert response.content_type == "text/html"
    assert "<conferral-desk" in text
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Permissions-Policy"] == "camera=(), geolocation=(), microphone=(self)"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


async def test_only_behind_a_sign_in_proxy_does_the_page_ask_who_is_signed_in(opened):
    mark = "data-sign-in-proxy"
    assert mark not in await (await (await opened()).get("/desk")).text()
    behind = await opened(
        CONFERRAL_DESK_PROXY_HEADER="X-Email",
        CONFERRAL_DESK_PROXY_FROM="127.0.0.1",
        CONFERRAL_DESK_PROXY_SECRET="secret-between-proxy-and-desk",
    )
    assert mark in await (await behind.get("/desk")).text()


async def test_only_files_of_the_desk_are_served_also_below_the_public_path(opened):
    desk = await opened(CONFERRAL_PUBLIC_URL="https://voice.example.com/twilio")
    for path in ("/desk/conferral-desk.js", "/twilio/desk/conferral-desk.js", "/desk/shared/vendor/htm.mjs", SDK):
        response = await desk.get(path)
        assert response.status == 200
        assert "javascript" in response.content_type
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/desk/index.html", "/desk/../app.py", "/desk/%2e%2e/app.py", "/desk/shared/../pages.py"):
        assert (await desk.get(path)).status == 404


async def test_pages_of_listed_origins_may_embed_the_desk_and_no_others(opened):
    desk = await opened(CONFERRAL_DESK_ORIGINS=f"{CRM}:443, http://localhost:3000")
    allowed = await desk.get("/desk/conferral-desk.js", headers={"Origin": CRM})
    assert allowed.headers["Access-Control-Allow-Origin"] == CRM
    assert allowed.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    refused = await desk.get("/desk/conferral-desk.js", headers={"Origin": OTHER})
    assert "Access-Control-Allow-Origin" not in refused.headers

    alone = await opened()
    response = await alone.get("/desk/conferral-desk.js", headers={"Origin": CRM})
    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_sdk_of_a_local_twilio_takes_the_place_of_the_vendored_one(opened, serve):
    async def sdk(_request):
        return web.Response(text="window.Twilio = {}")

    sandbox = web.Application()
    sandbox.router.add_get("/sandbox/voice-sdk.js", sdk)
    local = await serve(sandbox)
    url = str(local.make_url("/sandbox/voice-sdk.js"))
    origin = url.removesuffix("/sandbox/voice-sdk.js")

    desk = await opened(TWILIO_API_URL=origin)
    response = await desk.get(SDK, allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, url)
    policy = (await desk.get("/desk")).headers["Content-Security-Policy"]
    assert re.search(rf"script-src 'self' 'sha256-[\w+/]+=' {re.escape(origin)};", policy)
    assert f" {origin} {origin.replace('http', 'ws', 1)};" in policy

    other = await opened(TWILIO_API_URL=f"{origin}/none")
    assert (await other.get(SDK, allow_redirects=False)).status == 200


def test_policy_allows_a_local_twilio_that_uses_tls():
    assert " https://t.example wss://t.example;" in content_security_policy("https://t.example/sandbox/voice-sdk.js")
