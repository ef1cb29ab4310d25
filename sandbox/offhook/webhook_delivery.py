"""Webhook delivery: signed, retried, with faults and a URL's overrides.

Source: Twilio docs, Webhooks security; Webhooks connection overrides; Sign webhooks with shared keys.
"""

import asyncio
import base64
import hmac
import socket
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, urldefrag, urlencode
from uuid import NAMESPACE_URL, uuid5

import aiohttp
from yarl import URL  # noqa: TID251  # your own program's URLs

from offhook.clock import monotonic_s
from offhook.cookies import Cookies
from offhook.faults import CallbackPlan
from offhook.internet import is_on_internet, local_copy
from offhook.model.formats import resolve
from offhook.model.messages import (
    FAILURES,
    NOT_MODELED,
    WARNINGS,
    CallbackRequest,
    DebuggerEntry,
    FetchRequest,
    Level,
    Params,
    TwimlFetched,
)
from offhook.real_time import RealTimeModel
from offhook.request_log import RESPONSE_BYTES_MAX, DeliveryAttempt, DeliveryEntry
from offhook.webhook_rules import CONNECTION_MS, NO_SETTING, WebhookSetting

RETRY_WORDS = frozenset({"4xx", "5xx", "ct", "rt", "all"})


@dataclass(frozen=True, slots=True)
class Target:
    """A URL without its fragment, and the fragment's connection overrides."""

    url: str
    connect_ms: int = 5_000
    read_ms: int = 15_000
    total_ms: int = 15_000
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})  #: `4xx`, `5xx`, `ct` (connect), `rt` (read), or `all`.
    fragment_error: str = ""
    setting: WebhookSetting = NO_SETTING  #: Of the rule that applies to the URL.

    def under(self, setting: WebhookSetting) -> "Target":
        """Return it with a rule's setting, whose connection part wins."""
        if setting.retries is None:
            return replace(self, setting=setting)
        limits_ms = (CONNECTION_MS, CONNECTION_MS, CONNECTION_MS)
        return Target(self.url, *limits_ms, setting.retries, frozenset({"all"}), setting=setting)

    def is_retried(self, failure: str) -> bool:
        """Whether to retry a failure."""
        return failure in self.retry_on or "all" in self.retry_on


_RANGES = {
    "ct": ("connect_ms", 100, 10_000),
    "rt": ("read_ms", 100, 15_000),
    "tt": ("total_ms", 100, 15_000),
    "rc": ("retries", 0, 5),
}


def parse_target(url: str) -> Target:
    """Split a webhook's URL into address and overrides, which are clamped."""
    address, fragment = urldefrag(url)
    target = Target(address)
    for pair in filter(None, fragment.split("&")):
        name, _, text = pair.partition("=")
        if name == "rp" and RETRY_WORDS.issuperset(text.split(",")):  # the retry policy: which failures to retry
            target = replace(target, retry_on=frozenset(text.split(",")))
        elif name == "rp":
            target = replace(target, fragment_error=f"Invalid retry policy: {text}", retry_on=frozenset({"ct"}))
        elif name in _RANGES and text.isdecimal():
            field, least, most = _RANGES[name]
            target = replace(target, **{field: min(max(int(text), least), most)})  # type: ignore[arg-type]
    return target


_quote = lru_cache(maxsize=2_000)(quote_plus)  #: Names and most values are the same in each form.

BODY_MAX = 256 * 1024  #: Bytes read of a response; above TwiML's limit, to detect oversized documents.
REDIRECTS_MAX = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """A webhook's response, or why there is none."""

    status: int
    content_type: str = ""
    body: bytes = b""
    url: str = ""  #: The final one, after redirects.
    error_code: int = 0  #: Twilio's code of the failure; 0 for a response.
    failure: str = ""  #: Its kind, in the connection overrides' terms.


