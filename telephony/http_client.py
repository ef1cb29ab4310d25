"""The way to Twilio's REST API: one pooled session under twilio-python, with deadlines, and with our errors.

The library's own asynchronous client has no time-out at all and repeats POST requests when it is told to retry, so it
is replaced here. Nothing is repeated in here either: who repeats is decided once, by the worker's executor.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import structlog
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from conferral.runtime.clock import Clock
from conferral.runtime.errors import OutcomeUnknownError, ProviderUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.telephony import errors

log = structlog.get_logger()

#: A TLS connection takes tenths of a second; after three seconds another try has better chances.
CONNECT_TIMEOUT_S = 3.0
#: Twilio answers within tenths of a second, at worst in a few seconds; a person is waiting at the other end.
READ_TIMEOUT_S = 10.0
TOTAL_TIMEOUT_S = 10.0
#: Requests at the same time. Twilio refuses too many of an account with 429, and several processes share that limit.
#: The executor's limits stay below it (its reads send up to three requests at once), so that nobody waits in here.
REQUESTS_MAX = 96
#: An idle connection is closed before a balancer may do it: a POST on a connection that just closed is in doubt.
KEEPALIVE_TIMEOUT_S = 15.0
#: A page of 1,000 calls is below 2 MiB.
BODY_MAX_BYTES = 8 * 1024 * 1024

#: Failures that are counted apart from each other (count): more than ever occur in one process.
FAILURES_MAX = 50
#: Error codes of Twilio's have five digits. Source: Twilio docs, Error and Warning Dictionary.
_TWILIO_CODES = range(10_000, 100_000)

_API_HOST = "api.twilio.com"
_label: ContextVar[str] = ContextVar("kind_of_request", default="other")


_send_allowed: ContextVar[Callable[[], bool]] = ContextVar("may_go", default=lambda: True)


@contextmanager
def send_guard(holds: Callable[[], bool]) -> Iterator[None]:
    """Requests made inside leave only if this holds at that moment, else `ProviderUnreachableError`.

    Connecting takes its time, and the whole process may be stopped meanwhile: who was allowed to ask may be so no more.
    """
    before = _send_allowed.get()
    _send_allowed.set(holds)
    try:
        yield
    finally:
        _send_allowed.set(before)


class _SendCancelledError(ProviderUnreachableError):
    """It did not leave because it may not any more; that says nothing about Twilio."""


def check_send_allowed() -> None:
    """Ask, at the moment a request is about to leave, whether it still may.

    Raises:
        ProviderUnreachableError: it may not.
    """
    if not _send_allowed.get()():
        raise _SendCancelledError


class _GuardedRequest(aiohttp.ClientRequest):
    """One that is looked at once more when it has its connection."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        check_send_allowed()
        return await super().send(conn)


@contextmanager
def label_requests(kind: str) -> Iterator[None]:
    """Names the requests made inside, for metrics and the log: the kind of the effect, or another word."""
    before = _label.get()
    _label.set(kind)
    try:
        yield
    finally:
        # Not by a token: a request that is given up may be closed in another context.
        _label.set(before)


#: Codes that are not counted as failures, next to those that say that something is gone; None where all are counted.
_expected_codes: ContextVar[frozenset[int] | None] = ContextVar("fine_codes", default=None)


@contextmanager
def ignore_not_found(*, also: frozenset[int] = frozenset()) -> Iterator[None]:
    """Of requests made inside an answer that there is no such thing any more is not counted as a failure.

    What ends something has found what was wanted then, and what asks has been answered. `ProviderGoneError` is raised
    as ever.

    Args:
        also: Other codes that are expected here; their errors are raised as ever.
    """
    before = _expected_codes.get()
    _expected_codes.set(also)
    try:
        yield
    finally:
        _expected_codes.set(before)


@dataclass(frozen=True, slots=True)
class RequestResult:
    """How a request went, for whoever watches them all."""

    #: HTTP status, 0 where there was no answer.
    status: int
    #: Twilio's error code, 0 where it named none.
    code: int
    #: Seconds that Twilio asks to wait, 0.0 when it did not say.
    retry_after_s: float
    #: When the request was begun, monotonic seconds.
    sent_at_s: float


