"""The sandbox runtime: the model in real time, with phones and faults."""

import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypeVar, Unpack

from offhook.account import ACCOUNT_SID, AUTH_TOKEN, NUMBER
from offhook.browser_phones import BrowserPhones
from offhook.call_handle import CallHandle
from offhook.faults import Faults, Text
from offhook.model import messages
from offhook.model.behavior import Behavior
from offhook.model.formats import check_url, is_address, is_number
from offhook.model.messages import NOT_MODELED, InboundCall, Input, Params, PhoneRings, TimePassed
from offhook.model.numbers import SIP_DOMAINS, Number, NumberFields
from offhook.model.pruning import prune_finished
from offhook.model.state import BotScript, Recording
from offhook.model.twilio_model import TwilioModel, UnknownNumberError
from offhook.pace import Clock, Pace
from offhook.phones import Phone, PhoneScript, PhoneScripts, phone_address
from offhook.request_log import RequestLog, Retention
from offhook.twilio_time import Timer, TwilioTime
from offhook.url_map import UrlMap
from offhook.web.pages import host_name, is_loopback_header
from offhook.webhook_delivery import WebhookSender
from offhook.webhook_rules import WebhookRules

T = TypeVar("T")


def _bracketed(host: str) -> str:
    """Return a host as a URL has it."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class RestHookEvent:
    """A REST request right before or after it takes effect."""

    step: Literal["before", "after"]
    method: str
    path: str
    params: Params
    answer: messages.RestAnswer | None = None


@dataclass(kw_only=True, eq=False)
class SandboxRuntime:
    """Performs the model's outputs; use it on the event loop that opened it."""

    account_sid: str = ACCOUNT_SID  #: Also the user name of Basic auth.
    auth_token: str = AUTH_TOKEN  #: Also the key of the signatures.
    port: int = 0  #: 0 picks a free one.
    host: str = "127.0.0.1"  #: Any other than loopback requires `allow_hosts`.
    allow_hosts: tuple[str, ...] = ()  #: Names of it that clients use, besides those of loopback.
    control_token: str = ""  #: Of the page and the control routes; with `allow_hosts`, by default a random one.
    api_keys: Mapping[str, str] = field(default_factory=dict)  #: Secrets of API keys by SID, to accept as well.
    speed: float = 1.0  #: Factor by which the sandbox's clock is faster than real time.
    seed: str | None = None  #: Makes SIDs reproducible; by default, each run has different ones.
    behavior: Behavior | None = None  #: What Twilio does where its documentation allows two readings.
    strict: bool = False  #: Refuse what Twilio's documentation doesn't list, rather than warn.
    unmodeled: Literal["error", "warn"] = "warn"  #: What the debugger makes of what Twilio has and the sandbox ignores.
    faults: Faults = field(default_factory=Faults)  #: Faults to inject.
    default_script: PhoneScript = field(default_factory=PhoneScript)  #: By default: ring until acted on.
    console_url: str = ""  #: The application's own page, linked from the phones' page.
    command_line: str = ""  #: How to call the application's program, for commands that the page offers to copy.
    records_all_calls: bool = False  #: Whether the account has a default recording configuration; nothing is recorded.
    clock: Clock = "running"  #: When the sandbox's clock goes on; `waiting`, `virtual`: while `wait_until` waits.
    maps: Mapping[str, str] = field(default_factory=dict)  #: Public base URLs, and where your application plays them.
    allow_internet: bool = False  #: Whether URLs outside of this machine and its network are requested.
    retention: Retention | None = None  #: Limits on finished calls and log entries; None keeps all until a reset.

    def __post_init__(self) -> None:
        self.allow_hosts = tuple(name.lower() for name in self.allow_hosts)
        for name in self.allow_hosts:
            # A URL's scheme would be taken for the name, and the real one refused.
            if "/" in name or host_name(name) != name:
                raise ValueError(f"{name!r} is no host name, such as sandbox.example.com, without scheme and port")
        if not is_loopback_header(_bracketed(self.host)) and not self.allow_hosts:
            raise ValueError(f"others can reach host {self.host!r}: name the hosts that clients use (--allow-host)")
        if self.allow_hosts and not self.control_token:
            self.control_token = secrets.token_urlsafe(16)
        self.url_map = UrlMap(self.maps)
        self.on_rest: Callable[[RestHookEvent], Awaitable[None]] | None = None
        self._seed = self.seed if self.seed is not None else secrets.token_hex(8)
        self.reset_count = 0  #: Log numbers restart at each.
        self.time = TwilioTime(lambda: self.speed, time.time())
        self.model = self._make_model(self._seed)
        self.request_log = RequestLog()
        self.webhook_rules = WebhookRules()
        self.phones: dict[str, Phone] = {}
        self.webhook_sender = WebhookSender(self)
        self.browsers = BrowserPhones(self)
        self._scripts = PhoneScripts(self, self.browsers.invite)
        self.pace = Pace(self.time, lambda: self.clock, lambda: self.webhook_sender.is_idle)
        self._wake: Timer | None = None

    def _make_model(self, seed: str) -> TwilioModel:
        return TwilioModel(self.account_sid, seed=seed, behavior=self.behavior, strict=self.strict)

    async def close(self) -> None:
        """Cancel timers, phone scripts, and deliveries; wait for their end."""
        self._cancel_pending_work()
        self.time.stand_still()
        await self.webhook_sender.close()

    def reset(self) -> None:
        """Remove everything except the numbers."""
        self._cancel_pending_work()
        self.reset_count += 1
        numbers, api_url = self.model.state.numbers, self.model.state.api_url
        self.model = self._make_model(f"{self._seed}/{self.reset_count}")
        self.model.state.numbers.update(numbers)
        self.model.state.api_url = api_url
        self.request_log = RequestLog()
        self.phones.clear()
        self.faults.clear()
        self.webhook_rules.clear()
        self.notify()

    def _cancel_pending_work(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self._scripts.clear()
        self.browsers.clear()
        self.webhook_sender.clear()

    @property
    def url(self) -> str:
        """The sandbox's URL: use it as a Twilio client's base URL."""
        host = _bracketed(self.host)
        return f"http://{host if is_loopback_header(host) else self.allow_hosts[0]}:{self.port}"

    @property
    def now_s(self) -> float:
        """The sandbox's time: seconds since 1970 at the start, then at `speed`."""
        return self.time.now_s

    @property
    def epoch_s(self) -> float:
        """The sandbox's time when it started."""
        return self.time.epoch_s

    def restart_clock(self) -> None:
        """Let the sandbox's time start over, from the real time."""
        self.time.restart(time.time())

    def add_number(self, number: Text, *, voice_url: str = "", **others: Unpack[NumberFields]) -> Number:
        """Add a number, SIP domain, or application; `others` are its fields.

        Without `voice_url`, its program can call from it, and set the URL by REST. Raise ValueError for what is none.
        """
        added = Number(number, voice_url, **others)
        if not (is_number(number) or added.is_sip_domain or added.application_sid):
            raise ValueError(f"{number!r} is neither a number, such as {NUMBER}, nor a SIP domain, NAME{SIP_DOMAINS}")
        for name in ("voice_url", "voice_fallback_url", "sms_url", "sms_fallback_url", "status_callback"):
            check_url(name, getattr(added, name))
        self.model.add_number(added)
        return added

    def phone(self, address: str) -> Phone:
        """Return the phone at `+1…`, `client:…`, or `sip:…`; it may be new.

        Raise ValueError if there can be none.
        """
        if self.model.state.is_own_number(address):
            raise ValueError(f"{address} is a number of the account: its voice URL answers, not a phone")
        if phone_address(address) not in self.phones and not is_address(address):
            raise ValueError(f"no phone has the address {address!r}: use +1…, client:NAME, or sip:NAME@HOST")
        return self.phone_at(address)

    def phone_at(self, address: str) -> Phone:
        """Return the phone that Twilio dials or that calls; it may be new."""
        address = phone_address(address)
        if address not in self.phones:
            self.phones[address] = Phone(address, self.default_script)
        return self.phones[address]

    def script_bot(
        self,
        *,
        says: Sequence[Text] = BotScript().says,
        handoff_data: dict[str, Any] | str = "",
        ends: Literal["handoff", "failed", "hangup"] = "handoff",
    ) -> BotScript:
        """Set what the bot of each `<ConversationRelay>` does from now on.

        After its sentences, it hands over with `handoff_data`, its WebSocket breaks, or the caller hangs up.
        """
        text = handoff_data if isinstance(handoff_data, str) else json.dumps(handoff_data)
        self.model.state.bot = script = BotScript(tuple(says), text, ends)
        return script

    async def call_in(
        self,
        from_: str,
        to: str,
        custom: Params = (),
        *,
        url: str = "",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> CallHandle:
        """Call a number, SIP URI, or application; UnknownNumberError if none.

        `custom` are a browser's own parameters, `headers` a SIP caller's (`X-…`); `url` replaces the voice URL.
        """
        if re.fullmatch(r"[\d().\s-]+", from_):
            raise ValueError(f"the caller's number {from_!r} lacks its country: write +1…")
        check_url("url", url)
        sid = self.apply(InboundCall(from_, to, custom, tuple(headers.items()), url)).call_sid
        self._scripts.place(sid)
        return CallHandle(self, sid)

    def add_application(self, sid: str, *, voice_url: str, **others: Unpack[NumberFields]) -> Number:
        """Add a TwiML application (`AP…`), through which browsers call."""
        return self.add_number(sid, voice_url=voice_url, **(others | {"application_sid": sid}))

    async def call_from_browser(
        self, identity: Text, to: str = "", params: Mapping[str, str] | None = None, *, app: str = "", url: str = ""
    ) -> CallHandle:
        """Call from a browser through a TwiML application.

        `to` is the browser's `To` parameter (not sent if empty), `params` are its others; `url` replaces the voice URL.
        Raise UnknownNumberError if `app` (a SID) is unknown, or empty with several applications.
        """
        apps = [number.number for number in self.model.state.numbers.values() if number.application_sid]
        if not app and len(apps) != 1:
            raise UnknownNumberError(f"which application? there are {', '.join(apps) or 'none'}")
        sent = ({"To": to} if to else {}) | dict(params or {})
        return await self.call_in(f"client:{identity}", app or apps[0], tuple(sent.items()), url=url)

    def set_manual(self, address: str, *, is_manual: bool) -> Phone:
        """Let a person play a phone, or return it to its script."""
        phone = self.phone_at(address)
        phone.is_manual = is_manual
        for sid in phone.call_sids if is_manual else ():
            if self._scripts.stop(sid):
                self.apply(PhoneRings(sid))  # the script may not have got there yet; otherwise, no effect
        self.notify()
        return phone

    def call(self, sid: str) -> CallHandle:
        """Return a handle on a leg; raise KeyError for an unknown SID."""
        if sid not in self.model.state.calls:
            raise KeyError(f"no call {sid}")
        return CallHandle(self, sid)

    def calls_of(self, address: str) -> list[CallHandle]:
        """Return the legs dialed to a phone, oldest first."""
        phone, calls = self.phones.get(phone_address(address)), self.model.state.calls
        dialed = (sid for sid in phone.call_sids if calls[sid].direction != "inbound") if phone else ()
        return [CallHandle(self, sid) for sid in dialed]

    def live_calls(self) -> list[CallHandle]:
        """Return the live legs, oldest first, without other applications' calls."""
        return [CallHandle(self, call.sid) for call in self.model.live_calls()]

    def recordings(self) -> list[Recording]:
        """Return all recordings, oldest first."""
        return list(self.model.state.recordings.values())

    def __repr__(self) -> str:
        calls = self.model.live_calls()
        shown = ", ".join(f"{call.sid[:8]} {call.direction} {call.status} {call.activity}" for call in calls)
        return f"<Sandbox live calls: {shown or 'none'}; being delivered: {len(self.webhook_sender.tasks)}>"

    def run(self, act: Callable[[], T]) -> T:
        """Run this in the sandbox's thread."""
        return act()

    def apply(self, input_: Input) -> messages.Result:
        """Pass an input to the model, and perform its outputs."""
        result = self.model.handle(input_, self.now_s)
        for output in result.outputs:
            self.perform(output)
        self._schedule_next_timer()
        if self.retention is not None:
            self._prune(self.retention)
        is_read = isinstance(input_, messages.RestRequest) and input_.method == "GET"
        if is_read and not result.outputs:
            self.notify_of_read()
        else:
            self.notify()
        return result

    def _prune(self, retention: Retention) -> None:
        """Remove what exceeds the limits, except for calls whose scripts run."""
        self.request_log.trim(retention.log_entries_max)
        state, most = self.model.state, retention.finished_calls_max
        finished = len(state.calls) - len(state.live_calls), len(state.conferences) - len(state.conference_sids)
        if max(*finished, len(state.messages)) > most * 1.1 + 1:  # not at every call, because it scans everything
            removed = prune_finished(self.model, most, self._scripts.timers.keys())
            for phone in self.phones.values():
                phone.forget(removed)

    def notify(self) -> None:
        """Wake up all who wait for a change: tests and pages."""
        self.pace.on_change()

    def notify_of_read(self) -> None:
        """Wake up the pages, which show REST requests that only read, too."""
        self.notify()

    def _schedule_next_timer(self) -> None:
        due_s = self.model.next_due_s()
        if self._wake is not None and self._wake.due_s == due_s:
            return
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None if due_s is None else self.time.call_at(due_s, self._on_timer)

    def _on_timer(self) -> None:
        self._wake = None
        self.apply(TimePassed())

    def perform(self, output: messages.Output) -> None:
        """Perform one of the model's outputs."""
        match output:
            case messages.FetchRequest():
                self.webhook_sender.fetch(output)
            case messages.CallbackRequest():
                self.webhook_sender.send_callback(output)
            case messages.RingPhone():
                self._scripts.ring(output)
            case messages.PhoneConnected():
                self.browsers.on_connected(output.call_sid)
                self._scripts.on_connected(output.call_sid)
            case messages.AskForKeys():
                self._scripts.press_next(output.call_sid)
            case messages.AskForSpeech():
                self._scripts.speak_next(output.call_sid)
            case messages.ReleasePhone():
                self.browsers.release(output.call_sid)
                self._scripts.release(output.call_sid)
            case messages.DebuggerEntry():
                is_error = output.code == NOT_MODELED and self.unmodeled == "error"
                self.request_log.debugger.append(replace(output, level="error") if is_error else output)


def shown_token(sandbox: SandboxRuntime) -> str:
    """Return the token to show; one that was given may be a secret."""
    return sandbox.auth_token if sandbox.auth_token == AUTH_TOKEN else "the token that you set"
