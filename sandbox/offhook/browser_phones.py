"""Phones that browsers play, each with the sandbox's `voice-sdk.js`.

Messages have the names and fields of the SDK's own signaling. Source: @twilio/voice-sdk 2.18, `pstream.ts`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlencode

from offhook import access_token
from offhook.access_token import AccessToken, AccessTokenError
from offhook.model import messages
from offhook.model.state import Call
from offhook.phones import check_keys, phone_of
from offhook.real_time import RealTimeModel
from offhook.twilio_time import Timer
from offhook.web import json_text

LOST_AFTER_S = 2.0  #: From the end of a browser's connection to that of its call; our reading.
MALFORMED = 31100  #: Source: Twilio docs, error 31100, malformed request.
_EXPIRED = "the access token has expired"


class SandboxWithBrowsers(RealTimeModel, Protocol):
    """The sandbox with which browsers register."""

    account_sid: str
    api_keys: Mapping[str, str]
    allow_hosts: tuple[str, ...]


@dataclass(eq=False, slots=True)
class Browser:
    """One page's connection; several may have the same identity."""

    send_text: Callable[[str], None]
    token: AccessToken | None = None
    is_registered: bool = False
    reconnect_s: float = 0.0  #: How long its calls wait for its return (`maxCallSignalingTimeoutMs`).
    ringing: set[str] = field(default_factory=set)  #: Calls that it may answer.
    calls: set[str] = field(default_factory=set)  #: Calls that it has answered.
    expiry: Timer | None = None

    @property
    def address(self) -> str:
        """Return the address that rings here, or empty before the first token."""
        return f"client:{self.token.identity}" if self.token else ""

    def send(self, kind: str, **payload: Any) -> None:
        """Send one message."""
        self.send_text(json_text.dumps({"type": kind, "payload": payload}).decode())

    def send_error(self, code: int, message: str) -> None:
        """Send an error of Twilio's."""
        self.send("error", error={"code": code, "message": message})

    def cancel_expiry(self) -> None:
        """Forget when its token expires."""
        if self.expiry is not None:
            self.expiry.cancel()


