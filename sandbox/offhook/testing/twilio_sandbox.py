"""The sandbox of a test: what the fixture `twilio_sandbox` is."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from offhook.call_handle import CallHandle, ConferenceHandle
from offhook.clock import monotonic_s
from offhook.faults import Faults
from offhook.model.messages import DebuggerEntry
from offhook.model.numbers import Number, NumberFields
from offhook.model.state import Recording, TextMessage
from offhook.request_log import RequestLog
from offhook.testing.already_done import AlreadyDone
from offhook.testing.phone import Phone
from offhook.testing.story import alert_lines, story_lines

if TYPE_CHECKING:
    from offhook.service import Sandbox
    from offhook.testing.served import ServedSandbox, ServerThread

T = TypeVar("T")
RECHECK_S = 0.05  #: For what the sandbox doesn't notice, such as an application's own state.
SETTLE_S = 0.05  #: For webhook requests under way when a test ends: they may fail.


class ConditionTimeoutError(TimeoutError):
    """A condition didn't hold in time; the message has the story."""


class Phones:
    """The phones by address, `+1…`, `client:…`, or `sip:…`; any may be new."""

    def __init__(self, sandbox: "ServedSandbox") -> None:
        self._sandbox = sandbox

    def __getitem__(self, address: str) -> Phone:
        """Return the phone; raise ValueError if there can be none."""
        return Phone(self._sandbox, self._sandbox.run(lambda: self._sandbox.phone(address).address))

    def __iter__(self) -> Iterator[Phone]:
        return iter([Phone(self._sandbox, address) for address in list(self._sandbox.phones)])

    def __len__(self) -> int:
        return len(self._sandbox.phones)