class PooledHttpClient(AsyncHttpClient):  # type: ignore[misc]  # the library has no type information
    """The HTTP client that twilio-python is given.

    Its session is made at the first request, inside the running loop, and serves until `close`.
    """

    def __init__(
        self,
        *,
        api_url: str,
        clock: Clock,
        metrics: Metrics,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
        requests_max: int = REQUESTS_MAX,
    ) -> None:
        super().__init__(logging.getLogger("twilio"), True, total_timeout_s)
        self._api_url = api_url.rstrip("/")
        self._clock = clock
        self._metrics = metrics
        self._timeout = aiohttp.ClientTimeout(
            total=total_timeout_s, connect=connect_timeout_s, sock_connect=connect_timeout_s, sock_read=read_timeout_s
        )
        self._requests_max = requests_max
        self._slots = asyncio.Semaphore(requests_max)
        self._session: aiohttp.ClientSession | None = None
        self._observer: Callable[[RequestResult], None] | None = None
        #: What failures were counted by.
        self._failures: set[str] = set()

    def observe(self, observer: Callable[[RequestResult], None]) -> None:
        """Has somebody told of every request that leaves, once it was answered, failed, or was not waited for."""
        self._observer = observer

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
        """Sends one request, once.

        The library's options, a time-out and whether to follow redirects, are not heeded: the session has the
        deadlines, and redirects are never followed.

        Returns:
            An answer of 2xx whose body is a JSON object, or empty.

        Raises:
            ProviderUnreachableError: no connection could be made; it has not happened.
            OutcomeUnknownError: time ran out, the connection broke, a 5xx, or a body that can't be read.
            ProviderBusyError: 429.
            ProviderRefusedError: every other answer; redirects are not followed.
        """
        target = self._rewrite(uri)
        async with self._slots:
            started_s = self._clock.monotonic_s()
            status, code, wait_s, request_id = 0, 0, 0.0, ""
            was_cancelled = False
            try:
                answer = await self._send(method, target, params, data, _with_auth(headers, auth))
                status, request_id = answer.status, answer.headers.get("Twilio-Request-Id", "")
                if not 200 <= status < 300:
                    code = errors.code_of(answer.body)
                    wait_s = errors.retry_after_s(answer.headers.get("Retry-After"), self._clock.wall_ms())
                    raise errors.from_status(status, code, wait_s)
                if answer.body and errors.json_object(answer.body) is None:
                    raise OutcomeUnknownError(http_status=status)
            except _SendCancelledError:
                was_cancelled = True
                raise
            finally:
                if not was_cancelled:
                    self._record(method, status, code, request_id, self._clock.monotonic_s() - started_s)
                    if self._observer is not None:
                        self._observer(RequestResult(status, code, wait_s, started_s))
        return Response(status, answer.body.decode(), answer.headers)

    async def close(self) -> None:
        """Closes the connections. Requests under way break with `OutcomeUnknownError`."""
        if self._session is not None:
            await self._session.close()

    def _rewrite(self, uri: str) -> str:
        """The URI under the configured base; path and query stay.

        Raises:
            OutcomeUnknownError: the library was led elsewhere, by a paging link for instance; credentials stay here.
        """
        parts = urlsplit(uri)
        if parts.hostname != _API_HOST:
            raise OutcomeUnknownError
        return f"{self._api_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    async def _send(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None,
        data: Mapping[str, object] | None,
        headers: dict[str, str],
    ) -> "HttpAnswer":
        try:
            async with self._open_session().request(
                method.upper(),
                url,
                params={name: str(value) for name, value in params.items()} if params else None,
                data=urlencode(data, doseq=True).encode() if data else None,
                headers=headers,
                allow_redirects=False,
            ) as response:
                return HttpAnswer(response.status, response.headers, await _body(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise ProviderUnreachableError from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The error's text quotes the URL: only its type is carried on, by the log.
            log.debug("rest_failed", effect=_label.get(), method=method, error_type=type(error).__name__)
            raise OutcomeUnknownError from None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._requests_max, keepalive_timeout=KEEPALIVE_TIMEOUT_S),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                request_class=_GuardedRequest,
                trust_env=False,
                raise_for_status=False,
            )
        return self._session

    def _record(self, method: str, status: int, code: int, request_id: str, duration_s: float) -> None:
        kind = _label.get()
        self._metrics.rest_requests.labels(kind, str(status)).observe(duration_s)
        expected_codes = _expected_codes.get()
        is_expected = expected_codes is not None and (code in expected_codes or errors.is_gone_error(status, code))
        if not (200 <= status < 300 or is_expected):
            self._metrics.rest_failures.labels(self._failure_of(status, code)).inc()
        log.debug(
            "rest_completed",
            effect=kind,
            method=method,
            status=status,
            code=code,
            request_id=request_id,
            duration_ms=round(duration_s * 1000, 1),
        )

    def _failure_of(self, status: int, code: int) -> str:
        """The label of a failure, of which there may be only so many: whatever answers there may make codes up."""
        label = str(code) if code in _TWILIO_CODES else f"http-{status}" if status else "no-answer"
        if label not in self._failures and len(self._failures) >= FAILURES_MAX:
            return "other"
        self._failures.add(label)
        return label


class HttpAnswer:
    """What came back, read to its end."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            raise aiohttp.ClientPayloadError("body too long")
    return bytes(body)


def _with_auth(headers: Mapping[str, str] | None, auth: tuple[str, str] | None) -> dict[str, str]:
    """The headers with basic authentication, made here because aiohttp's own helper is on its way out."""
    result = dict(headers or {})
    if auth is not None:
        result["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
    return result


def http_client(settings: ServiceSettings, *, clock: Clock, metrics: Metrics) -> PooledHttpClient:
    """The HTTP client for `TWILIO_API_URL`. Whoever makes it closes it."""
    return PooledHttpClient(api_url=settings.api_url, clock=clock, metrics=metrics)


def rest_client(settings: ServiceSettings, http: PooledHttpClient, *, by_token: bool = False) -> Client:
    """Twilio's client over our HTTP client, with the API key where one is set, else with the account's token.

    Args:
        settings: Of the process.
        http: Closed by the caller.
        by_token: With the token in any case: for what an API key may not ask.
    """
    if settings.api_key and settings.api_secret and not by_token:
        username, password = settings.api_key, settings.api_secret.get_secret_value()
    else:
        username, password = settings.account_sid, settings.auth_token.get_secret_value()
    return Client(
        username=username,
        password=password,
        account_sid=settings.account_sid,
        http_client=http,
        # An empty mapping would make the library read the process's environment: TWILIO_EDGE and TWILIO_REGION would
        # then silently change the host.
        environment={"TWILIO_EDGE": "", "TWILIO_REGION": ""},
    )
