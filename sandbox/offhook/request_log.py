"""Request log for tests: REST requests, webhook deliveries, dials.

Times `at_s` are in sandbox time, durations in real milliseconds.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from offhook.model.messages import DebuggerEntry, Params

_T = TypeVar("_T")

RESPONSE_BYTES_MAX = 10 * 1024  #: Kept of a webhook's response.


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits; finished calls are removed once a tenth more are kept."""

    finished_calls_max: int = 2_000  #: And as many finished conferences.
    log_entries_max: int = 10_000  #: Of each list in the request log.

    def __str__(self) -> str:
        return (
            f"{self.finished_calls_max:,} finished calls and conferences, "
            f"and {self.log_entries_max:,} requests of each kind"
        )


@dataclass(slots=True)
class RestEntry:
    """One request to the REST API."""

    at_s: float
    method: str
    path: str  #: After the account: `/Calls.json`.
    params: Params
    status: int = 0  #: HTTP status; 0 while in progress, or if the connection was cut.
    code: int = 0  #: Twilio's error code, if rejected.
    applied: bool = False  #: Whether it reached the model, even if rejected there.
    fault: str = ""  #: `429`, `500-before`, `500-after`, `cut-before`, `cut-after`, `latency`.
    duration_ms: float = 0.0

    def get(self, name: str, default: str = "") -> str:
        """Return the last value of a request parameter."""
        return dict(self.params).get(name, default)


@dataclass(slots=True)
class DeliveryAttempt:
    """One delivery attempt."""

    at_s: float
    status: int  #: HTTP status; 0 without a response.
    failure: str  #: Empty, or the kind of failure: `4xx`, `5xx`, `ct`, `rt`.
    duration_ms: float


@dataclass(slots=True)
class DeliveryEntry:
    """One request to a webhook, with all its attempts."""

    at_s: float
    kind: str  #: `voice` for a TwiML request; `call`, `conference`, `recording` for a callback.
    event: str  #: A voice request's purpose (`program`, `wait`, …), or a callback's event (`participant-join`).
    url: str
    method: str
    params: Params
    call_sid: str
    token: str = ""  #: `I-Twilio-Idempotency-Token`.
    fault: str = ""  #: `lost`, `doubled`, `delayed`, `held-back`, `failed`.
    attempts: list[DeliveryAttempt] = field(default_factory=list)
    signature: str = ""  #: `X-Twilio-Signature`.
    signed_by: str = ""  #: `X-Twilio-Webhooks-Signature-Settings`; empty if the auth token signed.
    answer_type: str = ""  #: `Content-Type` of the last response.
    answer: str = ""  #: The start of the last response's body, at most `RESPONSE_BYTES_MAX` bytes.

    @property
    def verdict(self) -> str:
        """How the webhook judged the signature: `refused`, `accepted`, or empty.

        Twilio doesn't specify how to reject a signature; the examples of its libraries respond with 403.
        """
        if self.status == 403:
            return "refused"
        return "accepted" if 200 <= self.status < 300 else ""

    @property
    def status(self) -> int:
        """HTTP status of the last attempt; 0 without a response."""
        return self.attempts[-1].status if self.attempts else 0

    @property
    def duration_ms(self) -> float:
        """Real time of all attempts together."""
        return sum(attempt.duration_ms for attempt in self.attempts)

    def get(self, name: str, default: str = "") -> str:
        """Return the value of a parameter."""
        return dict(self.params).get(name, default)


@dataclass(frozen=True, slots=True)
class DialEntry:
    """One dialed leg, by REST or by a `<Dial>`."""

    at_s: float
    call_sid: str
    to: str
    label: str  #: Of a leg created by the Participants API.
    direction: str


class NumberedLog(list[_T]):
    """A list that can drop old entries; the others keep their numbers."""

    dropped = 0  #: Also the number of the first remaining entry.

    @property
    def total(self) -> int:
        """How many entries there ever were: the number of the next one."""
        return self.dropped + len(self)

    def trim(self, limit: int) -> None:
        """Drop the oldest entries beyond the limit."""
        self.dropped += max(0, len(self) - limit)
        del self[:-limit]


@dataclass(slots=True)
class RequestLog:
    """All requests since the last reset, within the retention limits."""

    rest: NumberedLog[RestEntry] = field(default_factory=NumberedLog)
    deliveries: NumberedLog[DeliveryEntry] = field(default_factory=NumberedLog)
    dials: NumberedLog[DialEntry] = field(default_factory=NumberedLog)
    debugger: NumberedLog[DebuggerEntry] = field(default_factory=NumberedLog)

    def trim(self, limit: int) -> None:
        """Trim each list."""
        for entries in (self.rest, self.deliveries, self.dials, self.debugger):
            entries.trim(limit)

    def requests(self, method: str = "", path_part: str = "") -> list[RestEntry]:
        """Return REST requests with this method and this text in the path."""
        return [entry for entry in self.rest if (not method or entry.method == method) and path_part in entry.path]

    def callbacks(self, event: str = "", **params: str) -> list[DeliveryEntry]:
        """Return callbacks of this event with these parameters, even lost ones."""
        return [entry for entry in self.deliveries if entry.kind != "voice" and _matches(entry, event, params)]

    def voice_requests(self, url_part: str = "", **params: str) -> list[DeliveryEntry]:
        """Return TwiML requests with these parameters and this text in the URL."""
        voice = (entry for entry in self.deliveries if entry.kind == "voice" and url_part in entry.url)
        return [entry for entry in voice if _matches(entry, "", params)]

    def dials_to(self, to: str) -> int:
        """Return the number of legs dialed to this address."""
        return sum(entry.to == to for entry in self.dials)


def _matches(entry: DeliveryEntry, event: str, params: dict[str, str]) -> bool:
    return event in ("", entry.event) and all(entry.get(name) == value for name, value in params.items())
