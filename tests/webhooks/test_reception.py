"""Who is let in. Whatever is turned away publishes nothing and leaves one line that holds nothing of it."""

import io
import json
from urllib.parse import urlencode

import pytest
import structlog
from aiohttp import http_parser

from runtime.log import configure
from tests.webhooks.webhook_kit import (
    AGENT_CALL,
    CALLER,
    DIAL_ACTION,
    FORM,
    PUBLIC_URL,
    ROOM,
    SECOND_TOKEN,
    facts,
    fields,
    post,
    signed,
)
from webhooks import reception

MEBIBYTE = 2**20
ROUTES = [
    "/voice/inbound",
    "/voice/conference",
    "/voice/client",
    "/voice/fallback",
    "/voice/status",
    DIAL_ACTION,
    AGENT_CALL,
    ROOM,
    f"/callbacks/recording?session={CALLER}",
    f"/voice/announcement?session={CALLER}&command=c1",
]


def rejections(lines):
    return [(line["status"], line["reason"]) for line in lines if line["event"] == "webhook_rejected"]


async def send(client, target, body, headers):
    async with client.post(target, data=body, headers=headers) as response:
        return response.status, await response.read()


@pytest.mark.parametrize("target", ROUTES)
async def test_an_unsigned_request_gets_403_without_a_word(client, ingest, lines, target):
    answered = await send(client, target, urlencode(fields("call_arrives")), {"Content-Type": FORM})

    assert answered == (403, b"")
    assert ingest.events == []
    assert rejections(lines) == [(403, "unsigned")]


@pytest.mark.parametrize("target", ROUTES)
async def test_a_wrongly_signed_request_gets_403(client, ingest, lines, target):
    status, body = await post(client, target, fields("call_arrives"), token="another")

    assert (status, body) == (403, "")
    assert ingest.events == []
    assert rejections(lines) == [(403, "wrong-signature")]


async def test_a_field_changed_after_signing_gets_403(client, ingest):
    headers = signed(AGENT_CALL, fields("agent_rings"))

    status, _ = await send(client, AGENT_CALL, urlencode(fields("agent_rings", CallStatus="completed")), headers)

    assert (status, ingest.events) == (403, [])


async def test_a_signature_for_another_url_gets_403(client, ingest):
    headers = signed(AGENT_CALL, fields("agent_rings"))

    status, _ = await send(client, AGENT_CALL + "&x=1", urlencode(fields("agent_rings")), headers)

    assert (status, ingest.events) == (403, [])


async def test_another_accounts_request_gets_403_though_it_is_signed(client, ingest, lines):
    status, body = await post(client, AGENT_CALL, fields("agent_rings", AccountSid="AC" + "9" * 32))

    assert (status, body) == (403, "")
    assert ingest.events == []
    assert rejections(lines) == [(403, "foreign-account")]


@pytest.mark.parametrize("account", ["", None])
@pytest.mark.parametrize("target", ROUTES)
async def test_a_signed_request_that_names_no_account_is_ours(client, ingest, lines, target, account):
    form = fields("call_arrives", AccountSid=account) if "/voice/" in target else fields("agent_rings")
    status, _ = await post(client, target, form | ({"AccountSid": account} if account is not None else {}))

    assert status != 403
    assert (403, "foreign-account") not in rejections(lines)


async def post_large(client, target, form):
    body = io.BytesIO(urlencode(form).encode())
    return await send(client, target, body, signed(target, form) | {"Content-Length": str(len(body.getbuffer()))})


@pytest.mark.parametrize(
    ("target", "moment"),
    [
        ("/voice/inbound", "call_arrives"),
        ("/voice/conference", "call_arrives"),
        ("/voice/fallback", "call_arrives"),
        ("/voice/client", "browser_calls_somebody"),
        (DIAL_ACTION, "call_arrives"),
        (f"/voice/wait?session={CALLER}&party=customer&tune=music", "call_arrives"),
    ],
)
async def test_a_signed_voice_request_of_up_to_a_mebibyte_gets_twiml(client, ingest, lines, target, moment):
    ingest.facts = facts("bridged")
    form = fields(moment, DialCallStatus="no-answer")
    status, document = await post(client, target, form)
    large = form | {f"field {number}": "" for number in range(2_000)} | {"HandoffData": ""}
    large["HandoffData"] = "x" * (MEBIBYTE - len(urlencode(large)))

    assert (status, document[:5]) == (200, "<?xml")
    assert await post_large(client, target, large) == (status, document.encode())
    assert rejections(lines) == []


