"""The HTTP client under twilio-python, against a scripted server on loopback."""

import asyncio
import base64
import gzip
import random
import tracemalloc
from contextlib import nullcontext
from urllib.parse import parse_qsl

import pytest
from structlog.testing import capture_logs

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import (
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    ProviderUnreachableError,
    RateLimitedError,
    ResultUnknownError,
)
from conferral.runtime.log import KEYS
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import HangUpCall, RedirectCall
from conferral.telephony import http_client as client_module
from conferral.telephony.http_client import PooledHttpClient, RequestResult
from conferral.telephony.request_context import label_requests, send_guard, unobserved
from conferral.telephony.twilio_api import TwilioApi
from conferral.telephony.twilio_requests import rest_client
from conferral.worker.executor.request_limiter import FAILURES_MAX, BreakerReason, RequestLimiter
from tests.support.each import each
from tests.support.people import CUSTOMER
from tests.support.service_settings import ENVIRON, settings_with
from tests.telephony.scripted_http import SETUP
from tests.telephony.scripted_server import (
    Reply,
    ScriptedTwilio,
    answered,
    cut,
    cut_in_headers,
    nonsense,
    reset,
)

ACCOUNT = ENVIRON["TWILIO_ACCOUNT_SID"]
KEY = "SK" + "b" * 32
URI = "https://api.twilio.com/2010-04-01/Accounts/AC1/Calls/CA1.json"
ERROR_21220 = {"code": 21220, "message": f"Call to {CUSTOMER} is not in-progress", "status": 400}
RFC_9457 = {"type": "about:blank", "title": "Gone", "status": 400, "code": 21220, "detail": CUSTOMER}


def calls_over(http: PooledHttpClient, **more: str) -> TwilioApi:
    return TwilioApi(rest_client(settings_with(**more), http), SETUP)


REDIRECT = RedirectCall(
    effect_id="e1", session_id="CA0", party="agent", call_sid="CA1", conference="CA0", label="agent-1"
)
HANG_UP = HangUpCall(effect_id="e2", session_id="CA0", party="agent", call_sid="CA1")


async def test_base_url_is_replaced_and_path_query_and_form_are_kept(twilio: ScriptedTwilio, metrics: Metrics) -> None:
    client = PooledHttpClient(api_url=twilio.url + "/twilio/", clock=SystemClock(), metrics=metrics)
    form = {"Twiml": "a+b &%41;=é", "Event": ["x", "y"], "Muted": True}

    # A compatible provider's paging link may hold a space, which would end the request's target.
    await client.request("POST", URI + "?Page=1&PageToken=a%2Bb c", params={"PageSize": 50}, data=form)
    await client.close()

    (request,) = twilio.requests
    assert request.target == ("/twilio/2010-04-01/Accounts/AC1/Calls/CA1.json?Page=1&PageToken=a%2Bb+c&PageSize=50")
    assert parse_qsl(request.body) == [("Twiml", "a+b &%41;=é"), ("Event", "x"), ("Event", "y"), ("Muted", "True")]


@each(
    "api_url, others",
    [
        ("https://api.twilio.com", "https://{}.twilio.com"),
        ("https://api.dublin.ie1.twilio.com", "https://{}.dublin.ie1.twilio.com"),
        ("https://proxy.example/twilio", "https://proxy.example/twilio"),
    ],
)
async def test_twilios_other_products_have_hosts_of_their_own_unless_the_base_url_is_another(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch, api_url: str, others: str
) -> None:
    client, asked = PooledHttpClient(api_url=api_url, clock=SystemClock(), metrics=metrics), []

    async def exchange(_method: str, url: str, *_rest: object) -> client_module.HttpResponse:
        asked.append(url)
        return client_module.HttpResponse(200, {}, b"{}")

    monkeypatch.setattr(client, "exchange", exchange)
    for host in ("api", "webhooks", "voice"):
        await client.request("GET", f"https://{host}.twilio.com/v1/x?y=1")

    assert asked == [f"{others.format(host)}/v1/x?y=1" for host in ("api", "webhooks", "voice")]


