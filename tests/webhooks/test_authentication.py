"""Who is let in. Whatever is turned away publishes nothing and leaves one line that holds nothing of it."""

import asyncio
import base64
import hmac
import io
import json
from urllib.parse import urlencode

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from conferral.runtime.log import configure
from conferral.webhooks import app, authentication
from tests.support.each import each
from tests.support.hands import Hands
from tests.webhooks.gate_helpers import GATE
from tests.webhooks.webhook_helpers import (
    AGENT_CALL,
    CALLER,
    CONFERENCE_URL,
    DIAL_ACTION,
    FORM,
    PUBLIC_URL,
    SECOND_TOKEN,
    TOKEN,
    Repeated,
    facts,
    fields,
    post,
    settings,
    signed,
)

KIBIBYTE = 2**10
ROUTES = [
    "/voice/inbound",
    "/voice/conference",
    "/voice/client",
    "/voice/fallback",
    "/voice/status",
    DIAL_ACTION,
    AGENT_CALL,
    CONFERENCE_URL,
    f"/callbacks/recording?session={CALLER}&v=1",
    f"/voice/announcement?session={CALLER}&command=c1&v=1",
    GATE,
]
#: New calls, and the end of a `<Dial>`.
CALLS = [
    ("/voice/inbound", "call_arrives"),
    ("/voice/conference", "call_arrives"),
    ("/voice/fallback", "call_arrives"),
    ("/voice/client", "browser_calls_somebody"),
    (DIAL_ACTION, "call_arrives"),
]
WAIT = f"/voice/wait?session={CALLER}&party=customer&audio=music&v=1"


def rejections(lines):
    return [(line["status"], line["reason"]) for line in lines if line["event"] == "webhook_rejected"]


async def send(client, target, body, headers):
    async with client.post(target, data=body, headers=headers) as response:
        return response.status, await response.read()


@each("target", ROUTES)
async def test_an_unsigned_request_gets_403_without_a_word(client, webhook_store, lines, target):
    lines.clear()
    answered = await send(client, target, urlencode(fields("call_arrives")), {"Content-Type": FORM})

    assert answered == (403, b"")
    assert webhook_store.events == []
    assert rejections(lines) == [(403, "unsigned")]


@each("target", ROUTES)
async def test_a_wrongly_signed_request_gets_403(client, webhook_store, lines, target):
    lines.clear()
    status, body = await post(client, target, fields("call_arrives"), token="another")

    assert (status, body) == (403, "")
    assert (webhook_store.events, webhook_store.gates) == ([], {})
    assert rejections(lines) == [(403, "wrong-signature")]


async def test_in_a_region_the_log_names_another_regions_token_as_a_possible_cause(open_client, lines):
    for region, cause in (("", None), ("ie1", "TWILIO_AUTH_TOKEN is not that of TWILIO_REGION ie1")):
        client = await open_client(TWILIO_REGION=region, TWILIO_EDGE="dublin")
        lines.clear()
        await post(client, WAIT, fields("call_arrives"), token="another")
        await post(client, WAIT, fields("call_arrives", AccountSid="AC" + "9" * 32))

        assert [line.get("possible_cause") for line in lines] == [cause, None]


@each("target", ROUTES)
async def test_another_accounts_request_gets_403_though_it_is_signed(client, webhook_store, lines, target):
    lines.clear()
    form = fields("call_arrives" if "/voice/" in target else "agent_rings", AccountSid="AC" + "9" * 32)
    status, body = await post(client, target, form)

    assert (status, body) == (403, "")
    assert webhook_store.events == []
    assert rejections(lines) == [(403, "foreign-account")]


@each("account", ["", None])
@each("target", ROUTES)
async def test_a_signed_request_that_names_no_account_is_ours(client, webhook_store, lines, target, account):
    form = fields("call_arrives", AccountSid=account) if "/voice/" in target else fields("agent_rings")
    status, _ = await post(client, target, form | ({"AccountSid": account} if account is not None else {}))

    assert status != 403
    assert (403, "foreign-account") not in rejections(lines)


async def post_large(client, target, form):
    body = io.BytesIO(urlencode(form).encode())
    return await send(client, target, body, signed(target, form) | {"Content-Length": str(len(body.getbuffer()))})


def padded(form, length):
    """A form of that many bytes, encoded."""
    return form | {"HandoffData": "x" * (length - len(urlencode(form | {"HandoffData": ""})))}


