"""Everything that an exchange can ask the world around it to do, one frozen class each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from conferral.sandbox.model.inputs import Params

FetchPurpose = Literal["program", "ignored", "whisper", "wait", "hold", "announce"]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Ask an address for TwiML and hand the answer back as TwimlFetched or TwimlFailed with `fetch_id`."""

    fetch_id: int
    call_sid: str
    url: str
    method: str
    params: Params
    purpose: FetchPurpose


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """Tell an address what happened; nobody waits for the answer."""

    kind: Literal["call", "conference", "recording"]
    event: str
    """Twilio's name of it: `answered`, `participant-join`, `recording-completed`."""
    url: str
    method: str
    params: Params
    call_sid: str
    conference_sid: str = ""


@dataclass(frozen=True, slots=True)
class RingPhone:
    """Let the phone at `to` ring; it answers with PhoneRings and what follows."""

    call_sid: str
    from_: str
    to: str
    custom: Params = ()


@dataclass(frozen=True, slots=True)
class AskForKeys:
    """A `<Gather>` begins on this leg: whoever is at the phone is asked to press keys."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class ReleasePhone:
    """The leg is over: the phone goes silent and its script ends."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class DebuggerEntry:
    """An error or warning such as Twilio's debugger lists; it reaches nobody else."""

    code: int
    message: str
    call_sid: str = ""
    url: str = ""


Output = FetchRequest | CallbackRequest | RingPhone | AskForKeys | ReleasePhone | DebuggerEntry


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """What the REST API answers; `body` is None for 204."""

    status: int
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one input."""

    outputs: tuple[Output, ...] = ()
    rest: RestAnswer | None = None
    """The answer, for a RestRequest."""
    call_sid: str = ""
    """The new call, for an InboundCall."""
    changed: bool = field(default=True)
    """False when the input found nothing to do, as a late answer of a call that is over."""
