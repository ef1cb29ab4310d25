"""HTTP client for Twilio's REST API, under twilio-python.

One pooled session, with timeouts, replaces the library's client, which has no timeout and may retry a POST. Only the
worker's executor decides on retries.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from yarl import URL  # noqa: TID251  # our own requests

from conferral.runtime import tracing
from conferral.runtime.clock import Clock, RemoteClock
from conferral.runtime.errors import ProviderGoneError, ProviderUnreachableError, ResultUnknownError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import TwilioSettings
from conferral.runtime.urls import is_twilio_url
from conferral.telephony import errors
from conferral.telephony.request_context import (
    SendCancelledError,
    check_send_allowed,
    is_expected,
    is_observed,
    is_send_allowed,
    request_label,
)

log = structlog.get_logger()

#: A TLS connection takes tenths of a second; after three seconds, a new attempt is more likely to succeed.
CONNECT_TIMEOUT_S = 3.0
#: The most for any request; `worker.executor.job.RETRIES` has each effect's own limit. Twilio responds within tenths of
#: a second, at worst within a few seconds; a caller is waiting.
TOTAL_TIMEOUT_S = 10.0
#: Concurrent requests. Twilio answers 429 if an account has too many, and several processes share that limit. The
#: executor's limits stay below this one (its reads send up to two requests together), so no request waits here.
CONNECTIONS_MAX = 96
#: Close idle connections before a load balancer does: the result of a POST on a closing connection is unknown.
KEEPALIVE_TIMEOUT_S = 15.0
#: Maximum size of an answer, decompressed: a call has 2 KiB, and a page 50 of them unless `PageSize` asks for more.
BODY_MAX_BYTES, PAGE_MAX_BYTES = 256 * 1024, 4 * 1024 * 1024

#: Twilio's error codes have five digits. Source: Twilio docs, Error and Warning Dictionary.
_TWILIO_CODES = range(10_000, 100_000)

#: The products that are asked. Each has a host of its own, unless `TWILIO_API_URL` is not Twilio's.
_HOSTS = frozenset({"api.twilio.com", "webhooks.twilio.com", "voice.twilio.com"})


class _GuardedRequest(aiohttp.ClientRequest):
    """A request that is checked again once connected, and as it leaves."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        check_send_allowed()
        return await super().send(conn)

    async def write_bytes(self, writer: Any, conn: Any, content_length: int | None = None) -> None:
        """Write headers and body.

        Before Python 3.12, a task of its own does so, which starts after `send`.
        """
        try:
            check_send_allowed()
        except SendCancelledError as error:
            conn.protocol.set_exception(error)  # raised where the answer is awaited
            return
        await super().write_bytes(writer, conn, content_length)


@dataclass(frozen=True, slots=True)
class RequestResult:
    """Result of a request, for observers; 0 for what Twilio did not send."""

    status: int
    code: int