async def test_host_other_than_twilio_receives_no_request(twilio: ScriptedTwilio, http: PooledHttpClient) -> None:
    with pytest.raises(ResultUnknownError):
        await http.request("GET", "https://elsewhere.example/2010-04-01/x.json", auth=("AC1", "secret"))

    assert twilio.requests == []


@pytest.mark.parametrize(
    "more, expected",
    [
        ({}, f"{ACCOUNT}:{ENVIRON['TWILIO_AUTH_TOKEN']}"),
        ({"TWILIO_API_KEY": KEY, "TWILIO_API_SECRET": "secret"}, f"{KEY}:secret"),
    ],
)
async def test_api_key_is_used_where_one_is_set(
    twilio: ScriptedTwilio, http: PooledHttpClient, more: dict[str, str], expected: str
) -> None:
    await calls_over(http, **more).execute(HANG_UP)
    by_token = rest_client(settings_with(**more), http, by_token=True)
    await by_token.calls("CA1").update_async(status="completed")

    first, second = twilio.requests
    assert first.headers["Authorization"] == "Basic " + base64.b64encode(expected.encode()).decode()
    token = f"{ACCOUNT}:{ENVIRON['TWILIO_AUTH_TOKEN']}"
    assert second.headers["Authorization"] == "Basic " + base64.b64encode(token.encode()).decode()
    assert f"/Accounts/{ACCOUNT}/" in first.target


@pytest.mark.parametrize("second", [[False], [True, False]], ids=["connected", "about to leave"])
async def test_request_that_may_go_no_more_when_it_has_its_connection_is_not_sent(
    twilio: ScriptedTwilio, http: PooledHttpClient, second: list[bool]
) -> None:
    """As after a stop of the whole process, which may have lasted longer than its lease. It says nothing of Twilio."""
    answers = iter([True, True, *second])
    reported: list[RequestResult] = []
    http.add_observer(reported.append)
    with send_guard(lambda: next(answers)):
        await http.request("POST", URI, data={"Status": "completed"})
        with pytest.raises(ProviderUnreachableError):
            await http.request("POST", URI, data={"Status": "completed"})
    await http.request("POST", URI, data={"Status": "canceled"})

    assert [request.body for request in twilio.requests] == ["Status=completed", "Status=canceled"]
    assert [(answer.status, answer.code) for answer in reported] == [(200, 0)] * 2


async def test_an_answer_that_says_nothing_about_the_key_is_not_observed(
    twilio: ScriptedTwilio, http: PooledHttpClient
) -> None:
    """A restricted key may send what a call needs, and not list the account's numbers."""
    reported: list[RequestResult] = []
    http.add_observer(reported.append)
    with unobserved():
        await http.request("GET", URI)
    assert (len(twilio.requests), reported) == (1, [])


