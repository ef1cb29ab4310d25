"""Twilio and the webhooks in one process without a socket: REST requests reach the model, its requests our handlers.

Nothing in here waits: a coroutine that only uses these can be run to its end with `at_once`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import msgspec

from conferral.runtime.clock import Clock, SystemClock
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.storage.webhook_store.store import ReplayedCallError, WebhookStore
from conferral.telephony.callback_events import MalformedCallbackError
from conferral.telephony.callback_urls import CallbackUrlError
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.http_client import HttpResponse, PooledHttpClient
from conferral.telephony.request_context import check_send_allowed
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.webhooks.app import signed_routes
from conferral.webhooks.authentication import parse_form
from conferral.webhooks.responses import Dependencies, RejectedError
from offhook.model.messages import Params, RestAnswer, RestRequest

_T = TypeVar("_T")
_VERSION = "/2010-04-01/Accounts/"


class ExchangeHttp(PooledHttpClient):
    """Our HTTP client for Twilio, whose requests are answered in this process: all but the socket is the real one."""

    def __init__(
        self,
        answer: Callable[[RestRequest], Awaitable[RestAnswer]],
        settings: ServiceSettings,
        clock: Clock,
        metrics: Metrics,
        *,
        change: Callable[[HttpResponse], HttpResponse] = lambda answer: answer,
        now_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Binds who answers.

        Args:
            answer: Answers a request, or raises a `ProviderError` as a broken connection would.
            settings: Of the process.
            clock: For durations.
            metrics: Where is counted.
            change: What becomes of an answer on its way.
            now_s: Twilio's clock, seconds since 1970.
        """
        super().__init__(api_url=settings.api_url, clock=clock, metrics=metrics)
        self._answer = answer
        self._change = change
        self._now_s = now_s

    async def exchange(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None,
        data: Mapping[str, object] | None,
        headers: dict[str, str],
    ) -> HttpResponse:
        check_send_allowed()
        parts = urlsplit(url)
        rest = parts.path.partition(_VERSION)[2].partition("/")[2]
        path = "/" + "/".join(unquote(part) for part in rest.split("/"))
        sent = parts.query + "&" + urlencode(data or params or {}, doseq=True)
        answer = await self._answer(RestRequest(method.upper(), path, tuple(parse_qsl(sent, keep_blank_values=True))))
        headers = {"Date": formatdate(int(self._now_s()), usegmt=True)}
        if answer.status == 429:
            headers["Retry-After"] = "1"
        body = b"" if answer.body is None else msgspec.json.encode(answer.body)
        return self._change(HttpResponse(answer.status, headers, body))

    async def close(self) -> None:
        """There is nothing to close."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the webhooks answered."""

    status: int
    content_type: str
    body: bytes


class Doors:
    """The webhooks' own handlers, asked without a socket or a signature; the check of those has tests of its own."""

    def __init__(
        self,
        settings: ServiceSettings,
        webhook_store: WebhookStore,
        child_lookup: TwilioQueries,
        metrics: Metrics,
        directory: DirectoryFile | None = None,
    ) -> None:
        """Binds what the handlers need; see `webhooks.app.make_app`."""
        given = directory or DirectoryFile(settings)
        dependencies = Dependencies.of(settings, webhook_store, child_lookup, metrics, given, SystemClock())
        self._routes = signed_routes(dependencies)
        self._prefix = urlsplit(settings.public_url).path.rstrip("/")

    async def ask(self, url: str, params: Params) -> Answered:
        """Asks as Twilio does: form parameters besides the URL's query. A 503 if the callback could not be stored."""
        parts = urlsplit(url)
        action = self._routes[unquote(parts.path).removeprefix(self._prefix)]
        try:
            response = await action(dict(parse_form(urlencode(params).encode())), parts.query)
        except RejectedError as error:
            return Answered(error.status, "", b"")
        except (CallbackUrlError, MalformedCallbackError):
            return Answered(400, "", b"")
        except ReplayedCallError:
            return Answered(200, "text/xml", b"<Response><Hangup/></Response>")
        body = response.body
        assert body is None or isinstance(body, bytes)
        return Answered(response.status, response.content_type, body or b"")
