"""The sandbox runtime: runs the model in real time, with clock, phones, deliveries, faults, and waiting."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import aiohttp
import structlog

from conferral.sandbox.call_handle import CallHandle
from conferral.sandbox.connection_overrides import parse_target
from conferral.sandbox.faults import CallbackPlan, Faults
from conferral.sandbox.model import (
    AskForKeys,
    Behavior,
    CallbackRequest,
    DebuggerEntry,
    FetchRequest,
    InboundCall,
    Input,
    Number,
    Output,
    Params,
    PhoneAnswers,
    PhoneRings,
    Recording,
    ReleasePhone,
    Result,
    RingPhone,
    TimePassed,
    TwilioModel,
    TwimlFailed,
    TwimlFetched,
    UnknownCallback,
    UnknownNumberError,
)
from conferral.sandbox.phones import Phone, PhoneScript, phone_address
from conferral.sandbox.request_log import DeliveryAttempt, DeliveryEntry, DialEntry, RequestLog
from conferral.sandbox.rest_hooks import RestHookEvent
from conferral.sandbox.retention import Retention, RetentionEnforcer
from conferral.sandbox.webhook_delivery import WebhookDelivery, WebhookResponse

log = structlog.get_logger()

HELD_BACK_S = 0.5
"""Real seconds after which a held-back callback is sent although no other followed."""
ACCOUNT_SID = "AC" + "5a" * 16
AUTH_TOKEN = "sandbox-auth-token"  # noqa: S105  for an account that exists only here


class SandboxRuntime:
    """Performs the model's outputs: rings phones, delivers requests, and notifies waiters of changes.

    Args:
        account_sid: The account; also the user name of Basic auth.
        auth_token: Its token; the key of the signatures.
        port: Port to listen on; 0 picks a free one.
        host: Host to listen on; only loopback is allowed, because the control routes are unauthenticated.
        api_key: SID and secret of an API key to accept as well.
        speed: Factor by which the sandbox's clock is faster than real time (ring times, pauses, phone scripts).
        seed: Makes SIDs reproducible; by default, each run has different ones.
        behavior: The model's durations and choices.
        faults: What goes wrong, and how often.
        default_script: Script of phones without one; by default, they ring until acted on.
        console_url: The application's own page, linked from the phones' page.
        command_line: How to call the application's program, for commands that the page offers to copy.
        retention: Limits on finished calls and log entries; None to keep all until a reset.

    Call all methods on the event loop that opened it.
    """

    def __init__(
        self,
        *,
        account_sid: str = ACCOUNT_SID,
        auth_token: str = AUTH_TOKEN,
        port: int = 0,
        host: str = "127.0.0.1",
        api_key: tuple[str, str] | None = None,
        speed: float = 1.0,
        seed: str | None = None,
        behavior: Behavior | None = None,
        faults: Faults | None = None,
        default_script: PhoneScript | None = None,
        console_url: str = "",
        command_line: str = "",
        retention: Retention | None = None,
    ) -> None:
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.api_key = api_key
        self.host = host
        self.port = port
        self.speed = speed
        self.faults = faults or Faults()
        self.on_rest: Callable[[RestHookEvent], Awaitable[None]] | None = None
        self.default_script = default_script or PhoneScript()
        self.console_url = console_url
        self.command_line = command_line
        self.retention = RetentionEnforcer(retention)
        self._seed = seed if seed is not None else secrets.token_hex(8)
        self._reset_count = 0
        self._behavior = behavior
        self._epoch_s = time.time()
        self._started = time.monotonic()
        self.model = TwilioModel(account_sid, seed=self._seed, behavior=behavior)
        self.request_log = RequestLog()
        self.phones: dict[str, Phone] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._script_timers: dict[str, list[asyncio.TimerHandle]] = {}
        self._wake: asyncio.TimerHandle | None = None
        self._held_back: list[tuple[CallbackRequest, DeliveryEntry]] = []
        self._changed: asyncio.Event = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None
        self._webhooks: WebhookDelivery | None = None

    async def open(self) -> None:
        """Prepare for deliveries."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )
        self._webhooks = WebhookDelivery(self._session, self.auth_token, lambda: self.now_s)

    async def close(self) -> None:
        """Drop pending deliveries."""
        self._cancel_work()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def reset(self) -> None:
        """Remove all calls, conferences, log entries, faults, and phones; numbers stay."""
        self._cancel_work()
        self._reset_count += 1
        numbers = self.model.state.numbers
        self.model = TwilioModel(self.account_sid, seed=f"{self._seed}/{self._reset_count}", behavior=self._behavior)
        self.model.state.numbers.update(numbers)
        self.request_log = RequestLog()
        self.phones.clear()
        self.faults.clear()
        self.notify()

    def _cancel_work(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
        for handle in [handle for handles in self._script_timers.values() for handle in handles]:
            handle.cancel()
        self._script_timers.clear()
        self._held_back.clear()
        for task in self._tasks:
            task.cancel()

    @property
    def url(self) -> str:
        """The sandbox's URL: use it as a Twilio client's base URL."""
        return f"http://{self.host}:{self.port}"

    @property
    def now_s(self) -> float:
        """Return the sandbox's time: seconds since 1970 at the start, then running at `speed`."""
        return self._epoch_s + (time.monotonic() - self._started) * self.speed

    @property
    def reset_count(self) -> int:
        """The number of resets (count): log numbers restart at each."""
        return self._reset_count

    # Actions of people and tests

    def add_number(
        self,
        number: str,
        *,
        voice_url: str,
        voice_method: str = "POST",
        voice_fallback_url: str = "",
        voice_fallback_method: str = "POST",
        status_callback: str = "",
        status_callback_method: str = "POST",
        application_sid: str = "",
        name: str = "",
    ) -> Number:
        """Add a number, SIP address, or browser application to the account, with its webhooks."""
        added = Number(
            number, voice_url, voice_method, voice_fallback_url, voice_fallback_method, status_callback,
            status_callback_method, application_sid, name,
        )  # fmt: skip
        self.model.add_number(added)
        return added

    def phone(self, address: str) -> Phone:
        """Return the phone at `+1…`, `client:…`, or `sip:…`; script it before it is dialed."""
        address = phone_address(address)
        if address not in self.phones:
            self.phones[address] = Phone(address, self.default_script)
        return self.phones[address]

    async def call_in(self, from_: str, to: str, custom: Params = (), *, url: str = "") -> CallHandle:
        """Call one of the account's numbers.

        Args:
            from_: The caller.
            to: The number, or a browser application.
            custom: A browser's custom parameters.
            url: This call's voice URL, if it differs from the number's.

        Raises:
            UnknownNumberError: `to` was never added.
        """
        sid = self.apply(InboundCall(from_, to, custom, url)).call_sid
        self.phone(from_).placed_call_sids.append(sid)
        return CallHandle(self, sid)

    def add_application(
        self, sid: str, *, voice_url: str, voice_fallback_url: str = "", status_callback: str = ""
    ) -> Number:
        """Add a TwiML application (`AP…`) to the account, through which browsers call."""
        return self.add_number(
            sid,
            voice_url=voice_url,
            voice_fallback_url=voice_fallback_url,
            status_callback=status_callback,
            application_sid=sid,
        )

    async def call_from_browser(
        self, identity: str, to: str = "", params: Mapping[str, str] | None = None, *, app: str = "", url: str = ""
    ) -> CallHandle:
        """Call from a browser through a TwiML application.

        Args:
            identity: The identity in the access token: Twilio reports it as `client:NAME`.
            to: The browser's `To` parameter; not sent if empty.
            params: Other custom parameters, such as `SessionID`.
            app: The application's SID; may be omitted if there is only one.
            url: This call's voice URL, if it differs from the application's.

        Raises:
            UnknownNumberError: the application doesn't exist, or `app` is missing and there are several.
        """
        apps = [number.number for number in self.model.state.numbers.values() if number.application_sid]
        if not app and len(apps) != 1:
            raise UnknownNumberError(f"which application? there are {', '.join(apps) or 'none'}")
        sent = ({"To": to} if to else {}) | dict(params or {})
        return await self.call_in(f"client:{identity}", app or apps[0], tuple(sent.items()), url=url)

    def send_callback(self, sid: str, event: str, params: Mapping[str, str] | None = None) -> None:
        """Send a callback that the model itself would never send, such as an unknown event.

        Args:
            sid: A call, a conference, or a recording, whose callback URL is used.
            event: The conference's StatusCallbackEvent, the call's CallStatus, or the recording's RecordingStatus.
            params: Added to the usual parameters or replacing them. A conference's `CallSid` adds that participant's.

        Raises:
            NoSubscriberError: the resource doesn't exist or has no callback URL.
        """
        self.apply(UnknownCallback(sid, event, tuple((params or {}).items())))

    def set_manual(self, address: str, *, is_manual: bool) -> Phone:
        """Let a person play a phone, which then does nothing automatically, or return it to its script."""
        phone = self.phone(address)
        phone.is_manual = is_manual
        for sid in phone.call_sids if is_manual else ():
            if self._stop_script(sid):
                self.apply(PhoneRings(sid))  # the script may not have got there yet; otherwise, no effect
        self.notify()
        return phone

    def repeat_delivery(self, entry: DeliveryEntry, *, after_s: float = 0.0, times: int = 1) -> None:
        """Repeat a delivery after real seconds; the model ignores the response."""
        self.request_log.deliveries.append(entry)
        self._spawn(self._repeat(entry, after_s, times))
        self.notify()

    def call(self, sid: str) -> CallHandle:
        """Return a handle on a leg."""
        if sid not in self.model.state.calls:
            raise KeyError(f"no call {sid}")
        return CallHandle(self, sid)

    def calls_of(self, address: str) -> list[CallHandle]:
        """Return the legs dialed to a phone, oldest first."""
        phone = self.phones.get(phone_address(address))
        return [CallHandle(self, sid) for sid in phone.call_sids] if phone else []

    def live_calls(self) -> list[CallHandle]:
        """Return the live legs, oldest first, without other applications' calls."""
        return [CallHandle(self, call.sid) for call in self.model.live_calls()]

    def add_foreign_calls(self, count: int, *, status: str = "in-progress", age_s: float = 0.0) -> list[CallHandle]:
        """Add another application's calls, started `age_s` seconds ago: listed by the API, but inactive."""
        sids = self.model.add_foreign_calls(count, self.now_s, status=status, age_s=age_s)
        self.notify()
        return [CallHandle(self, sid) for sid in sids]

    def add_foreign_conference(self, name: str, *, participant_count: int = 2, age_s: float = 0.0) -> str:
        """Add another application's conference in the same account; return its SID.

        Raises:
            ValueError: a conference with this name is live, or `participant_count` is 0.
        """
        sid = self.model.add_foreign_conference(name, self.now_s, participant_count=participant_count, age_s=age_s)
        self.notify()
        return sid

    def recordings(self) -> list[Recording]:
        """Return all recordings, oldest first; `spans` holds whose voices are on them, and when."""
        return list(self.model.state.recordings.values())

    @property
    def change_event(self) -> asyncio.Event:
        """Return an event that is set at the next change of the model or the request log; a new one each time."""
        return self._changed

    async def wait_until(self, predicate: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Wait until the predicate holds; it is evaluated after each change of the model or the request log.

        Raises:
            TimeoutError: it didn't hold within `timeout_s` real seconds; the message lists the calls.
        """
        deadline = time.monotonic() + timeout_s
        while not predicate():
            changed = self._changed
            try:
                async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                    await changed.wait()
            except TimeoutError:
                if predicate():
                    return
                raise TimeoutError(f"not within {timeout_s} s; {self!r}") from None

    async def wait_until_idle(self, timeout_s: float = 30.0) -> None:
        """Wait until no delivery is in progress, delayed, or held back."""
        await self.wait_until(lambda: not self._tasks and not self._held_back, timeout_s)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{call.sid[:8]} {call.direction} {call.status} {call.activity}" for call in self.model.live_calls()
        )
        return f"<Sandbox live calls: {shown or 'none'}; being delivered: {len(self._tasks)}>"

    # Inputs and outputs of the model

    def apply(self, input_: Input) -> Result:
        """Pass an input to the model, and perform its outputs."""
        result = self.model.handle(input_, self.now_s)
        for output in result.outputs:
            self._perform(output)
        self._schedule_wake()
        self.retention.prune(self, frozenset(self._script_timers))
        self.notify()
        return result

    def notify(self) -> None:
        """Wake up waiters."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _schedule_wake(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        due_s = self.model.next_due_s()
        if due_s is not None:
            wait_s = max(due_s - self.now_s, 0) / self.speed
            self._wake = asyncio.get_running_loop().call_later(wait_s, self.apply, TimePassed())

    def _perform(self, output: Output) -> None:
        match output:
            case FetchRequest():
                self._spawn(self._fetch(output, self._log_delivery(output)))
            case CallbackRequest():
                self._send_callback(output)
            case RingPhone():
                self._ring_phone(output)
            case AskForKeys():
                self._on_gather(output.call_sid)
            case ReleasePhone():
                self._stop_script(output.call_sid)
            case DebuggerEntry():
                self.request_log.debugger.append(output)
                log.debug("debugger_entry_added", code=output.code, call_sid=output.call_sid)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.notify()
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "a delivery broke", "exception": error})

    def _log_delivery(self, request: FetchRequest | CallbackRequest) -> DeliveryEntry:
        entry = DeliveryEntry(
            self.now_s,
            "voice" if isinstance(request, FetchRequest) else request.kind,
            request.purpose if isinstance(request, FetchRequest) else request.event,
            request.url,
            request.method,
            request.params,
            request.call_sid,
        )
        self.request_log.deliveries.append(entry)
        return entry

    # Phones

    def _ring_phone(self, ring: RingPhone) -> None:
        call = self.model.state.calls[ring.call_sid]
        label = call.join_settings.label if call.join_settings else ""
        self.request_log.dials.append(DialEntry(self.now_s, ring.call_sid, ring.to, label, call.direction))
        script = self.phone(ring.to).on_dialed(ring.call_sid)
        self._schedule(ring.call_sid, script.steps_before_answer(ring.call_sid))

    def _stop_script(self, call_sid: str) -> bool:
        handles = self._script_timers.pop(call_sid, [])
        for handle in handles:
            handle.cancel()
        return bool(handles)

    def _on_gather(self, call_sid: str) -> None:
        call = self.model.state.calls[call_sid]
        if call.direction != "inbound":  # inbound callers have no script
            self._schedule(call_sid, self.phone(call.to).on_gather(call_sid))

    def _schedule(self, call_sid: str, steps: list[tuple[float, Input]]) -> None:
        loop = asyncio.get_running_loop()
        handles = self._script_timers.setdefault(call_sid, [])
        for after_s, step in steps:
            handles.append(loop.call_later(after_s / self.speed, self._run_script_step, call_sid, step))

    def _run_script_step(self, call_sid: str, step: Input) -> None:
        self.apply(step)
        if isinstance(step, PhoneAnswers) and call_sid in self.model.state.live_calls:
            phone = self.phone(self.model.state.calls[call_sid].to)
            self._schedule(call_sid, phone.active_scripts[call_sid].steps_after_answer(call_sid))

    # Deliveries

    async def _fetch(self, request: FetchRequest, entry: DeliveryEntry) -> None:
        plan = self.faults.plan_fetch(request)
        if plan.delay_s:
            await asyncio.sleep(plan.delay_s)
        if not plan.fails:
            answer = await self._send(request.url, entry)
        else:
            entry.fault = "failed"
            answer = WebhookResponse(plan.status, error_code=11200 if plan.status else 11205)
            entry.attempts.append(DeliveryAttempt(self.now_s, plan.status, "", 0.0))
        if answer.status:
            self.apply(TwimlFetched(request.fetch_id, answer.status, answer.content_type, answer.body, answer.url))
        else:
            self.apply(TwimlFailed(request.fetch_id, answer.error_code))

    def _send_callback(self, request: CallbackRequest) -> None:
        entry = self._log_delivery(request)
        plan = self.faults.plan_callback(request)
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
            if answer.failure:
                code = 16010 if request.kind == "conference" else 15003 if answer.status else answer.error_code
                self._perform(DebuggerEntry(code, "Status callback failed", request.call_sid, request.url))
        if not plan.is_held_back:
            self._release_held_back()

    async def _repeat(self, entry: DeliveryEntry, after_s: float, times: int) -> None:
        await asyncio.sleep(after_s)
        for _ in range(times):
            await self._send(entry.url, entry)

    async def _send(self, url: str, entry: DeliveryEntry) -> WebhookResponse:
        if self._webhooks is None:
            raise RuntimeError("the sandbox was not started")
        target = parse_target(url)
        if target.fault:
            self._perform(DebuggerEntry(11243, target.fault, entry.call_sid, url))
        return await self._webhooks.send(target, entry)