@each("target, moment", [*CALLS, (WAIT, "call_arrives")])
async def test_a_signed_voice_request_of_up_to_256_kib_and_128_fields_gets_twiml(
    client, webhook_store, lines, target, moment
):
    webhook_store.facts = facts("bridged")
    form = fields(moment, DialCallStatus="no-answer")
    status, document = await post(client, target, form)
    most = form | {f"field {number}": "" for number in range(127 - len(form))}

    assert (status, document[:5]) == (200, "<?xml")
    assert await post_large(client, target, padded(most, 256 * KIBIBYTE)) == (status, document.encode())
    assert rejections(lines) == []


@each("fields_count, length, status", [(128, 256 * KIBIBYTE + 1, 413), (129, 20_000, 403)])
async def test_a_voice_request_above_either_is_refused(client, webhook_store, fields_count, length, status):
    form = fields("call_arrives")
    form |= {f"field {number}": "" for number in range(fields_count - 1 - len(form))}

    assert (await post_large(client, "/voice/inbound", padded(form, length)))[0] == status
    assert webhook_store.events == []


@pytest.mark.parametrize("headers", [{"Content-Type": FORM}, {"Content-Type": FORM, "X-Twilio-Signature": "x"}])
async def test_a_large_voice_request_that_is_not_twilios_gets_403(client, webhook_store, headers):
    body = urlencode(fields("call_arrives", padding="x" * 200_000))

    assert await send(client, "/voice/inbound", body, headers) == (403, b"")
    assert webhook_store.events == []


def signed_bytes(target, pairs):
    """The signature as Twilio makes it, over bytes."""
    text = (PUBLIC_URL + target).encode() + b"".join(name + value for name, value in sorted(pairs))
    signature = base64.b64encode(hmac.digest(TOKEN.encode(), text, "sha1")).decode()
    return {"X-Twilio-Signature": signature, "Content-Type": FORM}


@each("escapes", [True, False])
@each("value", [b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"\xc3\xa9\xc3", b"x" * 100_000 + b"\xfe"])
@each("target, moment", CALLS)
async def test_a_signed_voice_request_that_is_not_utf_8_gets_twiml(
    client, webhook_store, lines, target, moment, value, escapes
):
    webhook_store.facts = facts("bridged")
    form = fields(moment, DialCallStatus="no-answer")
    usual = await post(client, target, form)
    pairs = [(name.encode(), text.encode()) for name, text in form.items()] + [(b"CallerName", value), (value, b"")]
    body = urlencode(pairs)
    if not escapes:
        body = body.encode()
        for byte in value:
            if byte > 0x7F:
                body = body.replace(b"%%%02X" % byte, bytes([byte]))

    status, document = await send(client, target, body, signed_bytes(target, pairs))

    assert (status, document.decode()) == usual
    assert status == 200
    assert rejections(lines) == []


async def test_bytes_that_are_not_utf_8_are_read_as_a_replacement(client, webhook_store):
    pairs = [(name.encode(), text.encode()) for name, text in fields("call_arrives", From=None).items()]
    pairs.append((b"From", b"client:caf\xe9"))

    status, document = await send(client, "/voice/inbound", urlencode(pairs), signed_bytes("/voice/inbound", pairs))

    assert (status, document[:5]) == (200, b"<?xml")
    assert [event.customer_address for event in webhook_store.events] == ["client:caf\ufffd"]


async def test_a_byte_changed_after_signing_gets_403(client, webhook_store):
    pairs = [(name.encode(), text.encode()) for name, text in fields("call_arrives").items()]
    headers = signed_bytes("/voice/inbound", [*pairs, (b"CallerName", b"\xff")])

    status, _ = await send(client, "/voice/inbound", urlencode([*pairs, (b"CallerName", b"\xfe")]), headers)

    assert (status, webhook_store.events) == (403, [])


async def test_a_body_is_parsed_again_only_if_a_byte_was_replaced(client, monkeypatch):
    parsed = []
    exactly = authentication.signed_bytes
    monkeypatch.setattr(authentication, "signed_bytes", lambda body: parsed.append(body) or exactly(body))
    for value in ("x", "%C3%A9", "%", "%FF"):
        await send(client, AGENT_CALL, f"CallSid={value}", {"Content-Type": FORM, "X-Twilio-Signature": "x"})

    assert parsed == [b"CallSid=%FF"]


@each(
    "url, forms",
    [
        ("/voice/inbound?a=b&c=1.5", 1),
        ("/voice/inbound?a=%20", 1),
        ("/voice/inbound?a=:", 2),
        ("/voice/inbound?a=:'", 4),
        ("/voice/inbound?a=%3a", 3),
    ],
)
def test_a_url_is_tried_in_another_form_only_where_that_differs(url, forms):
    assert len(list(authentication.encodings(url))) == forms