class TwilioSandbox:
    """A local Twilio for one test; started, and empty."""

    def __init__(self, server: "ServerThread") -> None:
        self._sandbox = server.sandbox
        self._expected_alerts: set[int] = set()
        self.phones = Phones(server.sandbox)  #: By address: `phones["+12025550123"]`; one may be new.

    def __repr__(self) -> str:
        return f"<TwilioSandbox {self.url}: {self.calls or 'no calls'}>"

    @property
    def url(self) -> str:
        """Base URL of the REST API, instead of `https://api.twilio.com`."""
        return self._sandbox.url

    @property
    def account_sid(self) -> str:
        """The account's SID."""
        return self._sandbox.account_sid

    @property
    def auth_token(self) -> str:
        """The account's token, which also signs the webhooks."""
        return self._sandbox.auth_token

    @property
    def calls(self) -> list[CallHandle]:
        """All calls, oldest first, with ended ones."""
        return [CallHandle(self._sandbox, sid) for sid in self.run(lambda sandbox: list(sandbox.model.state.calls))]

    @property
    def conferences(self) -> list[ConferenceHandle]:
        """All conferences, oldest first, with ended ones."""
        return [ConferenceHandle(self._sandbox, sid) for sid in self.run(lambda it: list(it.model.state.conferences))]

    @property
    def recordings(self) -> list[Recording]:
        """All recordings, oldest first; `text` is what a `<Record>` heard."""
        return self.run(lambda sandbox: sandbox.recordings())

    @property
    def messages(self) -> list[TextMessage]:
        """All text messages, oldest first."""
        return self.run(lambda sandbox: list(sandbox.model.state.messages.values()))

    @property
    def faults(self) -> Faults:
        """Faults to inject."""
        return self._sandbox.faults

    @property
    def requests(self) -> RequestLog:
        """The requests to the REST API (`rest`) and to webhooks (`deliveries`)."""
        return self._sandbox.request_log

    @property
    def alerts(self) -> list[DebuggerEntry]:
        """Errors and warnings, as in Twilio's debugger."""
        return list(self._sandbox.request_log.debugger)

    def add_number(self, number: str, *, voice_url: str = "", **others: Unpack[NumberFields]) -> Number:
        """Add a number or a SIP domain; `others` are such as `status_callback`."""
        return self.run(lambda sandbox: sandbox.add_number(number, voice_url=voice_url, **others))

    def add_application(self, sid: str, *, voice_url: str, **others: Unpack[NumberFields]) -> Number:
        """Add a TwiML application (`AP…`), which browsers call."""
        return self.run(lambda sandbox: sandbox.add_application(sid, voice_url=voice_url, **others))

    def conference(self, name: str) -> ConferenceHandle:
        """Return the newest conference of this name; LookupError without one."""
        for conference in reversed(self.conferences):
            if conference.name == name:
                return conference
        raise LookupError(f"no conference {name!r}: there are {self.conferences or 'none'}")

    def expect_alerts(self, *codes: int) -> None:
        """Expect errors with these codes; the test fails if one lacks."""
        self._expected_alerts.update(codes)

    def run(self, act: "Callable[[Sandbox], T]") -> T:
        """Run this with the `offhook.Sandbox` itself, in its thread."""
        return self._sandbox.run(lambda: act(self._sandbox))

    def wait_until(self, condition: Callable[[], object], timeout_s: float = 10.0) -> Awaitable[None]:
        """Wait until it holds: `wait_until(…)`, in a coroutine with `await`.

        Raise TimeoutError after `timeout_s` real seconds, with what happened last. It is checked at each change of the
        sandbox, and every 50 ms. Twilio's time passes meanwhile, and stands still during the check.
        """
        __tracebackhide__ = True
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return self._wait_in_loop(condition, monotonic_s(), timeout_s)
        since_s = monotonic_s()
        while not self._check_condition(condition, since_s, timeout_s):
            self._sandbox.wait_for_change(self._known_changes, RECHECK_S, since_s)
        return AlreadyDone()

    async def _wait_in_loop(self, condition: Callable[[], object], since_s: float, timeout_s: float) -> None:
        __tracebackhide__ = True
        while not self._check_condition(condition, since_s, timeout_s):
            await asyncio.to_thread(self._sandbox.wait_for_change, self._known_changes, RECHECK_S, since_s)

    def wait_until_idle(self, timeout_s: float = 10.0) -> Awaitable[None]:
        """Wait, in the same way, until no webhook request is under way."""
        __tracebackhide__ = True
        return self.wait_until(lambda: self._sandbox.webhook_sender.is_idle, timeout_s)

    def advance(self, seconds: float, timeout_s: float = 10.0) -> Awaitable[None]:
        """Let Twilio's time pass: `advance(…)`, in a coroutine with `await`.

        What is due on the way happens in order, each after 50 ms of real time without a request. Raise TimeoutError if
        requests leave no such pause for `timeout_s` real seconds, RuntimeError with `clock="running"`, or while a
        WebSocket is open.
        """
        __tracebackhide__ = True
        work = self._sandbox.advance(seconds, timeout_s)  # of another process's sandbox, it raises at once
        return self._sandbox.thread.finish(self._or_story(work))

    async def _or_story(self, work: Coroutine[Any, Any, None]) -> None:
        __tracebackhide__ = True
        try:
            await work
        except TimeoutError as error:
            raise ConditionTimeoutError(f"{error}\n{self.story()}") from None

    def _check_condition(self, condition: Callable[[], object], since_s: float, timeout_s: float) -> bool:
        __tracebackhide__ = True
        self._known_changes = self._sandbox.pace.changes
        if condition():
            return True
        if monotonic_s() < since_s + timeout_s:
            return False
        raise ConditionTimeoutError(f"not within {timeout_s:g} s\n{self.story()}")

    def story(self) -> str:
        """Return the last events, with TwiML and keys, live calls, and the clock."""
        return "\n".join(self._sandbox.run(lambda: story_lines(self._sandbox)))

    def unexpected_alerts(self) -> str:
        """Return the errors that no one expects, and the expected that lack.

        Wait a moment for webhook requests under way first.
        """
        since_s = monotonic_s()
        while not self._sandbox.webhook_sender.is_idle and (left_s := since_s + SETTLE_S - monotonic_s()) > 0:
            self._sandbox.wait_for_change(self._sandbox.pace.changes, min(left_s, RECHECK_S / 10), since_s)
        return "\n".join(alert_lines(self.alerts, self._expected_alerts))

    def empty(self, **options: Any) -> None:
        """Remove everything, and set options, such as `speed` and `strict`."""
        self._expected_alerts.clear()
        self._sandbox.run(lambda: self._sandbox.empty(options))
