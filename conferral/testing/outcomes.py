"""Outcomes of a test: verified, and on request passed on to your app."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from standardwebhooks import Webhook, WebhookVerificationError

#: Of a request with an outcome: what your app verifies. Source: Standard Webhooks, "Webhook headers".
_HEADERS = ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature")
#: How long your app may take, seconds; Conferral waits for 10.
_APP_S = 9.0


@dataclass(frozen=True, slots=True)
class DeliveredOutcome:
    """An outcome, as it was delivered."""

    id: str  #: The same if it is sent again.
    type: str  #: Kind and result, such as `transfer.completed`.
    data: Mapping[str, Any] = field(repr=False)  #: The entry's fields.


class DeliveredOutcomes:
    """The outcomes delivered so far, each once and verified, oldest first."""

    def __init__(self, secret: str) -> None:
        self.secret = secret  #: Signs them, as `CONFERRAL_OUTCOMES_SECRET`: your app needs it.
        self._delivered: list[DeliveredOutcome] = []
        self._has_changed = threading.Condition()
        #: How many `next` has passed.
        self._passed = 0
        self._app_url = ""
        #: What your app answered last, if that was no success.
        self._failure = ""

    def __iter__(self) -> Iterator[DeliveredOutcome]:
        return iter([*self._delivered])

    def __getitem__(self, place: int) -> DeliveredOutcome:
        return self._delivered[place]

    def __len__(self) -> int:
        return len(self._delivered)

    def deliver_to(self, url: str) -> None:
        """Send them to your app from now on; what it takes counts as delivered.

        Each request is the one that Conferral sent; after another answer than 2xx, it is repeated.
        """
        if urlsplit(url).scheme != "http":
            raise ValueError(f"{url!r} is no http:// URL, such as conferral_stack.app_url + '/outcomes'")
        self._app_url = url

    def next(self, type_: str = "", timeout_s: float = 10.0) -> DeliveredOutcome:
        """Wait for the next one of a type or kind; return it.

        It comes after the one that the last `next` returned. Raise TimeoutError after `timeout_s` real seconds.
        """
        until_s = time.monotonic() + timeout_s
        with self._has_changed:
            while (found := self._take(type_)) is None:
                if not self._has_changed.wait(until_s - time.monotonic()):
                    raise TimeoutError(self._story(type_, timeout_s))
            return found

    async def anext(self, type_: str = "", timeout_s: float = 10.0) -> DeliveredOutcome:
        """Wait in the same way, in a coroutine."""
        return await asyncio.to_thread(self.next, type_, timeout_s)

    def _take(self, type_: str) -> DeliveredOutcome | None:
        for number, one in enumerate(self._delivered[self._passed :], self._passed + 1):
            if not type_ or f"{one.type}.".startswith(f"{type_}."):
                self._passed = number
                return one
        return None

    def _story(self, type_: str, timeout_s: float) -> str:
        delivered = ", ".join(one.type for one in self._delivered) or "none"
        failure = f"; {self._failure}" if self._failure else ""
        return f"no outcome {type_ or 'more'} within {timeout_s:g} s; delivered: {delivered}{failure}"

    def receive(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request with an outcome (WSGI)."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        names = {name: name.upper().replace("-", "_") for name in _HEADERS}
        headers = {name: environ.get(key, environ.get(f"HTTP_{key}", "")) for name, key in names.items()}
        try:
            message = Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            start_response("401 Unauthorized", [])
            return []
        status = self._pass_on(body, headers) if self._app_url else 204
        if 200 <= status < 300:
            self._keep(DeliveredOutcome(headers["webhook-id"], message["type"], message["data"]))
        start_response(f"{status} -", [])
        return []

    def _keep(self, outcome: DeliveredOutcome) -> None:
        with self._has_changed:
            if all(one.id != outcome.id for one in self._delivered):  # else it was sent again
                self._delivered.append(outcome)
            self._has_changed.notify_all()

    def _pass_on(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Return your app's status for an outcome; 502 without."""
        url = urlsplit(self._app_url)
        connection = HTTPConnection(url.netloc, timeout=_APP_S)
        try:
            connection.request("POST", url._replace(scheme="", netloc="").geturl() or "/", body, dict(headers))
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            self._failure = f"{self._app_url} didn't answer: {error!r}"
            return 502
        finally:
            connection.close()
        self._failure = "" if 200 <= status < 300 else f"{self._app_url} answered {status}"
        return status
