"""Webhook rules: which key signs a request, how it is retried, and what Twilio's own client reads of it."""

import inspect
import re
from collections import Counter

import pytest
from aiohttp import web
from twilio.base.exceptions import TwilioException
from twilio.request_validator import RequestValidator, get_signature_algorithm
from twilio.rest import Client
from twilio.rest.webhooks.v1.rule import RuleInstance
from twilio.rest.webhooks.v1.setting import SettingInstance, SettingList

from control_client import Control
from model_scenario import BUSINESS, CUSTOMER
from offhook import ACCOUNT_SID, Sandbox
from offhook.webhook_rules import WebhookRules, WebhookSetting
from webhook_app import Asked, WebhookApp

HANG_UP = "<Response><Hangup/></Response>"
NAMED = "X-Twilio-Webhooks-Signature-Settings"
KEY = WebhookSetting(key_id="webhooks_sharedkey_1", secret="first")
OTHER = WebhookSetting(key_id="webhooks_sharedkey_2", secret="second", algorithm="HMAC_SHA1")


def is_signed_by(asked: Asked, secret: str) -> bool:
    """Whether Twilio's own library finds it right, with the algorithm that it names."""
    algorithm = get_signature_algorithm(asked.headers.get(NAMED))
    signature = asked.headers["X-Twilio-Signature"]
    return bool(RequestValidator(secret).validate(asked.raw_url, asked.params, signature, algorithm))


async def called(sandbox: Sandbox) -> None:
    await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: not sandbox.live_calls())
    await sandbox.wait_until_idle()


async def test_key_of_the_rule_signs_and_is_named(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", HANG_UP)
    sandbox.webhook_rules.put(f"{app.url}/voice", [KEY])

    await called(sandbox)

    (voice,), (status,) = app.at("/voice"), app.at("/status")
    assert voice.headers[NAMED] == "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    assert is_signed_by(voice, "first")
    assert not voice.is_signed
    assert status.is_signed
    assert NAMED not in status.headers

    sandbox.reset()
    await called(sandbox)
    assert app.at("/voice")[-1].is_signed


@pytest.mark.parametrize(
    ("urls", "applies"),
    [
        ((), None),
        (("",), ""),
        (("", "http://a.example/"), "http://a.example/"),
        (("http://a.example/", "", "http://a.example/voice/"), "http://a.example/voice/"),
        (("http://a.example/voice/", "http://a.example/voice/inbound"), "http://a.example/voice/inbound"),
        (("http://a.example/voice", "https://a.example/", "http://a.example/callbacks/"), None),
    ],
)
def test_exact_match_precedes_the_longest_prefix_and_the_default(urls: tuple[str, ...], applies: str | None) -> None:
    rules = WebhookRules()
    for url in urls:
        rules.put(url, [WebhookSetting(key_id=f"of {url}")])

    chosen = rules.setting_for("http://a.example/voice/inbound", 1)

    assert chosen.key_id == ("" if applies is None else f"of {applies}")


def test_two_settings_share_the_requests_of_a_rule() -> None:
    rules = WebhookRules()
    rules.put("", [WebhookSetting(key_id="a", percentage=30), WebhookSetting(key_id="b", percentage=70)])
    assert Counter(rules.setting_for("http://a.example/", number).key_id for number in range(100)) == {"a": 30, "b": 70}


async def test_connection_part_replaces_the_overrides_of_the_url(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", web.Response(status=500))
    for retries, attempts in ((None, 3), (0, 1), (1, 2)):
        app.asked.clear()
        sandbox.webhook_rules.put("", [WebhookSetting(retries=retries)])
        sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice#rc=2&rp=5xx")
        await called(sandbox)
        assert len(app.at("/voice")) == attempts


async def test_rules_are_set_from_outside_and_read_by_twilios_own_client(
    sandbox: Sandbox, twilio: Client, control: Control
) -> None:
    twilio.webhooks.base_url = sandbox.url
    shares = [{"key_id": "a", "secret": "hidden", "percentage": 40, "retries": 2}, {"percentage": 60}]
    status, _ = await control.post("/webhook-rules", url="https://a.example/", settings=shares)
    assert status == 201

    (rule,) = list(await twilio.webhooks.v1.rules.page_async(page_size=100))
    settings = {one.id: one for one in await twilio.webhooks.v1.settings.page_async(page_size=100)}
    assert (rule.match_type, rule.prefix) == ("PREFIX_MATCH", "https://a.example/")
    by_key, by_token = (settings[one["settingId"]] for one in rule.settings)
    assert (by_key.signature["sharedKeyId"], by_key.connection["retryPolicy"]["retryCount"]) == ("a", 2)
    assert (by_token.signature, by_token.connection) == (None, None)
    assert "hidden" not in str(sandbox.webhook_rules.list_page("settings"))

    for wrong in ({"settings": [{"percentage": 40}]}, {"settings": [{"colour": "red"}]}, {"prefix": "x"}):
        assert (await control.post("/webhook-rules", **wrong))[0] == 422
    await control.post("/webhook-rules", url="https://a.example/")
    assert not list(await twilio.webhooks.v1.rules.page_async())
    stranger = Client(ACCOUNT_SID, "wrong", http_client=twilio.http_client)
    stranger.webhooks.base_url = sandbox.url
    with pytest.raises(TwilioException):
        await stranger.webhooks.v1.rules.page_async()


def test_resources_have_only_properties_that_twilios_client_knows() -> None:
    rules = WebhookRules()
    rules.put("", [WebhookSetting(key_id="a", retries=1, auth_scheme="BASIC")])
    (rule,), (setting,) = rules.list_page("rules")["rules"], rules.list_page("settings")["settings"]
    for found, known in (
        (rule, RuleInstance),
        (setting, SettingInstance),
        (setting["signature"], SettingList.SignatureSetting),
        (setting["connection"], SettingList.ConnectionSetting),
        (setting["connection"]["retryPolicy"], SettingList.RetryPolicy),
    ):
        assert found.keys() <= set(re.findall(r'payload\.get\(\s*"(\w+)"', inspect.getsource(known)))
