"""Outputs of the model, one frozen class each: what the sandbox must do."""

from dataclasses import dataclass
from typing import Any, Literal

from conferral.sandbox.model.inputs import Params

CallbackKind = Literal["call", "conference", "recording"]
FetchPurpose = Literal["program", "ignored", "whisper", "wait", "hold", "announce"]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Fetch TwiML; its TwimlFetched or TwimlFailed has the same `fetch_id`."""

    fetch_id: int
    call_sid: str
    url: str
    method: str
    params: Params
    purpose: FetchPurpose


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """Send a callback; the response doesn't matter."""

    kind: CallbackKind
    event: str  #: Twilio's name: `answered`, `participant-join`, `recording-completed`.
    url: str
    method: str
    params: Params
    call_sid: str


@dataclass(frozen=True, slots=True)
class RingPhone:
    """Ring the phone at `to`; it responds with PhoneRings and so on."""

    call_sid: str
    from_: str
    to: str
    custom: Params = ()


@dataclass(frozen=True, slots=True)
class AskForKeys:
    """A `<Gather>` starts on this leg and waits for keys."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class ReleasePhone:
    """The leg has ended: the phone stops, and so does its script."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class DebuggerEntry:
    """An error or warning in Twilio's debugger, which alone shows it."""

    code: int
    message: str
    call_sid: str = ""
    url: str = ""


Output = FetchRequest | CallbackRequest | RingPhone | AskForKeys | ReleasePhone | DebuggerEntry


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """A response of the REST API; `body` is None for 204."""

    status: int
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one input."""

    outputs: tuple[Output, ...] = ()
    rest: RestAnswer | None = None  #: To a RestRequest.
    call_sid: str = ""  #: The new call's, for an InboundCall.
