"""Signatures of shared keys, which a request names, next to those of the auth tokens."""

from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from conferral.webhooks import app
from tests.support.each import each
from tests.support.hands import Hands
from tests.webhooks.test_authentication import WAIT, rejections
from tests.webhooks.webhook_helpers import AGENT_CALL, SECOND_TOKEN, TOKEN, fields, post, settings

KEY_ID, OTHER_KEY_ID = "webhooks_sharedkey_01k5x3m8v2fq7tbn4crw9yjzeh", "webhooks_sharedkey_01k5x3m8v2fq7tbn4crw9yjzea"
KEYS = {"TWILIO_WEBHOOK_KEYS": f"{KEY_ID}=key-secret,{OTHER_KEY_ID}=other-secret="}


@each("target", [AGENT_CALL, "/voice/inbound"])
@each(
    "header, algorithm, secret",
    [
        (f"key={KEY_ID},algorithm=HMAC_SHA256", "HMAC_SHA256", "key-secret"),
        (f"key={OTHER_KEY_ID},algorithm=HMAC_SHA256", "HMAC_SHA256", "other-secret="),
        (f"algorithm=hmac_sha256, key={KEY_ID}", "HMAC_SHA256", "key-secret"),
        (f"key={KEY_ID},algorithm=HMAC_SHA1", "HMAC_SHA1", "key-secret"),
        (f"key={KEY_ID}", "HMAC_SHA1", "key-secret"),
        ("algorithm=HMAC_SHA256", "HMAC_SHA256", TOKEN),
        ("", "HMAC_SHA1", TOKEN),
        ("", "HMAC_SHA1", SECOND_TOKEN),
    ],
)
async def test_shared_key_that_a_request_names_is_accepted_next_to_the_tokens(
    open_client, target, header, algorithm, secret
):
    client = await open_client(TWILIO_AUTH_TOKEN_SECONDARY=SECOND_TOKEN, **KEYS)
    form = fields("call_arrives" if "/voice/" in target else "agent_rings")

    for sent, expected in ((secret, False), (f"{secret}x", True)):
        status, _ = await post(client, target, form, token=sent, settings_header=header, algorithm=algorithm)
        assert (status == 403) is expected


@each(
    "header, algorithm, secret",
    [
        (f"key={KEY_ID},algorithm=HMAC_SHA1", "HMAC_SHA256", "key-secret"),
        (f"key={KEY_ID},algorithm=HMAC_SHA256", "HMAC_SHA1", "key-secret"),
        (f"key={KEY_ID},algorithm=HMAC_SHA256", "HMAC_SHA256", "other-secret="),
        (f"key={KEY_ID},algorithm=HMAC_SHA256", "HMAC_SHA256", TOKEN),
        ("", "HMAC_SHA256", TOKEN),
        ("", "HMAC_SHA1", "key-secret"),
    ],
)
async def test_request_must_be_signed_as_it_says(open_client, lines, header, algorithm, secret):
    lines.clear()
    client = await open_client(**KEYS)
    form = fields("agent_rings")

    status, _ = await post(client, AGENT_CALL, form, token=secret, settings_header=header, algorithm=algorithm)

    assert (status, rejections(lines)) == (403, [(403, "wrong-signature")])


UNKNOWN_ID = f"{KEY_ID[:-1]}x"


@each(
    "header, shown",
    [
        (f"key={UNKNOWN_ID},algorithm=HMAC_SHA256", UNKNOWN_ID),
        (f"key={KEY_ID},algorithm=HMAC_SHA512", KEY_ID),
        (f"key={KEY_ID},key={UNKNOWN_ID},algorithm=HMAC_SHA256", KEY_ID),
        ("key=+14155550123,algorithm=HMAC_SHA256", ""),
        (f"key={UNKNOWN_ID} and more,algorithm=HMAC_SHA256", ""),
        ("key=" + "webhooks_" * 100 + "a" * 26, ""),
        ("algorithm=none", ""),
    ],
)
async def test_unknown_key_is_named_with_the_setting_unless_it_is_no_key(
    open_client, webhook_store, lines, header, shown
):
    lines.clear()
    client = await open_client(**KEYS)

    answered = await post(client, AGENT_CALL, fields("agent_rings"), settings_header=header, algorithm="HMAC_SHA256")

    assert answered == (403, "")
    assert webhook_store.events == []
    logged = [(line["event"], line["key_id"], line["setting"]) for line in lines if line["log_level"] == "warning"]
    assert logged == [("webhook_key_unknown", shown, "TWILIO_WEBHOOK_KEYS")]


async def test_unknown_key_is_logged_once_a_minute_wherever_it_comes_and_no_other_hides_it(
    webhook_store, child_lookup, metrics, fresh_logs
):
    clock = Hands()
    with capture_logs() as lines:
        async with TestClient(
            TestServer(app.make_app(settings(), webhook_store, child_lookup, metrics, clock))
        ) as client:
            for pause_s, path, key_id in ((0, AGENT_CALL, "x"), (1, AGENT_CALL, KEY_ID), (58, WAIT, KEY_ID)):
                clock.now_s += pause_s
                await post(client, path, fields("agent_rings"), settings_header=f"key={key_id}")
            clock.now_s += 2
            await post(client, "/voice/inbound", fields("call_arrives"), settings_header=f"key={KEY_ID}")

    logged = [(line["event"], line["key_id"], line["count"]) for line in lines]
    assert logged == [("webhook_key_unknown", key_id, count) for key_id, count in (("", 1), (KEY_ID, 1), (KEY_ID, 2))]
    assert 'rejections_total{reason="unknown-key",route="/voice/wait"} 1.0' in metrics.exposition().decode()


async def test_sender_of_many_keys_gets_few_lines_and_hides_no_other(webhook_store, child_lookup, metrics, fresh_logs):
    clock = Hands()
    with capture_logs() as lines:
        server = TestServer(app.make_app(settings(), webhook_store, child_lookup, metrics, clock))
        async with TestClient(server) as client:
            for number in range(2 * app.KEYS_LOGGED_MAX):
                key_id = f"webhooks_sharedkey_{number:026}"
                await post(client, AGENT_CALL, fields("agent_rings"), settings_header=f"key={key_id}")
            clock.now_s += 60
            await post(client, AGENT_CALL, fields("agent_rings"), settings_header=f"key={KEY_ID}")

    assert len(lines) == app.KEYS_LOGGED_MAX + 2
    assert lines[-1]["key_id"] == KEY_ID