async def test_requests_at_the_same_time_are_bounded(
    twilio: ScriptedTwilio, http: PooledHttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CONNECTIONS_MAX", 2)
    gate = asyncio.Event()
    two_are_in = asyncio.Event()

    async def held(writer: asyncio.StreamWriter) -> None:
        if twilio.at_once == 2:
            two_are_in.set()
        await gate.wait()
        await answered(200, {"sid": "CA1"})(writer)

    twilio.script = [held]
    requests = [asyncio.create_task(http.request("GET", URI)) for _ in range(5)]
    await two_are_in.wait()
    gate.set()
    await asyncio.gather(*requests)

    assert (len(twilio.requests), twilio.at_once_max, twilio.connections) == (5, 2, 2)


HTML = b"<html><body>Bad gateway</body></html>"


@pytest.mark.parametrize(
    "reply, expected, http_status, code, wait_s",
    [
        pytest.param(cut, ResultUnknownError, 0, 0, 0, id="cut before the answer"),
        pytest.param(reset, ResultUnknownError, 0, 0, 0, id="connection reset"),
        pytest.param(cut_in_headers, ResultUnknownError, 0, 0, 0, id="cut in the headers"),
        pytest.param(nonsense, ResultUnknownError, 0, 0, 0, id="not HTTP"),
        pytest.param(answered(200, b'{"sid": "C', length=90), ResultUnknownError, 0, 0, 0, id="half body"),
        pytest.param(answered(200, b'{"sid": "C'), ResultUnknownError, 200, 0, 0, id="half JSON"),
        pytest.param(answered(200, HTML), ResultUnknownError, 200, 0, 0, id="HTML with 200"),
        pytest.param(answered(200, b"\xff\xfe\x00"), ResultUnknownError, 200, 0, 0, id="not UTF-8"),
        pytest.param(answered(200, b"[]"), ResultUnknownError, 200, 0, 0, id="a list"),
        pytest.param(answered(500, {"code": 20500}), ResultUnknownError, 500, 20500, 0, id="500"),
        pytest.param(answered(502, HTML), ResultUnknownError, 502, 0, 0, id="HTML with 502"),
        pytest.param(answered(503, b"", "Retry-After: 2"), ResultUnknownError, 503, 0, 2, id="503 with Retry-After"),
        pytest.param(answered(429, {"code": 20429}), RateLimitedError, 429, 20429, 0, id="429"),
        pytest.param(answered(429, HTML, "Retry-After: 3"), RateLimitedError, 429, 0, 3, id="429 with Retry-After"),
        pytest.param(answered(401, {"code": 20003}), ProviderRefusedError, 401, 20003, 0, id="401"),
        pytest.param(answered(404, {"code": 20404}), ProviderGoneError, 404, 20404, 0, id="404 of Twilio's"),
        pytest.param(answered(404, HTML), ProviderRefusedError, 404, 0, 0, id="404 of somebody else's"),
        pytest.param(answered(400, ERROR_21220), ProviderGoneError, 400, 21220, 0, id="21220"),
        pytest.param(answered(400, RFC_9457), ProviderGoneError, 400, 21220, 0, id="21220 as RFC 9457"),
        pytest.param(answered(302, b"", "Location: /other"), ProviderRefusedError, 302, 0, 0, id="a redirect"),
        pytest.param(answered(300, b""), ProviderRefusedError, 300, 0, 0, id="several choices"),
    ],
)
async def test_each_transport_error_is_one_request_and_one_provider_error(
    twilio: ScriptedTwilio,
    http: PooledHttpClient,
    metrics: Metrics,
    reply: Reply,
    expected: type[ProviderError],
    http_status: int,
    code: int,
    wait_s: float,
) -> None:
    twilio.script = [reply]

    with capture_logs() as lines, pytest.raises(ProviderError) as caught:
        await calls_over(http).execute(REDIRECT)

    error = caught.value
    assert type(error) is expected
    assert (error.http_status, error.code, error.retry_after_s) == (http_status, code, wait_s)
    assert len(twilio.requests) == 1
    assert CUSTOMER not in str(error) + str(lines)
    assert error.__cause__ is None
    counted = {"kind": "redirect_call", "status": str(http_status)}
    assert metrics.registry.get_sample_value("conferral_rest_request_seconds_count", counted) == 1


async def test_failures_are_counted_by_cause(twilio: ScriptedTwilio, http: PooledHttpClient, metrics: Metrics) -> None:
    codes = (9_999, 100_000, 10_000, 99_999, 10_000)
    made_up = [answered(400, {"code": code, "message": "", "status": 400}) for code in codes]
    script = [answered(400, ERROR_21220), answered(503, b""), cut, answered(300, b""), *made_up]
    successes = [answered(status, {"sid": "CA1"}) for status in (200, 201, 299)]
    twilio.script = [*script, *successes]
    for _ in script:
        with pytest.raises(ProviderError):
            await http.request("POST", URI)
    for _ in successes:
        await http.request("POST", URI)

    (family,) = metrics.rest_failures.collect()
    counted = {one.labels["code"]: one.value for one in family.samples if one.name.endswith("_total")}
    # Codes that are none of Twilio's go by the status.
    assert counted == {
        "21220": 1, "http-503": 1, "unknown": 1, "http-300": 1, "http-400": 2, "10000": 2, "99999": 1,
    }  # fmt: skip


async def test_hang_up_of_a_call_that_is_over_has_not_failed_but_is_seen_in_debug(
    twilio: ScriptedTwilio, http: PooledHttpClient, metrics: Metrics
) -> None:
    hang_up = HangUpCall(effect_id="e1", session_id="CA1", party="agent", call_sid="CA1")
    no_code = {"message": "nothing here", "status": 404}
    twilio.script = [answered(400, ERROR_21220), answered(404, no_code), answered(400, ERROR_21220)]

    with capture_logs() as lines:
        await calls_over(http).execute(hang_up)
        with pytest.raises(ProviderRefusedError):
            await calls_over(http).execute(hang_up)
        with pytest.raises(ProviderGoneError):
            await calls_over(http).execute(REDIRECT)

    logged = [(line["effect"], line["status"], line["code"]) for line in lines]
    assert logged == [("hang_up_call", 400, 21220), ("hang_up_call", 404, 0), ("redirect_call", 400, 21220)]
    (family,) = metrics.rest_failures.collect()
    counted = {one.labels["code"]: one.value for one in family.samples if one.name.endswith("_total")}
    # A proxy's 404 says nothing of a call, and the party to be moved is not in its target conference.
    assert counted == {"http-404": 1, "21220": 1}


async def silent(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def trickling(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "reply, method", [pytest.param(silent, "POST", id="silence"), pytest.param(trickling, "GET", id="trickle")]
)
async def test_silence_or_a_trickle_ends_at_its_deadline_with_an_unknown_outcome(
    twilio: ScriptedTwilio, metrics: Metrics, reply: Reply, method: str
) -> None:
    twilio.script = [reply]
    client = PooledHttpClient(api_url=twilio.url, clock=SystemClock(), metrics=metrics, total_timeout_s=0.05)

    with pytest.raises(ResultUnknownError):
        await client.request(method, URI)
    await client.close()

    assert len(twilio.requests) == 1


@pytest.mark.parametrize("size, is_read", [(100, True), (101, False)])
async def test_body_is_read_up_to_its_greatest_size(
    twilio: ScriptedTwilio, http: PooledHttpClient, monkeypatch: pytest.MonkeyPatch, size: int, is_read: bool
) -> None:
    monkeypatch.setattr(client_module, "BODY_MAX_BYTES", 100)
    twilio.script = [answered(200, b'{"sid":"%s"}' % (b"C" * (size - 10)))]

    with nullcontext() if is_read else pytest.raises(ResultUnknownError):
        await http.request("GET", URI)


async def test_cancelled_request_is_cancelled_and_frees_its_connection(
    twilio: ScriptedTwilio, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CONNECTIONS_MAX", 1)
    arrived = asyncio.Event()

    async def silent(_writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    twilio.script = [silent, answered(200, {"sid": "CA1"})]
    client = PooledHttpClient(api_url=twilio.url, clock=SystemClock(), metrics=metrics)
    request = asyncio.create_task(client.request("POST", URI))
    await arrived.wait()

    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await client.request("POST", URI)
    await client.close()

    assert len(twilio.requests) == 2


@pytest.mark.parametrize("is_ours", [True, False])
async def test_request_abandoned_with_the_lease_says_nothing_of_twilio(
    twilio: ScriptedTwilio, http: PooledHttpClient, is_ours: bool
) -> None:
    """A timeout, which cancels it just the same, does."""
    arrived, reported, may_send = asyncio.Event(), list[RequestResult](), True

    async def silent(_writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    twilio.script = [silent]
    http.add_observer(reported.append)
    with send_guard(lambda: may_send):
        request = asyncio.create_task(http.request("GET", URI))
    await arrived.wait()
    may_send = is_ours
    request.cancel()
    await asyncio.wait({request})

    assert [answer.status for answer in reported] == [0] * is_ours


class Stopwatch(SystemClock):
    """A clock that is read every quarter of a second."""

    now_s = 10.0

    def monotonic_s(self) -> float:
        self.now_s += 0.25044
        return self.now_s


async def test_each_request_leaves_one_debug_line_with_known_keys(twilio: ScriptedTwilio, metrics: Metrics) -> None:
    twilio.script = [answered(400, ERROR_21220, "Twilio-Request-Id: RQ1")]
    http = PooledHttpClient(api_url=twilio.url, clock=Stopwatch(), metrics=metrics)

    with capture_logs() as lines, label_requests("verify"), pytest.raises(ProviderGoneError):
        await http.request("POST", URI, data={"To": CUSTOMER}, auth=("AC1", "secret"))
    await http.close()

    (line,) = lines
    assert line.keys() - {"event", "log_level"} <= KEYS
    assert line["duration_ms"] == 250.4
    assert {name: line[name] for name in ("event", "log_level", "effect", "status", "code", "request_id")} == {
        "event": "rest_completed",
        "log_level": "debug",
        "effect": "verify",
        "status": 400,
        "code": 21220,
        "request_id": "RQ1",
    }
    assert "secret" not in str(line)


# ---- answers that are unreadable, or too large ---------------------------------------------------------------------


@pytest.mark.parametrize("body", [HTML, b'{"sid": "CA1", "sta'], ids=["HTML", "cut JSON"])
async def test_unreadable_answers_with_200_open_the_circuit_breaker(
    twilio: ScriptedTwilio, http: PooledHttpClient, metrics: Metrics, body: bytes
) -> None:
    rng = random.Random(1)
    limit = RequestLimiter(10, partitions=1, owned_count=lambda: 1, clock=SystemClock(), metrics=metrics, rng=rng)
    http.add_observer(limit.observe)
    twilio.script = [answered(200, body)]
    for _ in range(FAILURES_MAX):
        assert limit.breaker_reason is None
        with pytest.raises(ResultUnknownError):
            await http.request("POST", URI)

    assert limit.breaker_reason is BreakerReason.UNREACHABLE
    assert metrics.registry.get_sample_value("conferral_rest_failures_total", {"code": "unreadable"}) == FAILURES_MAX


@pytest.mark.parametrize("body", [b"{}", b'{"participants": {}}', b'{"participants": null, "page_size": 50}'])
async def test_page_without_a_list_of_records_is_unreadable(
    twilio: ScriptedTwilio, http: PooledHttpClient, body: bytes
) -> None:
    """The library would iterate over an object, and find no one there."""
    twilio.script = [answered(200, body)]
    with pytest.raises(ResultUnknownError):
        await http.request("GET", URI, params={"PageSize": 50})
    with pytest.raises(ResultUnknownError):
        await http.request("GET", f"{URI}?PageSize=50&Page=1")
    assert (await http.request("GET", URI)).content == body.decode()


async def test_page_of_a_thousand_calls_is_read(twilio: ScriptedTwilio, http: PooledHttpClient) -> None:
    body = b'{"calls": [' + b",".join([b'{"sid": "' + b"x" * 3_000 + b'"}'] * 1_000) + b"]}"
    twilio.script = [answered(200, gzip.compress(body), "Content-Encoding: gzip")]

    assert len((await http.request("GET", f"{URI}?PageSize=1000")).content) == len(body)


@pytest.mark.parametrize("body", [b" " * 95_000_000, b'{"a": [' + b"{}," * 2_700_000 + b"{}]}"], ids=["blank", "JSON"])
async def test_gzip_bomb_is_no_answer_and_costs_little(
    twilio: ScriptedTwilio, http: PooledHttpClient, body: bytes
) -> None:
    twilio.script = [answered(200, gzip.compress(body), "Content-Encoding: gzip")]

    tracemalloc.start()
    try:
        with pytest.raises(ResultUnknownError):
            await http.request("GET", URI)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
