"""Send the model's requests to webhooks, with injected faults."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import aiohttp

from conferral.sandbox.connection_overrides import parse_target
from conferral.sandbox.faults import CallbackPlan
from conferral.sandbox.model.inputs import TwimlFailed, TwimlFetched
from conferral.sandbox.model.outputs import CallbackRequest, DebuggerEntry, FetchRequest
from conferral.sandbox.request_log import DeliveryAttempt, DeliveryEntry
from conferral.sandbox.webhook_delivery import WebhookDelivery, WebhookResponse

if TYPE_CHECKING:
    from conferral.sandbox.runtime import SandboxRuntime

HELD_BACK_S = 0.5  #: Real seconds after which a held-back callback is sent, even if no other follows.


class Dispatcher:
    """The requests under way, and those held back."""

    def __init__(self, sandbox: "SandboxRuntime") -> None:
        self._sandbox = sandbox
        self.tasks: set[asyncio.Task[None]] = set()
        self._held_back: list[tuple[CallbackRequest, DeliveryEntry]] = []
        self._session: aiohttp.ClientSession | None = None
        self.webhooks: WebhookDelivery | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress, delayed, or held back."""
        return not self.tasks and not self._held_back

    def open(self) -> None:
        """Open the HTTP client."""
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        sorts_queries = self._sandbox.model.behavior.sorted_queries
        token, now = self._sandbox.auth_token, lambda: self._sandbox.now_s
        self.webhooks = WebhookDelivery(self._session, token, now, sorts_queries=sorts_queries)

    def clear(self) -> None:
        """Drop the requests held back or in progress."""
        self._held_back.clear()
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
        if answer.status:
            fetched = TwimlFetched(request.fetch_id, answer.status, answer.content_type, answer.body, answer.url)
            self._sandbox.apply(fetched)
        else:
            self._sandbox.apply(TwimlFailed(request.fetch_id, answer.error_code))

    def send_callback(self, request: CallbackRequest) -> None:
        """Send a callback in the background, subject to faults."""
        entry = self._log_delivery(request)
        plan = self._sandbox.faults.plan_callback(request)
        entry.fault = plan.fault
        if plan.is_held_back:
            self._held_back.append((request, entry))
            asyncio.get_running_loop().call_later(HELD_BACK_S, self._release_held_back)
        elif plan.copies:
            self._spawn(self._deliver(request, entry, plan))

    def _release_held_back(self) -> None:
        held, self._held_back = self._held_back, []
        for request, entry in held:
            self._spawn(self._deliver(request, entry, CallbackPlan()))

    async def _deliver(self, request: CallbackRequest, entry: DeliveryEntry, plan: CallbackPlan) -> None:
        if plan.delay_s:
            await asyncio.sleep(plan.delay_s)
        for _ in range(plan.copies):
            answer = await self._send(request.url, entry)
            if answer.failure:  # Twilio reports this in its debugger only
                # Twilio's codes: 16010 for conferences, 15003 for a call's wrong response.
                code = 16010 if request.kind == "conference" else 15003 if answer.status else answer.error_code
                self._sandbox.perform(DebuggerEntry(code, "Status callback failed", request.call_sid, request.url))
        if not plan.is_held_back:
            self._release_held_back()

    def repeat(self, copy: DeliveryEntry, after_s: float, times: int) -> None:
        """Log a copy of a delivery, and send it after `after_s` real seconds."""
        self._sandbox.request_log.deliveries.append(copy)
        self._spawn(self._repeat(copy, after_s, times))
        self._sandbox.notify()

    async def _repeat(self, entry: DeliveryEntry, after_s: float, times: int) -> None:
        await asyncio.sleep(after_s)
        for _ in range(times):
            await self._send(entry.url, entry)

    async def _send(self, url: str, entry: DeliveryEntry) -> WebhookResponse:
        if self.webhooks is None:
            raise RuntimeError("the sandbox was not started")
        target = parse_target(url)
        if target.fragment_error:  # reported, but sent with the default
            self._sandbox.perform(DebuggerEntry(11243, target.fragment_error, entry.call_sid, url))
        return await self.webhooks.send(target, entry)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._on_task_done)

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
