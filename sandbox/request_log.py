"""Keeps what was asked and sent, so that a test can judge by it: REST requests, deliveries, dials, debugger entries.

Times `at_s` are the exchange's seconds, durations are real milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from conferral.sandbox.model import DebuggerEntry, Params
from conferral.sandbox.retention import exceeds

_T = TypeVar("_T")

RESPONSE_BYTES_MAX = 10 * 1024
"""Bytes that are kept of a webhook's answer."""


@dataclass(slots=True)
class RestEntry:
    """One request of the REST API."""

    at_s: float
    method: str
    path: str
    """What follows the account's part: `/Calls.json`."""
    params: Params
    status: int = 0
    """What was answered; 0 while it is being worked on, or where the connection was cut."""
    code: int = 0
    """Twilio's error code, for a refusal."""
    applied: bool = False
    """Whether it reached the exchange, be it to be refused there."""
    fault: str = ""
    """The injected fault: `429`, `500-before`, `500-after`, `cut-before`, `cut-after`, `latency`."""
    duration_ms: float = 0.0

    def get(self, name: str, default: str = "") -> str:
        """The last value of a parameter."""
        return dict(self.params).get(name, default)


@dataclass(slots=True)
class DeliveryAttempt:
    """One try to deliver."""

    at_s: float
    status: int
    """HTTP status; 0 when there was no answer."""
    failure: str
    """Empty, or which kind: `4xx`, `5xx`, `ct`, `rt`."""
    duration_ms: float


@dataclass(slots=True)
class DeliveryEntry:
    """One request to a webhook, with all its tries."""

    at_s: float
    kind: str
    """`voice` for a request that wants TwiML; `call`, `conference`, `recording` for a callback."""
    event: str
    """A voice request's purpose (`program`, `wait`, …), or the event of a callback (`participant-join`)."""
    url: str
    method: str
    params: Params
    call_sid: str
    token: str = ""
    """The value of `I-Twilio-Idempotency-Token`."""
    fault: str = ""
    """The injected fault: `lost`, `doubled`, `delayed`, `held-back`, `failed`; `again` for one that a person sent."""
    attempts: list[DeliveryAttempt] = field(default_factory=list)
    signature: str = ""
    """The value of `X-Twilio-Signature`."""
    answer_type: str = ""
    """`Content-Type` of the last answer."""
    answer: str = ""
    """The beginning of the last answer's body, `ANSWER_MAX` at most."""
    again_of: int | None = None
    """The number in the ledger of the one that this repeats, from 0."""

    @property
    def verdict(self) -> str:
        """What the webhook made of the signature, as far as its last answer tells: `refused`, `accepted`, or nothing.

        Twilio does not say how to refuse a signature; 403 is what its own libraries' examples answer.
        """
        if self.status == 403:
            return "refused"
        return "accepted" if 200 <= self.status < 300 else ""

    @property
    def status(self) -> int:
        """HTTP status of the last try; 0 without an answer."""
        return self.attempts[-1].status if self.attempts else 0

    @property
    def duration_ms(self) -> float:
        """Real time of all tries together."""
        return sum(attempt.duration_ms for attempt in self.attempts)

    def get(self, name: str, default: str = "") -> str:
        """The value of a parameter."""
        return dict(self.params).get(name, default)


@dataclass(frozen=True, slots=True)
class DialEntry:
    """One leg that was dialled, by REST or by a `<Dial>`."""

    at_s: float
    call_sid: str
    to: str
    label: str
    """The participant's label, for a leg made by the Participants API."""
    direction: str


class NumberedLog(list[_T]):
    """A list of which the oldest may be let go; each entry keeps its number, which counts from 0 at the start."""

    dropped = 0
    """How many were let go (count): the number of the first that is there."""

    @property
    def total(self) -> int:
        """How many there ever were (count): the number of the next one."""
        return self.dropped + len(self)

    def numbered(self, number: int) -> _T | None:
        """The entry of a number; None where there is none, or none any more."""
        return self[number - self.dropped] if self.dropped <= number < self.total else None

    def trim(self, limit: int) -> None:
        """Let the oldest go, where there are clearly more than so many."""
        if exceeds(len(self), limit):
            self.dropped += len(self) - limit
            del self[:-limit]


@dataclass(slots=True)
class RequestLog:
    """Everything that was asked and sent since the start or the last reset, in order, as far as it is kept."""

    rest: NumberedLog[RestEntry] = field(default_factory=NumberedLog)
    deliveries: NumberedLog[DeliveryEntry] = field(default_factory=NumberedLog)
    dials: NumberedLog[DialEntry] = field(default_factory=NumberedLog)
    debugger: NumberedLog[DebuggerEntry] = field(default_factory=NumberedLog)
    notice: str = ""
    """A line for everyone who has the phones' page open; empty for none."""

    def trim(self, limit: int) -> None:
        """Let the oldest of each list go, where there are clearly more than so many."""
        for entries in (self.rest, self.deliveries, self.dials, self.debugger):
            entries.trim(limit)

    def requests(self, method: str = "", path_part: str = "") -> list[RestEntry]:
        """REST requests of this method whose path contains this text."""
        return [entry for entry in self.rest if (not method or entry.method == method) and path_part in entry.path]

    def callbacks(self, event: str = "", **params: str) -> list[DeliveryEntry]:
        """Status callbacks of this event with these parameters, lost ones too."""
        return [entry for entry in self.deliveries if entry.kind != "voice" and _matches(entry, event, params)]

    def voice_requests(self, url_part: str = "", **params: str) -> list[DeliveryEntry]:
        """Requests for TwiML to addresses that contain this text, with these parameters."""
        return [
            entry
            for entry in self.deliveries
            if entry.kind == "voice" and url_part in entry.url and _matches(entry, "", params)
        ]

    def dials_to(self, to: str) -> int:
        """How many legs were dialled to this address."""
        return sum(entry.to == to for entry in self.dials)

    def dials_of(self, label: str) -> int:
        """How many legs were dialled under this participant label."""
        return sum(entry.label == label for entry in self.dials)

    def errors(self, code: int = 0) -> list[DebuggerEntry]:
        """Entries of the debugger's list, of this code if one is given."""
        return [entry for entry in self.debugger if code in (0, entry.code)]


def _matches(entry: DeliveryEntry, event: str, params: dict[str, str]) -> bool:
    return event in ("", entry.event) and all(entry.get(name) == value for name, value in params.items())
