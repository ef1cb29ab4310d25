"""`check` and the account's webhook rules: what they do to requests of ours, and which key signs."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from conferral.check.account import check_account, check_round_trip
from conferral.check.webhook_rules import NAME, SIGNED_PATHS
from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.webhooks.app import make_app
from offhook import Sandbox
from offhook.webhook_rules import WebhookSetting
from tests.conferral.check.test_check_outside import PUBLIC, settings_of
from tests.support.local_system import LocalSystem
from tests.webhooks.webhook_helpers import settings

KEY_ID, OTHER_ID = "webhooks_sharedkey_01k5x3m8v2fq7tbn4crw9yjzeh", "webhooks_sharedkey_01k5x3m8v2fq7tbn4crw9yjzea"
KEYS = {"TWILIO_WEBHOOK_KEYS": f"{KEY_ID}=hidden-secret"}
KEY, OTHER = WebhookSetting(key_id=KEY_ID, secret="x"), WebhookSetting(key_id=OTHER_ID, secret="x")
URLS = len(SIGNED_PATHS)


@pytest.fixture
async def sandbox():
    async with Sandbox() as it:
        yield it


async def lines_of(given) -> list[tuple[str, str]]:
    lines = [line for line in (await check_account(given))[0] if line.name == NAME]
    assert "hidden-secret" not in str(lines)
    assert all(line.fix for line in lines if line.status != "ok")
    return [(line.status, line.found) for line in lines]


def test_every_signed_path_is_judged():
    app = make_app(settings(), None, None, Metrics(), SystemClock())
    routes = {route.resource.canonical for route in app.router.routes() if route.method == "*"}
    assert set(SIGNED_PATHS) == routes


async def test_without_rules_the_auth_token_signs(sandbox):
    sandbox.webhook_rules.put("https://else.example/", [OTHER])
    sandbox.webhook_rules.put("https://calls.example.com/", [WebhookSetting()])  # but our URLs are below /base
    sandbox.webhook_rules.put(f"{PUBLIC}/voice/other", [OTHER])

    found = await lines_of(settings_of(sandbox))

    assert found == [
        ("ok", f"the rule for https://calls.example.com/ ({URLS} of our {URLS} URLs) signs with the auth token")
    ]
    sandbox.webhook_rules.clear()
    assert await lines_of(settings_of(sandbox)) == [
        ("ok", "none applies to the public URL: Twilio signs with the auth token")
    ]


async def test_key_that_is_not_configured_fails_with_its_name(sandbox):
    sandbox.webhook_rules.put("", [OTHER])

    lacking = await lines_of(settings_of(sandbox, **KEYS))
    knowing = await lines_of(settings_of(sandbox, TWILIO_WEBHOOK_KEYS=f"{OTHER_ID}=hidden-secret"))

    which = f"the default rule ({URLS} of our {URLS} URLs) signs with {OTHER_ID} (HMAC_SHA256)"
    assert lacking == [("fail", f"{which}, which TWILIO_WEBHOOK_KEYS lacks: its requests get 403")]
    assert knowing == [("ok", f"{which}, which TWILIO_WEBHOOK_KEYS has")]


async def test_only_the_rules_that_apply_are_listed_and_both_settings_of_one_count(sandbox):
    shares = [WebhookSetting(key_id=one, secret="x", percentage=50) for one in (KEY_ID, OTHER_ID)]
    sandbox.webhook_rules.put("", [OTHER])  # for every other URL of the account
    sandbox.webhook_rules.put("https://calls.example.com:443/", [OTHER])  # shorter than the next, which covers all
    sandbox.webhook_rules.put(f"{PUBLIC}/", shares)
    sandbox.webhook_rules.put(f"{PUBLIC}/callbacks/", [KEY])
    sandbox.webhook_rules.put(f"{PUBLIC}/voice/inbound", [WebhookSetting()])

    found = await lines_of(settings_of(sandbox, **KEYS))

    assert [status for status, _ in found] == ["ok", "ok", "fail", "ok"]
    begin, others = f"for 50% of the requests, the rule for {PUBLIC}/", f"({URLS - 3} of our {URLS} URLs)"
    assert found[0][1] == f"the rule for {PUBLIC}/voice/inbound (1 of our {URLS} URLs) signs with the auth token"
    assert [text.startswith(f"{begin} {others}") for _, text in found] == [False, True, True, False]
    assert found[3][1].startswith(f"the rule for {PUBLIC}/callbacks/ (3 of our {URLS} URLs)")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (WebhookSetting(retries=0), "replaces the retries and timeouts that our URLs ask for (#rc, #rt): 0 retries"),
        (WebhookSetting(retries=3), "3 retries"),  # its attempts may take 30 s
        (WebhookSetting(auth_scheme="DIGEST"), "sends credentials (DIGEST) that the webhooks don't check"),
        (WebhookSetting(auth_scheme="NONE"), ""),
    ],
)
async def test_what_delays_or_loses_requests_is_a_warning(sandbox, setting, expected):
    sandbox.webhook_rules.put("", [setting])
    signs, *others = await lines_of(settings_of(sandbox))
    assert signs[0] == "ok"
    assert [(status, expected in found) for status, found in others] == ([("warn", True)] if expected else [])


OURS = {
    "connectTimeoutMs": 1000,
    "readTimeoutMs": 4000,
    "retryPolicy": {"retryCount": 2, "retryOn": ["READ_TIMEOUT", "HTTP_5XX", "CONNECTION_TIMEOUT"]},
}


@pytest.mark.parametrize(
    ("setting", "statuses"),
    [
        ({"connection": OURS}, ["ok"]),
        ({"connection": {}}, ["ok"]),
        ({"connection": OURS | {"retryPolicy": {"retryCount": 2, "retryOn": ["HTTP_5XX"]}}}, ["ok", "warn"]),
        ({"connection": {"retryPolicy": None, "readTimeoutMs": 4000}, "type": "SYSTEM"}, ["ok"]),
        ({"edgeZones": {"zones": ["US"]}}, ["ok", "warn"]),
        ({"edgeZones": {"zones": ["US"], "allowZoneFallback": True}}, ["ok"]),
        ({"auth": {"source": "AUTH_PROFILE", "authProfileId": "x"}}, ["ok", "warn"]),
        ({"signature": {"sharedKeyId": KEY_ID, "algorithm": "HMAC_SHA512"}}, ["fail"]),
        ({"signature": {"sharedKeyId": KEY_ID}}, ["ok"]),
        ({"id": "another"}, ["warn"]),
        ({"signature": "?"}, ["warn"]),
    ],
)
async def test_settings_that_the_sandbox_does_not_make(setting, statuses):
    rule = {"matchType": "DEFAULT", "settings": [{"settingId": "one", "percentage": 100}]}
    pages = {
        "/v1/Webhooks/Rules": {"rules": [rule], "meta": {"key": "rules"}},
        "/v1/Webhooks/Settings": {"settings": [{"id": "one", **setting}], "meta": {"key": "settings"}},
    }

    async def answer(request):
        return web.json_response(pages.get(request.path, {}), status=200 if request.path in pages else 404)

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        assert [status for status, _ in await lines_of(settings_of(TWILIO_API_URL=url, **KEYS))] == statuses


@pytest.mark.parametrize("status", [401, 403, 404, 503])
async def test_missing_right_to_read_the_rules_is_a_warning(status):
    async def refuse(_request):
        return web.json_response({"code": 20003}, status=status)

    app = web.Application()
    app.router.add_get("/{tail:.*}", refuse)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        found = await lines_of(settings_of(TWILIO_API_URL=url))
    assert found == [("warn", f"they can't be read (HTTP {status}), so it is unknown with which keys Twilio signs")]


@pytest.mark.redis
async def test_calls_go_on_with_a_shared_key_and_check_sees_who_lacks_it(redis_server):
    async with LocalSystem(redis_server.url, workers=1, **KEYS) as system:
        system.sandbox.webhook_rules.put("", [WebhookSetting(key_id=KEY_ID, secret="hidden-secret")])
        customer, _ = await system.converted()
        assert (await check_round_trip(system.settings)).status == "ok"
        assert {status for status, _ in await lines_of(system.settings)} == {"ok"}
        others = {"TWILIO_WEBHOOK_KEYS": f"{OTHER_ID}=x", "CONFERRAL_PUBLIC_URL": system.public_url}
        refused = await check_round_trip(settings_of(system.sandbox, **others))
        assert (refused.status, OTHER_ID in refused.found, "TWILIO_WEBHOOK_KEYS" in refused.fix) == ("fail", True, True)
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")