@pytest.mark.parametrize("length", [MEBIBYTE + 1, 2 * MEBIBYTE])
async def test_a_voice_request_above_a_mebibyte_gets_413(client, ingest, length):
    form = fields("call_arrives")
    form["padding"] = "x" * (length - len(urlencode(form | {"padding": ""})))

    status, _ = await post_large(client, "/voice/inbound", form)

    assert (status, ingest.events) == (413, [])


@pytest.mark.parametrize("headers", [{"Content-Type": FORM}, {"Content-Type": FORM, "X-Twilio-Signature": "x"}])
async def test_a_large_voice_request_that_is_not_twilios_gets_403(client, ingest, headers):
    body = urlencode(fields("call_arrives", padding="x" * 500_000))

    assert await send(client, "/voice/inbound", body, headers) == (403, b"")
    assert ingest.events == []


async def test_the_second_token_is_accepted_while_tokens_are_rotated(open_client, ingest):
    client = await open_client(TWILIO_AUTH_TOKEN_SECONDARY=SECOND_TOKEN)

    first, _ = await post(client, AGENT_CALL, fields("agent_rings"))
    second, _ = await post(client, AGENT_CALL, fields("agent_answers"), token=SECOND_TOKEN)

    assert (first, second) == (204, 204)
    assert len(ingest.events) == 2


async def test_what_a_request_says_of_its_host_is_never_believed(client):
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}

    accepted, _ = await post(client, AGENT_CALL, fields("agent_rings"), headers=forged)
    refused, _ = await post(client, AGENT_CALL, fields("agent_rings"), headers=forged, public_url="http://evil.example")

    assert (accepted, refused) == (204, 403)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("prefix", ["/conferral", "/voice", "/a/b%20c"])
async def test_a_proxy_may_strip_or_keep_the_public_urls_path(open_client, prefix, keeps):
    client = await open_client(CONFERRAL_PUBLIC_URL=PUBLIC_URL + prefix)
    target = "/voice/inbound"

    status, _ = await post(
        client,
        target,
        fields("call_arrives"),
        path=prefix + target if keeps else target,
        public_url=PUBLIC_URL + prefix,
    )

    assert status == 200


async def test_two_signatures_are_none(client, lines):
    headers = signed(AGENT_CALL, fields("agent_rings"))
    doubled = [*headers.items(), ("X-Twilio-Signature", headers["X-Twilio-Signature"])]

    status, _ = await send(client, AGENT_CALL, urlencode(fields("agent_rings")), doubled)

    assert (status, rejections(lines)) == (403, [(403, "unsigned")])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_other_methods_get_405(client, ingest, lines, method):
    async with client.request(method, AGENT_CALL) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"

    assert rejections(lines) == [(405, "method")]


@pytest.mark.parametrize(
    ("content_type", "accepted"),
    [
        ("application/x-www-form-urlencoded", True),
        ("Application/X-WWW-Form-URLEncoded ; charset=utf-8", True),
        ("application/json", False),
        ("multipart/form-data; boundary=x", False),
        ("text/plain", False),
        ("", False),
    ],
)
async def test_only_forms_are_read(client, ingest, content_type, accepted):
    status, _ = await post(client, AGENT_CALL, fields("agent_rings"), headers={"Content-Type": content_type})

    assert status == (204 if accepted else 400)
    assert len(ingest.events) == accepted


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity"])
async def test_a_packed_body_is_not_unpacked(client, ingest, lines, encoding):
    headers = signed(AGENT_CALL, fields("agent_rings")) | {"Content-Encoding": encoding}

    async with client.post(
        AGENT_CALL, data=urlencode(fields("agent_rings")).encode(), headers=headers, skip_auto_headers=["Accept"]
    ) as response:
        assert response.status == 400

    assert ingest.events == []


@pytest.mark.parametrize("body", [b"CallSid=\xff", b"CallSid=%FF", b"&".join([b"a=1"] * 600)])
async def test_a_body_that_is_no_form_gets_400_before_its_signature_is_looked_at(client, ingest, lines, body):
    status, _ = await send(client, AGENT_CALL, body, {"Content-Type": FORM})

    assert (status, rejections(lines)) == (400, [(400, "malformed-body")])


