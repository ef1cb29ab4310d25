"""Answers that the HTTP client can't use: unreadable, or too large."""

import gzip
import random
import tracemalloc

import pytest

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import OutcomeUnknownError
from conferral.runtime.metrics import Metrics
from conferral.telephony.http_client import PooledHttpClient
from conferral.worker.executor.request_limiter import FAILURES_MAX, BreakerReason, RequestLimiter
from tests.telephony.scripted_server import ScriptedTwilio, answered
from tests.telephony.test_http_client import HTML, URI


@pytest.mark.parametrize("body", [HTML, b'{"sid": "CA1", "sta'], ids=["HTML", "cut JSON"])
async def test_unreadable_answers_with_200_open_the_circuit_breaker(
    twilio: ScriptedTwilio, http: PooledHttpClient, metrics: Metrics, body: bytes
) -> None:
    limit = RequestLimiter(10, worker_count=lambda: 1, clock=SystemClock(), metrics=metrics, rng=random.Random(1))
    http.observe(limit.observe)
    twilio.script = [answered(200, body)]
    for _ in range(FAILURES_MAX):
        assert limit.breaker_reason is None
        with pytest.raises(OutcomeUnknownError):
            await http.request("POST", URI)

    assert limit.breaker_reason is BreakerReason.UNREACHABLE
    assert metrics.registry.get_sample_value("conferral_rest_failures_total", {"code": "unreadable"}) == FAILURES_MAX


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
        with pytest.raises(OutcomeUnknownError):
            await http.request("GET", URI)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
