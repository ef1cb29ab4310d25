"""Everything that can happen to an exchange, one frozen class each."""

from __future__ import annotations

from dataclasses import dataclass

Params = tuple[tuple[str, str], ...]
"""Form parameters in the order in which they are sent; a name may come more than once."""


@dataclass(frozen=True, slots=True)
class InboundCall:
    """Somebody dials one of the account's numbers, or a browser calls through an application."""

    from_: str
    to: str
    custom: Params = ()
    """Parameters of the caller's own choice, which arrive beside Twilio's (browser calls)."""
    url: str = ""
    """Where this call asks for TwiML, if not where the number does."""


@dataclass(frozen=True, slots=True)
class PhoneRings:
    """The phone that a leg dials has begun to ring."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class PhoneAnswers:
    """The phone that a leg dials was picked up."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class PhoneBusy:
    """The phone that a leg dials is busy (SIP 486)."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class PhoneRejects:
    """The person at the phone refuses the call (SIP 603)."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class PhoneFails:
    """The phone that a leg dials can't be reached (SIP 404)."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class PhoneHangsUp:
    """The person on this leg hangs up; a caller may do so while ringing."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class PhonePresses:
    """The person on this leg presses keys."""

    call_sid: str
    digits: str


@dataclass(frozen=True, slots=True)
class PhoneSpeaks:
    """The person on this leg begins to speak."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class PhoneFallsSilent:
    """The person on this leg stops speaking."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class UnknownCallback:
    """Twilio tells something that this model has no reason to tell, such as an event that it does not know.

    It goes where events of that call, conference or recording go, whichever of them were asked for.
    """

    sid: str
    """Of a call (`CA`), a conference (`CF`) or a recording (`RE`)."""
    event: str
    """The conference's StatusCallbackEvent, the call's CallStatus, the recording's RecordingStatus."""
    params: Params = ()
    """Beside the usual ones, or in their place. A conference's `CallSid` brings that participant's parameters."""


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request of the REST API whose credentials were already checked.

    `path` is what follows `/2010-04-01/Accounts/{AccountSid}`, percent-decoded part by part: `/Calls.json`.
    """

    method: str
    path: str
    params: Params = ()


@dataclass(frozen=True, slots=True)
class TwimlFetched:
    """A document that the exchange asked for has come, whatever its HTTP status."""

    fetch_id: int
    status: int
    content_type: str
    body: bytes
    url: str = ""
    """Where it came from after redirects; empty for the address that was asked."""


@dataclass(frozen=True, slots=True)
class TwimlFailed:
    """A document that the exchange asked for could not be got.

    `error_code` is Twilio's: 11205 no connection, 11200 time-out or bad answer, 11210 unknown host, 11220 TLS.
    """

    fetch_id: int
    error_code: int = 11205


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened but time; whatever is due is done."""


Input = (
    InboundCall
    | PhoneRings
    | PhoneAnswers
    | PhoneBusy
    | PhoneRejects
    | PhoneFails
    | PhoneHangsUp
    | PhonePresses
    | PhoneSpeaks
    | PhoneFallsSilent
    | UnknownCallback
    | RestRequest
    | TwimlFetched
    | TwimlFailed
    | TimePassed
)