async def _read_response(response: aiohttp.ClientResponse, final_url: str) -> WebhookResponse:
    body = await response.content.read(BODY_MAX)
    while not response.content.at_eof() and len(body) < BODY_MAX:
        body += await response.content.read(BODY_MAX)
    failure = {4: "4xx", 5: "5xx"}.get(response.status // 100, "")
    content_type = response.headers.get("Content-Type", "")
    return WebhookResponse(response.status, content_type, body, final_url, 11200 if failure else 0, failure)


def _sorted(url: str) -> str:
    """Return the URL with its query sorted by name, otherwise unchanged."""
    base, mark, query = url.partition("?")
    return base + mark + "&".join(sorted(query.split("&"), key=lambda pair: pair.partition("=")[0]))


#: Since aiohttp 3.10; before, the words of a time-out say if it was that of the connection.
_NAME_ERRORS: tuple[type[Exception], ...] = (getattr(aiohttp, "ClientConnectorDNSError", socket.gaierror),)
_CONNECTION_TIMEOUT = "Connection timeout"


def failure_of(error: Exception) -> tuple[int, str]:
    """Return Twilio's code, and the failure in the overrides' terms."""
    if isinstance(error, aiohttp.InvalidURL):
        return 11100, "url"
    if isinstance(error, _NAME_ERRORS) or isinstance(getattr(error, "os_error", None), socket.gaierror):
        return 11210, "ct"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return 11220, "ct"
    is_late = isinstance(error, aiohttp.ServerTimeoutError) and str(error).startswith(_CONNECTION_TIMEOUT)
    return (11205, "ct") if is_late or isinstance(error, aiohttp.ClientConnectorError) else (11200, "rt")


def signature_of(key: str, url: str, form: Params, algorithm: str) -> str:
    """Sign a request, as Twilio does: each pair of the form counts once."""
    signed = url + "".join(name + value for name, value in sorted(set(form)))
    digest = hmac.digest(key.encode(), signed.encode(), algorithm.removeprefix("HMAC_").lower())
    return base64.b64encode(digest).decode()


ORDER_WAIT_S = 5.0  #: Real seconds for which a callback waits until the one before it is on its way.
#: Of the callback that this task sends: when the one before it is on its way, and when it is itself.
_TURN: ContextVar[tuple[asyncio.Event | None, asyncio.Event] | None] = ContextVar("turn", default=None)


async def _on_connected(*_given: object) -> None:
    """Wait for its turn with a connection, which takes time of its own."""
    before, _ = _TURN.get() or (None, None)
    if before is not None and not before.is_set():  # which would take turns of the loop
        with suppress(TimeoutError):
            await asyncio.wait_for(before.wait(), ORDER_WAIT_S)


async def _on_request_sent(*_given: object) -> None:
    if (turn := _TURN.get()) is not None:
        turn[1].set()


HELD_BACK_S = 0.5  #: Real seconds after which a held-back callback is sent, even if no other follows.


class WebhookSender:
    """Sends requests to webhooks: those under way, and those held back."""

    def __init__(self, sandbox: RealTimeModel) -> None:
        self._sandbox = sandbox
        self.tasks: set[asyncio.Task[None]] = set()
        self._held_back: list[tuple[CallbackRequest, DeliveryEntry]] = []
        self._newest: dict[str, asyncio.Event] = {}  #: Whether the newest one of a call or conference is on its way.
        self._session: aiohttp.ClientSession | None = None
        self._sent_count = 0
        self._cookies = Cookies()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress, delayed, or held back."""
        return not self.tasks and not self._held_back

    def open(self) -> None:
        """Open the HTTP client."""
        connector, tracing = aiohttp.TCPConnector(limit=0), aiohttp.TraceConfig()
        tracing.on_connection_create_end.append(_on_connected)
        tracing.on_connection_reuseconn.append(_on_connected)
        tracing.on_request_headers_sent.append(_on_request_sent)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[tracing]
        )

    def clear(self) -> None:
        """Drop the requests held back or in progress."""
        self._held_back.clear()
        self._cookies.clear()
        for task in self.tasks:
            task.cancel()

    async def close(self) -> None:
        """Wait until the dropped requests have ended, and close the HTTP client."""
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def fetch(self, request: FetchRequest) -> None:
        """Request TwiML in the background, and pass the result to the model."""
        self._spawn(self._fetch(request, self._log_delivery(request)))

    async def _fetch(self, request: FetchRequest, entry: DeliveryEntry) -> None:
        plan = self._sandbox.faults.plan_fetch(request)
        if plan.delay_s:
            await asyncio.sleep(plan.delay_s)
        if not plan.fails:
            answer = await self._send(request.url, entry)
        else:
            entry.fault = "failed"
            error_code = 11200 if plan.status else 11205  # Twilio's: a wrong response, or no connection
            answer = WebhookResponse(plan.status, error_code=error_code)
            entry.attempts.append(DeliveryAttempt(self._sandbox.now_s, plan.status, "", 0.0))
        answered = answer.status, answer.content_type, answer.body, answer.url, answer.error_code
        self._sandbox.apply(TwimlFetched(request.fetch_id, *answered))

    def send_callback(self, request: CallbackRequest) -> None:
        """Send a callback in the background, subject to faults."""
        entry = self._log_delivery(request)
        plan = self._sandbox.faults.plan_callback(request)
        entry.fault = plan.fault
        if plan.is_held_back:
            self._held_back.append((request, entry))
            asyncio.get_running_loop().call_later(HELD_BACK_S, self._release_held_back)
        elif plan.copies:
            self.deliver(request, entry, plan)

    def _release_held_back(self) -> None:
        held, self._held_back = self._held_back, []
        for request, entry in held:
            self.deliver(request, entry, CallbackPlan())

    def deliver(self, request: CallbackRequest, entry: DeliveryEntry, plan: CallbackPlan) -> None:
        """Send a callback's copies in the background, one after another.

        Those of one call or conference arrive in order, except for delayed ones.
        """
        send = self._send_copies if plan.delay_s else self._send_in_order
        self._spawn(send(request, entry, plan))

    async def _send_in_order(self, request: CallbackRequest, entry: DeliveryEntry, plan: CallbackPlan) -> None:
        """Send when the one before it is on its way."""
        before, sent = self._newest.get(request.owner_sid), asyncio.Event()
        self._newest[request.owner_sid] = sent
        try:
            _TURN.set((before, sent))
            await self._send_copies(request, entry, plan)
        finally:
            sent.set()
            if self._newest.get(request.owner_sid) is sent:
                del self._newest[request.owner_sid]

    async def _send_copies(self, request: CallbackRequest, entry: DeliveryEntry, plan: CallbackPlan) -> None:
        if plan.delay_s:
            await asyncio.sleep(plan.delay_s)
        for _ in range(plan.copies):
            answer = await self._send(request.url, entry)
            if answer.failure:  # Twilio reports this in its debugger only
                # Twilio's codes: 16010 for conferences, 15003 for a call's wrong response.
                code = 16010 if request.kind == "conference" else 15003 if answer.status else answer.error_code
                why = f"status {answer.status}" if answer.status else FAILURES.get(answer.error_code, "no answer")
                self._report(code, f"Status callback failed: {why}", request.call_sid, request.url)
        if not plan.is_held_back:
            self._release_held_back()

    async def _send(self, url: str, entry: DeliveryEntry) -> WebhookResponse:
        target = parse_target(url)
        if target.fragment_error:  # reported, but sent with the default
            self._report(11243, target.fragment_error, entry.call_sid, url)
        return await self.send(target, entry)

    def _report(self, code: int, message: str, call_sid: str, url: str) -> None:
        level: Level = "warning" if code in WARNINGS else "error"
        self._sandbox.perform(DebuggerEntry(code, message, call_sid, url, level, self._sandbox.now_s))

    async def send(self, target: Target, entry: DeliveryEntry) -> WebhookResponse:
        """Send, with the URL's retries and time limit; record each attempt.

        All attempts have the same idempotency token. Returns the last one's response, or its failure.
        """
        self._sent_count += 1
        entry.token = entry.token or str(uuid5(NAMESPACE_URL, f"{self._sent_count}/{target.url}"))
        target = target.under(self._sandbox.webhook_rules.setting_for(target.url, self._sent_count))
        until_s = asyncio.get_running_loop().time() + target.total_ms / 1000
        answer = WebhookResponse(0, error_code=11205, failure="ct")  # no connection
        for _ in range(1 + target.retries):
            left_s = until_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            answer = await self.attempt(target, entry, left_s)
            if not answer.failure or not target.is_retried(answer.failure):
                break
        return answer

    async def attempt(self, target: Target, entry: DeliveryEntry, left_s: float) -> WebhookResponse:
        """Send once, and record it; without an answer, return its failure."""
        began, at_s = monotonic_s(), self._sandbox.now_s
        try:
            with self._sandbox.pace.request():
                async with asyncio.timeout(left_s):
                    answer = await self._request(target, entry)
        except (aiohttp.ClientError, OSError) as error:
            code, failure = failure_of(error)
            answer = WebhookResponse(0, error_code=code, failure=failure)
        entry.attempts.append(DeliveryAttempt(at_s, answer.status, answer.failure, (monotonic_s() - began) * 1000))
        entry.answer_type = answer.content_type
        entry.answer = answer.body[:RESPONSE_BYTES_MAX].decode("utf-8", "replace")
        return answer

    async def _request(self, target: Target, entry: DeliveryEntry) -> WebhookResponse:
        connect_s, read_s = target.connect_ms / 1000, target.read_ms / 1000
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=read_s)
        if self._session is None:
            raise RuntimeError("the sandbox was not started")
        # By default exactly as signed.
        url = _sorted(target.url) if self._sandbox.model.behavior.sorted_queries else target.url
        method, headers = entry.method, self._sign(target, entry)
        body = urlencode(entry.params, quote_via=_quote).encode() if method == "POST" else None
        maps, count = self._sandbox.url_map, 0
        while True:
            address = maps.place(url)
            if (answer := self._without_internet(address, entry)) is not None:
                return replace(answer, url=url if count else "")
            try:
                place = URL(address, encoded=count == 0)  # a redirect's URL is quoted where it has to be
            except ValueError:
                raise aiohttp.InvalidURL(url) from None
            sent = headers | maps.headers(url) | self._cookies.header(entry.params, url, self._sandbox.now_s)
            # Redirects are followed here, since they name public URLs, too.
            async with self._session.request(
                method, place, data=body, headers=sent, timeout=timeout, allow_redirects=False
            ) as response:
                self._cookies.keep(entry.params, url, response.cookies, self._sandbox.now_s)
                location = response.headers.get("Location") if response.status in _REDIRECTS else None
                if location is None:
                    return await _read_response(response, url if count else "")
                count += 1
                if count >= REDIRECTS_MAX:
                    raise aiohttp.TooManyRedirects(response.request_info, (response,))
                if response.status == 303 or (response.status in {301, 302} and method == "POST"):
                    method, body = "GET", None
            url = resolve(url, location)

    def _without_internet(self, address: str, entry: DeliveryEntry) -> WebhookResponse | None:
        """Return what is answered without a request; None where one is sent."""
        if self._sandbox.allow_internet or not is_on_internet(address):
            return None
        if (found := local_copy(address)) is not None:
            return WebhookResponse(200, *found)
        message = "the sandbox requests nothing from the internet: use --allow-internet, or --map for your own URLs"
        now_s = self._sandbox.now_s
        self._sandbox.perform(DebuggerEntry(NOT_MODELED, message, entry.call_sid, address, "warning", now_s))
        return WebhookResponse(0, error_code=11205, failure="url")

    def _sign(self, target: Target, entry: DeliveryEntry) -> dict[str, str]:
        form, setting = entry.params if entry.method == "POST" else (), target.setting
        key, algorithm = self._sandbox.auth_token, "HMAC_SHA1"
        if setting.key_id:
            key, algorithm = setting.secret, setting.algorithm
        entry.signature = signature_of(key, target.url, form, algorithm)
        entry.signed_by = f"key={setting.key_id},algorithm={algorithm}" if setting.key_id else ""
        headers = {"X-Twilio-Webhooks-Signature-Settings": entry.signed_by} if entry.signed_by else {}
        headers |= {
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "X-Home-Region": "us1",
            "I-Twilio-Idempotency-Token": entry.token,
            "X-Twilio-Signature": entry.signature,
        }
        if entry.method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        return headers

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._sandbox.notify()
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "a delivery failed", "exception": error})

    def _log_delivery(self, request: FetchRequest | CallbackRequest) -> DeliveryEntry:
        kind, event = ("voice", request.purpose) if isinstance(request, FetchRequest) else (request.kind, request.event)
        now_s = self._sandbox.now_s
        entry = DeliveryEntry(now_s, kind, event, request.url, request.method, request.params, request.call_sid)
        self._sandbox.request_log.deliveries.append(entry)
        return entry
