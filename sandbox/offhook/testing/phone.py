"""A phone, as the story of a test tells of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Unpack

from offhook.call_handle import CallHandle
from offhook.model.messages import IncomingText
from offhook.phones import PhoneScript, ScriptFields

if TYPE_CHECKING:
    from offhook.testing.served import ServedSandbox


class Phone:
    """One address, at which a test or a script acts for people."""

    def __init__(self, sandbox: "ServedSandbox", address: str) -> None:
        self._sandbox = sandbox
        self.address = address  #: `+1…`, `client:…`, or `sip:…`.

    def __repr__(self) -> str:
        return f"<Phone {self.address}: {self.calls or 'no calls'}>"

    def script(self, **does: Unpack[ScriptFields]) -> "Phone":
        """Set its script: fields of `PhoneScript`; `times` are its next calls.

        A single text in `keys` or `speaks` is for the first time.
        """
        self._sandbox.run(lambda: self._sandbox.phone(self.address).script(**does))
        return self

    def script_in_turn(self, *scripts: PhoneScript) -> "Phone":
        """Set a script for each of its next calls; the last one stays."""
        self._sandbox.run(lambda: self._sandbox.phone(self.address).script_in_turn(*scripts))
        return self

    def text(self, to: str, body: str) -> None:
        """Send a text message; raise `offhook.UnknownNumberError` without `to`."""
        self._sandbox.run(lambda: self._sandbox.apply(IncomingText(self.address, to, body)))

    def call(
        self,
        to: str = "",
        *,
        url: str = "",
        params: Mapping[str, str] = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> CallHandle:
        """Call a number or SIP URI of the account; return the call.

        A browser (`client:…`) calls an application (`AP…`) with its `params`, a SIP phone sends `headers` (`X-…`).
        `url` replaces the voice URL. Raise `offhook.UnknownNumberError` if there is no such number.
        """
        sandbox = self._sandbox
        if self.address.startswith("client:"):
            placing = sandbox.call_from_browser(self.address.removeprefix("client:"), "", params, app=to, url=url)
        else:
            placing = sandbox.call_in(self.address, to, tuple(params.items()), url=url, headers=headers)
        return sandbox.thread.wait(placing)

    @property
    def call_sids(self) -> list[str]:
        """SIDs of its calls."""
        phone = self._sandbox.phones.get(self.address)
        return self._sandbox.run(lambda: list(phone.call_sids)) if phone is not None else []

    @property
    def calls(self) -> list[CallHandle]:
        """Its calls, from it and to it, oldest first, with ended ones."""
        return [CallHandle(self._sandbox, sid) for sid in self.call_sids]

    @property
    def last_call(self) -> CallHandle:
        """Its newest call; LookupError without one."""
        if not (calls := self.calls):
            raise LookupError(f"no call from or to {self.address}")
        return calls[-1]

    @property
    def _dialed(self) -> list[CallHandle]:
        return [call for call in self.calls if call.direction != "inbound"]

    @property
    def rings(self) -> bool:
        """Whether it rings."""
        return any(call.status == "ringing" for call in self._dialed)

    @property
    def rang_for_s(self) -> float:
        """How long it has rung in its newest call, in Twilio's seconds."""
        if not (dialed := self._dialed) or (call := dialed[-1].record).rang_at_s is None:
            return 0.0
        ends = (call.answered_at_s, call.ended_at_s, self._sandbox.run(lambda: self._sandbox.now_s))
        return next(at_s for at_s in ends if at_s is not None) - call.rang_at_s
