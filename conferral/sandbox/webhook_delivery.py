"""Webhook delivery (Twilio docs: Webhooks security, connection overrides)."""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5

import aiohttp
from twilio.request_validator import RequestValidator
from yarl import URL

from conferral.sandbox.connection_overrides import ConnectionOverrides, Target
from conferral.sandbox.model.inputs import Params
from conferral.sandbox.request_log import RESPONSE_BYTES_MAX, DeliveryAttempt, DeliveryEntry

BODY_MAX = 256 * 1024  #: Bytes read of a response; above TwiML's limit, to detect oversized documents.
REDIRECTS_MAX = 10


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """A webhook's response, or why there is none."""

    status: int
    content_type: str = ""
    body: bytes = b""
    url: str = ""  #: The final one, after redirects.
    error_code: int = 0  #: Twilio's code of the failure; 0 for a response.
    failure: str = ""  #: Its kind, in the connection overrides' terms.


class WebhookDelivery:
    """Delivers requests for one account; the caller owns the session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        auth_token: str,
        now_s: Callable[[], float],
        *,
        sorts_queries: bool = False,
    ) -> None:
        self._session = session
        self._sorts_queries = sorts_queries
        self._validator = RequestValidator(auth_token)
        self._now_s = now_s
        self._sent_count = 0

    async def send(self, target: Target, entry: DeliveryEntry) -> WebhookResponse:
        """Send until a response needs no retry; record attempts in the entry."""
        self._sent_count += 1
        entry.token = entry.token or str(uuid5(NAMESPACE_URL, f"{self._sent_count}/{target.url}"))
        overrides = target.overrides
        started = time.monotonic()
        answer = WebhookResponse(0, error_code=11205, failure="ct")
        for _ in range(1 + overrides.retries):
            left_s = overrides.total_ms / 1000 - (time.monotonic() - started)
            if left_s <= 0:
                break
            answer = await self._attempt(target.url, entry, overrides, left_s)
            if not answer.failure or not overrides.is_retried(answer.failure):
                break
        return answer

    async def _attempt(
        self, url: str, entry: DeliveryEntry, overrides: ConnectionOverrides, left_s: float
    ) -> WebhookResponse:
        began, at_s = time.monotonic(), self._now_s()
        try:
            async with asyncio.timeout(left_s):
                answer = await self._request(url, entry, overrides)
        except TimeoutError as error:
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            answer = WebhookResponse(0, error_code=11205 if connecting else 11200, failure="ct" if connecting else "rt")
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            answer = _response_for(error)
        entry.attempts.append(DeliveryAttempt(at_s, answer.status, answer.failure, (time.monotonic() - began) * 1000))
        entry.answer_type = answer.content_type
        entry.answer = answer.body[:RESPONSE_BYTES_MAX].decode("utf-8", "replace")
        return answer

    async def _request(self, url: str, entry: DeliveryEntry, overrides: ConnectionOverrides) -> WebhookResponse:
        connect_s, read_s = overrides.connect_ms / 1000, overrides.read_ms / 1000
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=read_s)
        try:
            parsed = URL(_sorted(url) if self._sorts_queries else url, encoded=True)  # else exactly as signed
        except ValueError:
            raise aiohttp.InvalidURL(url) from None
        async with self._session.request(
            entry.method,
            parsed,
            data=urlencode(entry.params).encode() if entry.method == "POST" else None,
            headers=self._sign(url, entry),
            timeout=timeout,
            max_redirects=REDIRECTS_MAX,
        ) as response:
            body = await response.content.read(BODY_MAX)
            while not response.content.at_eof() and len(body) < BODY_MAX:
                body += await response.content.read(BODY_MAX)
            failure = {4: "4xx", 5: "5xx"}.get(response.status // 100, "")
            return WebhookResponse(
                response.status,
                response.headers.get("Content-Type", ""),
                body,
                str(response.url) if response.history else "",
                11200 if failure else 0,
                failure,
            )

    def _sign(self, url: str, entry: DeliveryEntry) -> dict[str, str]:
        entry.signature = self.signature(url, entry.params if entry.method == "POST" else ())
        headers = {
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "X-Home-Region": "us1",
            "I-Twilio-Idempotency-Token": entry.token,
            "X-Twilio-Signature": entry.signature,
        }
        if entry.method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        return headers

    def signature(self, url: str, params: Params) -> str:
        """Return the signature for this URL (without fragment) and form."""
        return str(self._validator.compute_signature(url, dict(params)))


def _sorted(url: str) -> str:
    """Return the URL with its query sorted by name, otherwise unchanged."""
    base, mark, query = url.partition("?")
    return base + mark + "&".join(sorted(query.split("&"), key=lambda pair: pair.partition("=")[0]))


def _response_for(error: Exception) -> WebhookResponse:
    if isinstance(error, aiohttp.InvalidURL):
        return WebhookResponse(0, error_code=11100, failure="url")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return WebhookResponse(0, error_code=11210, failure="ct")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return WebhookResponse(0, error_code=11220, failure="ct")
    if isinstance(error, aiohttp.ClientConnectorError):
        return WebhookResponse(0, error_code=11205, failure="ct")
    return WebhookResponse(0, error_code=11200, failure="rt")