@each("headers", [{}, {"X-Twilio-Signature": "x"}])
async def test_a_connection_is_closed_after_a_refusal(client, headers):
    async with client.post(AGENT_CALL, data=fields("agent_rings"), headers=headers) as response:
        assert (response.status, response.headers["Connection"]) == (403, "close")


@pytest.fixture
def verified(monkeypatch):
    """The targets whose signatures were verified, in that order."""
    order = []
    check = authentication.SignatureCheck.is_valid

    def watched(self, target, *rest, **options):
        order.append(target)
        return check(self, target, *rest, **options)

    monkeypatch.setattr(authentication.SignatureCheck, "is_valid", watched)
    monkeypatch.setattr(authentication, "is_known", lambda request: "stranger" not in request.raw_path)
    return order


def send_large(client, target):
    return send(client, target, "a=" + "x" * 9_000, {"Content-Type": FORM, "X-Twilio-Signature": "x"})


async def test_between_two_large_bodies_the_loop_has_turns_for_others(client, verified):
    many = "&".join("abc" for _ in range(65))
    sent = [
        asyncio.ensure_future(answer)
        for answer in (
            *(send_large(client, "/voice/inbound?stranger") for _ in range(3)),
            *(send(client, f"{AGENT_CALL}&stranger", many, {"X-Twilio-Signature": "x"}) for _ in range(3)),
        )
    ]
    turns = []
    while len(verified) < 6:
        await asyncio.sleep(0)
        turns.append(len(verified))
    await asyncio.gather(*sent)

    assert all(turns.count(number) > authentication.TURNS_BEFORE_LARGE_BODY / 2 for number in range(1, 5))


async def test_a_verified_connections_next_large_body_waits_for_no_strangers(client, verified):
    strangers = [asyncio.ensure_future(send_large(client, f"/voice/inbound?stranger={number}")) for number in range(5)]
    while not verified:
        await asyncio.sleep(0)
    await send_large(client, "/voice/inbound?known")
    await asyncio.gather(*strangers)

    assert verified.index("/voice/inbound?known") < 5, verified
    assert len(verified) == 6


async def test_the_second_token_is_accepted_while_tokens_are_rotated(open_client, webhook_store):
    client = await open_client(TWILIO_AUTH_TOKEN_SECONDARY=SECOND_TOKEN)

    first, _ = await post(client, AGENT_CALL, fields("agent_rings"))
    second, _ = await post(client, AGENT_CALL, fields("agent_answers"), token=SECOND_TOKEN)

    assert (first, second) == (204, 204)
    assert len(webhook_store.events) == 2


async def test_host_claimed_by_a_request_is_never_trusted(client):
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}

    accepted, _ = await post(client, AGENT_CALL, fields("agent_rings"), headers=forged)
    refused, _ = await post(client, AGENT_CALL, fields("agent_rings"), headers=forged, public_url="http://evil.example")

    assert (accepted, refused) == (204, 403)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("prefix", ["/conferral", "/voice", "/a/b%20c"])
async def test_a_proxy_may_strip_or_keep_the_public_urls_path(open_client, prefix, keeps):
    client = await open_client(CONFERRAL_PUBLIC_URL=PUBLIC_URL + prefix)
    form, path = fields("call_arrives"), (prefix if keeps else "") + "/voice/inbound"

    status, _ = await post(client, "/voice/inbound", form, path=path, public_url=PUBLIC_URL + prefix)

    assert status == 200


async def test_two_signatures_are_none(client, lines):
    headers = signed(AGENT_CALL, fields("agent_rings"))
    doubled = [*headers.items(), ("X-Twilio-Signature", headers["X-Twilio-Signature"])]

    status, _ = await send(client, AGENT_CALL, urlencode(fields("agent_rings")), doubled)

    assert (status, rejections(lines)) == (403, [(403, "unsigned")])


