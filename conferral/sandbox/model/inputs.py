"""Inputs of the model, one frozen class each."""

from dataclasses import dataclass

Params = tuple[tuple[str, str], ...]  #: Form parameters in sending order; a name may repeat.


@dataclass(frozen=True, slots=True)
class InboundCall:
    """A caller dials a number or SIP URI, or a browser an application."""

    from_: str
    to: str
    custom: Params = ()  #: A browser's own parameters, which arrive alongside Twilio's.
    headers: Params = ()  #: Of a SIP call, `X-…`; Twilio docs, SIP and TwiML Interaction.
    url: str = ""  #: This call's voice URL, if it differs from the number's.


@dataclass(frozen=True, slots=True)
class PhoneInput:
    """Base class of what happens at a leg's phone."""

    call_sid: str


class PhoneRings(PhoneInput):
    """A dialed phone starts ringing."""


class PhoneAnswers(PhoneInput):
    """A dialed phone is answered."""


class PhoneBusy(PhoneInput):
    """A dialed phone is busy (SIP 486)."""


class PhoneRejects(PhoneInput):
    """A dialed phone's user declines the call (SIP 603)."""


class PhoneFails(PhoneInput):
    """A dialed phone can't be reached (SIP 404)."""


class PhoneHangsUp(PhoneInput):
    """The leg's user hangs up; a caller may do so while ringing."""


@dataclass(frozen=True, slots=True)
class PhonePresses(PhoneInput):
    """The leg's user presses keys."""

    digits: str


class PhoneSpeaks(PhoneInput):
    """The leg's user starts speaking."""


class PhoneFallsSilent(PhoneInput):
    """The leg's user stops speaking."""


@dataclass(frozen=True, slots=True)
class RestRequest:
    """An authenticated request to the REST API."""

    method: str
    path: str  #: After `/2010-04-01/Accounts/{AccountSid}`, percent-decoded by segment: `/Calls.json`.
    params: Params = ()


@dataclass(frozen=True, slots=True)
class TwimlFetched:
    """A requested document has arrived, with any HTTP status."""

    fetch_id: int
    status: int
    content_type: str
    body: bytes
    url: str = ""  #: After redirects; empty for the requested URL.


@dataclass(frozen=True, slots=True)
class TwimlFailed:
    """A requested document couldn't be fetched."""

    fetch_id: int
    error_code: int = 11205  #: 11205 no connection, 11200 timeout or bad response, 11210 unknown host, 11220 TLS.


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Time has passed; everything due happens."""


PhoneEvent = (
    PhoneRings | PhoneAnswers | PhoneBusy | PhoneRejects | PhoneFails | PhoneHangsUp | PhonePresses
    | PhoneSpeaks | PhoneFallsSilent
)  # fmt: skip
Input = InboundCall | PhoneEvent | RestRequest | TwimlFetched | TwimlFailed | TimePassed