class PooledHttpClient(AsyncHttpClient):  # type: ignore[misc]  # the library has no type information
    """HTTP client for twilio-python; opens its session at the first request."""

    def __init__(
        self,
        *,
        api_url: str,
        clock: Clock,
        metrics: Metrics,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        super().__init__(logging.getLogger("twilio"), True, total_timeout_s)
        self._api_url = api_url.rstrip("/")
        self._clock = clock
        #: Twilio's clock, by the `Date` of its answers; a proxy's own answers don't count.
        self.twilio_clock = RemoteClock(clock)
        self._metrics = metrics
        self._timeout = aiohttp.ClientTimeout(
            total=total_timeout_s, connect=CONNECT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S
        )
        self._session: aiohttp.ClientSession | None = None
        self._observers: list[Callable[[RequestResult], None]] = []

    def add_observer(self, observer: Callable[[RequestResult], None]) -> None:
        """Call an observer once a sent request was answered, failed, or timed out."""
        self._observers.append(observer)

    async def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        **_options: object,
    ) -> Response:
        """Send one request, without retries; return a 2xx response.

        Its body is a JSON object, a page's with a list of records, or empty. All else, also a redirect, raises a
        ProviderError. The library's timeout and redirect options are ignored.
        """
        target = self._rewrite(uri)
        started_s = self._clock.monotonic_s()
        status, code, request_id = 0, 0, ""
        is_inconclusive = False  # whether it says nothing about Twilio, so it does not count
        is_readable = True
        about = {"http.request.method": method.upper()}
        with tracing.span(f"{method.upper()} {request_label()}", about, "client"):
            try:
                answer = await self.exchange(method, target, params, data, _with_auth(headers, auth))
                status, request_id = answer.status, answer.headers.get("Twilio-Request-Id", "")
                if not has_succeeded(status):
                    code = errors.code_of(answer.body)
                    if code:
                        self._observe_twilio_time(answer)
                    raise errors.from_status(status, code, errors.retry_after_s(answer.headers))
                is_page = method.upper() == "GET" and ("PageSize" in target or "PageSize" in (params or ()))
                is_readable = not answer.body or errors.is_answer(answer.body, is_page=is_page)
                if not is_readable:
                    raise ResultUnknownError(http_status=status)
                self._observe_twilio_time(answer)
            except SendCancelledError:
                is_inconclusive = True
                raise
            except asyncio.CancelledError:
                # A timeout says something about Twilio; a lost lease does not.
                is_inconclusive = not is_send_allowed()
                raise
            finally:
                if not is_inconclusive:
                    duration_s = self._clock.monotonic_s() - started_s
                    self._record(method, status, code, request_id, duration_s, is_readable=is_readable)
                    tracing.annotate({"http.response.status_code": status, "twilio.error_code": code})
                    # HTML or cut JSON with 200 is no answer of Twilio's.
                    result = RequestResult(status if is_readable else 0, code)
                    for observer in self._observers if is_observed() else ():
                        observer(result)
        return Response(status, answer.body.decode(), answer.headers)

    def _observe_twilio_time(self, answer: "HttpResponse") -> None:
        if (sent_at_ms := errors.sent_at_ms(answer.headers)) is not None:
            self.twilio_clock.observe(sent_at_ms)

    async def close(self) -> None:
        """Close the connections. Open requests fail with `ResultUnknownError`."""
        if self._session is not None:
            await self._session.close()

    def _rewrite(self, uri: str) -> str:
        """Return the URI under the configured base; path and query stay."""
        parts = urlsplit(uri)
        if parts.hostname not in _HOSTS:
            raise ResultUnknownError  # a paging link, for instance; credentials must not go there
        base = self._api_url
        if is_twilio_url(base):  # in a region, too: api.dublin.ie1.twilio.com
            base = base.replace("//api.", f"//{parts.hostname.partition('.')[0]}.", 1)
        return f"{base}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    async def exchange(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None,
        data: Mapping[str, object] | None,
        headers: dict[str, str],
    ) -> "HttpResponse":
        """Send a request; return the answer, whatever its status.

        Raise ProviderUnreachableError if nothing was sent, else ResultUnknownError: Twilio may have acted on it.
        """
        target = URL(url).extend_query(_pairs(params))
        try:
            async with self._open_session().request(
                method.upper(),
                target,
                data=URL.build(query=_pairs(data)).raw_query_string.encode() or None,  # yarl quotes in C, unlike urllib
                headers=headers,
                allow_redirects=False,
            ) as response:
                return HttpResponse(response.status, response.headers, await _read_body(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise ProviderUnreachableError from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The error's text quotes the URL, so only its type is logged.
            log.debug("rest_failed", effect=request_label(), method=method, error_type=type(error).__name__)
            raise ResultUnknownError from None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEPALIVE_TIMEOUT_S),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                request_class=_GuardedRequest,
            )
        return self._session

    def _record(
        self, method: str, status: int, code: int, request_id: str, duration_s: float, *, is_readable: bool
    ) -> None:
        """Count and log a request; status 0 means no response."""
        kind = request_label()
        self._metrics.rest_requests.labels(kind, str(status)).observe(duration_s)
        is_gone = isinstance(errors.from_status(status, code), ProviderGoneError)
        if not is_readable:
            self._metrics.rest_failures.labels("unreadable").inc()
        elif not (has_succeeded(status) or is_expected(code, is_gone=is_gone)):
            failure = str(code) if code in _TWILIO_CODES else f"http-{status}" if status else "unknown"
            self._metrics.rest_failures.labels(failure).inc()
        log.debug(
            "rest_completed",
            effect=kind,
            method=method,
            status=status,
            code=code,
            request_id=request_id,
            duration_ms=round(duration_s * 1000, 1),
        )


def has_succeeded(status: int) -> bool:
    """Whether an HTTP status is a success, 2xx."""
    return status // 100 == 2


@dataclass(frozen=True, slots=True, repr=False)
class HttpResponse:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """Read a response's body; raise ClientPayloadError if it is too long."""
    body, max_bytes = bytearray(), PAGE_MAX_BYTES if "PageSize" in response.url.query else BODY_MAX_BYTES
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise aiohttp.ClientPayloadError("body too long")
    return bytes(body)


def _pairs(fields: Mapping[str, object] | None) -> list[tuple[str, str]]:
    """Return names and values; a list has a pair for each of its values."""
    values = [(name, value if isinstance(value, list) else [value]) for name, value in (fields or {}).items()]
    return [(name, str(one)) for name, several in values for one in several]


def _with_auth(headers: Mapping[str, str] | None, auth: tuple[str, str] | None) -> dict[str, str]:
    """Return headers with basic authentication; aiohttp's is deprecated."""
    result = dict(headers or {})
    if auth is not None:
        result["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
    return result


def http_client(settings: TwilioSettings, *, clock: Clock, metrics: Metrics) -> PooledHttpClient:
    """Return the HTTP client for `TWILIO_API_URL`. The caller closes it."""
    return PooledHttpClient(api_url=settings.api_url, clock=clock, metrics=metrics)