@each("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_other_methods_get_405(client, webhook_store, lines, method):
    lines.clear()
    async with client.request(method, AGENT_CALL) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"

    assert rejections(lines) == [(405, "method")]


@each("content_type", [FORM, "application/json", "multipart/form-data; boundary=x", "text/plain", ""])
@each("token, status", [(TOKEN, 204), ("another", 403)])
async def test_signature_of_the_fields_decides_whatever_the_content_type(
    client, webhook_store, content_type, token, status
):
    headers = {"Content-Type": content_type}

    assert (await post(client, AGENT_CALL, fields("agent_rings"), headers=headers, token=token))[0] == status


@each("name", ["CallSid", "CallStatus", "From", "AccountSid"])
async def test_a_field_of_ours_that_is_sent_twice_gets_400_though_it_is_signed(client, webhook_store, lines, name):
    lines.clear()
    form = fields("agent_rings")
    status, _ = await post(client, AGENT_CALL, Repeated([*form.items(), (name, form[name] + "0")]))

    # The account is compared first, by its first value: a second one changes nothing about it.
    assert (status, webhook_store.events) == (400, [])
    assert rejections(lines) == [(400, "repeated-field")]


async def test_duplicate_unknown_field_is_accepted(client, webhook_store):
    twice = [("colour", "red"), ("colour", "blue"), ("colour", "red"), ("CallSid", fields("agent_rings")["CallSid"])]
    status, _ = await post(client, AGENT_CALL, Repeated([*fields("agent_rings").items(), *twice]))

    assert (status, len(webhook_store.events)) == (204, 1)


@each(
    "target, name",
    [
        ("/voice/inbound", "Timestamp"),
        ("/voice/conference", "Digits"),
        ("/voice/fallback", "RecordingUrl"),
        (DIAL_ACTION, "CallStatus"),
        (DIAL_ACTION, "DialCallStatus"),
        (GATE, "CallSid"),
        (WAIT, "CallSid"),
        (WAIT, "To"),
    ],
)
async def test_a_repeated_field_costs_no_caller_the_call(client, webhook_store, lines, target, name):
    webhook_store.facts = facts("bridged")
    form = fields("call_arrives", DialCallStatus="no-answer")
    usual = await post(client, target, form)

    pairs = [(name, form.get(name, "first")), *form.items(), (name, "second")]
    status, document = await post(client, target, Repeated(pairs))

    assert usual[0] == 200
    assert (status, document) == usual
    assert rejections(lines) == []


async def test_a_body_at_the_limit_is_read_and_one_byte_or_field_more_is_not_hashed(
    client, webhook_store, lines, monkeypatch
):
    hashed = []
    check = authentication.SignatureCheck.is_valid
    monkeypatch.setattr(
        authentication.SignatureCheck, "is_valid", lambda *given, **named: hashed.append(1) or check(*given, **named)
    )
    form = fields("agent_rings")
    form["padding"] = "x" * (65_536 - len(urlencode(form | {"padding": ""})))

    fits, _ = await post(client, AGENT_CALL, form)
    large, _ = await post(client, AGENT_CALL, form | {"padding": form["padding"] + "x"})
    most = (usual := fields("agent_rings", SequenceNumber="9")) | dict.fromkeys(map(str, range(128 - len(usual))), "")
    full, _ = await post(client, AGENT_CALL, most)
    many, _ = await post(client, AGENT_CALL, most | {"one more": ""})

    assert (fits, large, full, many) == (204, 413, 204, 403)
    assert (len(hashed), rejections(lines)) == (2, [(413, "too-large"), (403, "too-many-fields")])


async def test_no_line_of_the_log_ever_holds_a_number_or_a_secret(open_client, webhook_store, fresh_logs):
    stream = io.StringIO()
    configure("json", stream, level="debug", process="test")
    try:
        client = await open_client()
        for target in ROUTES:
            for form in (fields("call_arrives"), fields("agent_rings"), fields("agent_joins", SequenceNumber="x")):
                await post(client, target, form)
                await post(client, target, form, token="another")
        await post(client, "/voice/client", fields("browser_calls_somebody"))
        await post(client, "/voice/client", fields("browser_calls_somebody", To="+19005550123"))
        webhook_store.away = True
        await post(client, AGENT_CALL, fields("agent_rings"))
        await post(client, "/voice/inbound", fields("call_arrives"))
        await post(client, "/voice/client", fields("browser_calls_somebody"))
    finally:
        structlog.reset_defaults()

    logged = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(logged) > 10
    for line in logged:
        del line["timestamp"]
        assert "555" not in json.dumps(line)
        assert "parentCallInfoToken" not in json.dumps(line)
        assert "?" not in line.get("url_path", "")


async def test_flood_of_rejected_requests_is_counted_and_logged_once_a_minute(
    webhook_store, child_lookup, metrics, fresh_logs
):
    clock = Hands()
    made = app.make_app(settings(), webhook_store, child_lookup, metrics, clock)
    with capture_logs() as lines:
        async with TestClient(TestServer(made)) as client:
            for pause_s in (0, 1, 1, 1, 57):
                clock.now_s += pause_s
                await client.post(AGENT_CALL)
            await client.post("/voice/inbound")

    logged = [(line["url_path"], line["count"]) for line in lines if line["event"] == "webhook_rejected"]
    assert logged == [("/callbacks/call", 1), ("/callbacks/call", 4), ("/voice/inbound", 1)]
    counted = 'conferral_webhook_rejections_total{reason="unsigned",route="/callbacks/call"} 5.0'
    assert counted in metrics.exposition().decode()