@pytest.mark.parametrize("name", ["CallSid", "CallStatus", "From", "AccountSid"])
async def test_a_field_of_ours_that_is_sent_twice_gets_400_though_it_is_signed(client, ingest, lines, name):
    form = fields("agent_rings")
    pairs = [*form.items(), (name, form[name] + "0")]

    class Doubled(dict):
        def getall(self, wanted):
            return [value for other, value in pairs if other == wanted]

    status, _ = await send(client, AGENT_CALL, urlencode(pairs), signed(AGENT_CALL, Doubled(pairs)))

    # The account is compared first, by its first value: a second one changes nothing about it.
    assert (status, ingest.events) == (400, [])
    assert rejections(lines) == [(400, "repeated-field")]


async def test_a_field_of_a_strangers_that_is_sent_twice_is_no_matter(client, ingest):
    pairs = [*fields("agent_rings").items(), ("colour", "red"), ("colour", "blue"), ("colour", "red")]

    class Doubled(dict):
        def getall(self, wanted):
            return [value for other, value in pairs if other == wanted]

    status, _ = await send(client, AGENT_CALL, urlencode(pairs), signed(AGENT_CALL, Doubled(pairs)))

    assert (status, len(ingest.events)) == (204, 1)


async def test_a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not_hashed(client, ingest, lines, monkeypatch):
    hashed = []
    check = reception.SignatureCheck.is_valid
    monkeypatch.setattr(
        reception.SignatureCheck, "is_valid", lambda *given, **named: hashed.append(1) or check(*given, **named)
    )
    form = fields("agent_rings")
    form["padding"] = "x" * (reception.BODY_BYTES_MAX - len(urlencode(form | {"padding": ""})))

    fits, _ = await post(client, AGENT_CALL, form)
    large, _ = await post(client, AGENT_CALL, form | {"padding": form["padding"] + "x"})

    assert (fits, large) == (204, 413)
    assert len(hashed) == len(ingest.events) == 1
    assert rejections(lines) == [(413, "too-large")]


async def test_an_old_request_sent_again_carries_the_same_identity(client, ingest):
    for _ in range(2):
        await post(client, AGENT_CALL, fields("agent_rings"))

    first, second = ingest.events
    assert (first.source, first.sequence) == (second.source, second.sequence)


async def test_no_line_of_the_log_ever_holds_a_number_or_a_secret(open_client, ingest, fresh_logs):
    stream = io.StringIO()
    configure("json", stream, level="debug")
    try:
        client = await open_client()
        for target in ROUTES:
            for form in (fields("call_arrives"), fields("agent_rings"), fields("agent_joins", SequenceNumber="x")):
                await post(client, target, form)
                await post(client, target, form, token="another")
        await post(client, "/voice/client", fields("browser_calls_somebody"))
        await post(client, "/voice/client", fields("browser_calls_somebody", To="+19005550123"))
        ingest.away = True
        await post(client, AGENT_CALL, fields("agent_rings"))
        await post(client, "/voice/inbound", fields("call_arrives"))
        await post(client, "/voice/client", fields("browser_calls_somebody"))
    finally:
        structlog.reset_defaults()

    logged = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(logged) > 30
    for line in logged:
        del line["timestamp"]
        assert "555" not in json.dumps(line)
        assert "parentCallInfoToken" not in json.dumps(line)
        assert "?" not in line.get("url_path", "")


async def test_requests_are_counted_by_route_and_status(client, metrics):
    await post(client, AGENT_CALL, fields("agent_rings"))
    await post(client, AGENT_CALL, fields("agent_rings"), token="another")

    text = metrics.exposition().decode()
    assert 'conferral_webhook_request_seconds_count{route="/callbacks/call",status="204"} 1.0' in text
    assert 'conferral_webhook_request_seconds_count{route="/callbacks/call",status="403"} 1.0' in text


def test_the_parser_in_use_is_the_compiled_one():
    # The one in plain Python has had holes through which requests are smuggled.
    assert http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy


async def test_the_session_in_the_url_stands_whatever_the_form_says(client, ingest):
    await post(client, ROOM, fields("agent_joins", FriendlyName="another"))

    assert ingest.events[0].session_id == CALLER