class BrowserPhones:
    """All connected browsers."""

    def __init__(self, sandbox: SandboxWithBrowsers) -> None:
        self._sandbox = sandbox
        self._browsers: set[Browser] = set()
        self._lost: dict[str, Timer] = {}

    def connect(self, send_text: Callable[[str], None]) -> Browser:
        """Add a browser; nothing rings there until it registers."""
        browser = Browser(send_text)
        self._browsers.add(browser)
        return browser

    def disconnect(self, browser: Browser) -> None:
        """Remove a browser; its calls end soon, unless it returns."""
        self._browsers.discard(browser)
        browser.cancel_expiry()
        for call_sid in browser.calls:
            wait_s = max(LOST_AFTER_S, browser.reconnect_s)
            self._lost[call_sid] = self._sandbox.time.call_later(wait_s, partial(self._end_lost, call_sid))

    def clear(self) -> None:
        """End all calls in the browsers, because the sandbox forgets them."""
        for timer in self._lost.values():
            timer.cancel()
        self._lost.clear()
        for call_sid in {sid for browser in self._browsers for sid in (*browser.ringing, *browser.calls)}:
            self.release(call_sid)

    def is_registered(self, address: str) -> bool:
        """Whether a call to this address rings in a browser."""
        return any(browser.is_registered and browser.address == address for browser in self._browsers)

    def invite(self, call: Call) -> bool:
        """Let a call ring in the browsers of its address; return whether it does."""
        called = [it for it in self._browsers if it.is_registered and it.address == phone_of(call)]
        for browser in called:
            self._ring(browser, call)
        return bool(called)

    def _ring(self, browser: Browser, call: Call) -> None:
        about = {"CallSid": call.sid, "From": call.from_, "To": phone_of(call), "AccountSid": self._sandbox.account_sid}
        browser.ringing.add(call.sid)
        browser.send("invite", callsid=call.sid, parameters={**about, "Params": urlencode(call.custom)})

    def on_connected(self, call_sid: str) -> None:
        """Stop the ringing of a call that was answered."""
        self._cancel(call_sid)

    def release(self, call_sid: str) -> None:
        """End a call in its browsers."""
        self._cancel(call_sid)
        if timer := self._lost.pop(call_sid, None):
            timer.cancel()
        for browser in self._browsers:
            if call_sid in browser.calls:
                browser.calls.discard(call_sid)
                browser.send("hangup", callsid=call_sid)

    def _cancel(self, call_sid: str) -> None:
        for browser in self._browsers:
            if call_sid in browser.ringing:
                browser.ringing.discard(call_sid)
                browser.send("cancel", callsid=call_sid)

    def receive(self, browser: Browser, text: str) -> None:
        """Apply one message of a browser."""
        try:
            message = json_text.loads(text)
        except ValueError:
            message = None
        match message:
            case {"type": "listen", "payload": {"token": str(token), **rest}}:
                self._listen(browser, token, rest)
            case {"type": str(), "payload": dict()} if browser.token is None:
                browser.send_error(access_token.INVALID, "the first message must be `listen`, with an access token")
            case {"type": "register", "payload": {"media": {"audio": bool(wanted)}}}:
                self._register(browser, wanted=wanted)
            case {"type": str(kind), "payload": {"callsid": str(call_sid), **rest}}:
                self._act(browser, kind, call_sid, rest)
            case _:
                browser.send_error(MALFORMED, "the message is none of the SDK's")

    def _listen(self, browser: Browser, token: str, options: Mapping[Any, Any]) -> None:
        """Take a token; after a valid one, a refused one changes nothing."""
        sandbox = self._sandbox
        try:
            shared = bool(sandbox.allow_hosts)
            read = access_token.read(token, sandbox.account_sid, sandbox.api_keys, sandbox.now_s, is_shared=shared)
        except AccessTokenError as error:
            browser.send_error(error.code, error.reason)
            if browser.token is None:
                browser.send("close")
            return
        browser.token = read
        if isinstance(seconds := options.get("reconnectTimeout"), int):
            browser.reconnect_s = seconds
        left_s = read.expires_at_s - sandbox.now_s
        browser.cancel_expiry()
        browser.expiry = self._sandbox.time.call_later(left_s, partial(self._expire, browser))
        browser.send("connected", token={"identity": read.identity, "ttl": left_s / sandbox.speed})

    def _expire(self, browser: Browser) -> None:
        """Unregister a browser whose token has expired; its calls go on."""
        browser.is_registered = False
        browser.send_error(access_token.EXPIRED, _EXPIRED)
        browser.send("offline")
        self._sandbox.notify()

    def _register(self, browser: Browser, *, wanted: bool) -> None:
        assert browser.token is not None  # checked by receive()
        has_expired = browser.token.expires_at_s <= self._sandbox.now_s
        browser.is_registered = wanted and browser.token.allows_incoming and not has_expired
        if wanted and has_expired:
            browser.send_error(access_token.EXPIRED, _EXPIRED)
        elif wanted and not browser.is_registered:
            browser.send_error(access_token.NOT_ALLOWED, "the access token does not allow incoming calls")
        browser.send("ready" if browser.is_registered else "offline")
        if browser.is_registered:
            self._ring_late(browser)
        self._sandbox.notify()

    def _ring_late(self, browser: Browser) -> None:
        """Let calls ring in a browser that registers only now, after a reload."""
        for call in self._sandbox.model.live_calls():
            is_rung = call.status == "ringing" and call.direction != "inbound" and phone_of(call) == browser.address
            if is_rung and call.sid not in browser.ringing:
                self._ring(browser, call)

    def _act(self, browser: Browser, kind: str, call_sid: str, payload: Mapping[Any, Any]) -> None:
        match kind:
            case "answer" if call_sid in browser.ringing:
                browser.ringing.discard(call_sid)
                browser.calls.add(call_sid)
                self._sandbox.apply(messages.PhoneAnswers(call_sid))
                if call_sid in browser.calls:  # it may have ended at its answer
                    browser.send("answer", callsid=call_sid)
            case "reject" | "hangup" if call_sid in browser.ringing:
                browser.ringing.discard(call_sid)
                self._sandbox.apply(messages.PhoneRefuses(call_sid, 603))
            case "hangup" if self._is_theirs(browser, call_sid):
                self._sandbox.apply(messages.PhoneHangsUp(call_sid))
            case "dtmf" if self._is_theirs(browser, call_sid):
                self._press(browser, call_sid, payload.get("dtmf"))
            case "invite" if self._is_theirs(browser, call_sid):
                self._return_to_call(browser, call_sid)
            case "answer" | "invite":
                browser.send("hangup", callsid=call_sid)

    def _press(self, browser: Browser, call_sid: str, digits: object) -> None:
        keys = digits.replace("w", "") if isinstance(digits, str) else " "
        try:
            check_keys(keys)
        except ValueError as error:
            browser.send_error(MALFORMED, str(error))
            return
        self._sandbox.apply(messages.PhonePresses(call_sid, keys))

    def _is_theirs(self, browser: Browser, call_sid: str) -> bool:
        """Whether an identity talks in this call; the connection may be new."""
        state = self._sandbox.model.state
        call = state.calls[call_sid] if call_sid in state.live_calls else None
        return call is not None and call.answered_at_s is not None and phone_of(call) == browser.address

    def _return_to_call(self, browser: Browser, call_sid: str) -> None:
        """Continue a call; the old connection may not have ended yet."""
        if timer := self._lost.pop(call_sid, None):
            timer.cancel()
        for other in self._browsers:
            other.calls.discard(call_sid)
        browser.calls.add(call_sid)
        browser.send("answer", callsid=call_sid)

    def _end_lost(self, call_sid: str) -> None:
        del self._lost[call_sid]
        self._sandbox.apply(messages.PhoneHangsUp(call_sid))
