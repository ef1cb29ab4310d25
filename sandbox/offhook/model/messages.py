"""The model's inputs, and its outputs: what the sandbox must do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from offhook.model.media import Media

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


PhoneKind = Literal["person", "silent-person", "screened-person", "mailbox", "mailbox-with-beep", "fax"]


@dataclass(frozen=True, slots=True)
class PhoneAnswers(PhoneInput):
    """A dialed phone is answered, by a person unless `kind` says otherwise."""

    kind: PhoneKind = "person"


@dataclass(frozen=True, slots=True)
class PhoneRefuses(PhoneInput):
    """A dialed phone does not take the call."""

    sip_code: Literal[404, 486, 603]  #: It can't be reached, is busy, or its user declines (by a browser: 600).


class PhoneHangsUp(PhoneInput):
    """The leg's user hangs up; a caller may do so while ringing."""


@dataclass(frozen=True, slots=True)
class PhonePresses(PhoneInput):
    """The leg's user presses keys."""

    digits: str


@dataclass(frozen=True, slots=True)
class PhoneSpeaks(PhoneInput):
    """The leg's user says `text`, or, without it, starts speaking."""

    text: str = ""


class PhoneFallsSilent(PhoneInput):
    """The leg's user stops speaking."""


@dataclass(frozen=True, slots=True)
class RestRequest:
    """An authenticated request to the REST API."""

    method: str
    path: str  #: After `/2010-04-01/Accounts/{AccountSid}`, percent-decoded by segment: `/Calls.json`.
    params: Params = ()


class Alert(IntEnum):
    """Twilio's codes of the errors that programs cause most."""

    BAD_URL = 11100
    BAD_RESPONSE = 11200  #: Its status is an error, or there is none in time.
    NO_CONNECTION = 11205
    UNKNOWN_HOST = 11210
    BAD_TLS = 11220
    BAD_DOCUMENT = 12100  #: No XML, or no TwiML.
    BAD_ELEMENT = 12200
    BAD_CONTENT_TYPE = 12300
    CALLBACK_REFUSED = 15003  #: A call's status callback.
    CONFERENCE_CALLBACK_FAILED = 16010


#: Why there is no answer, by Twilio's code.
FAILURES: Mapping[int, str] = {
    Alert.BAD_URL: "invalid URL",
    Alert.BAD_RESPONSE: "no response in time",
    Alert.NO_CONNECTION: "connection refused, or not made in time",
    Alert.UNKNOWN_HOST: "unknown host",
    Alert.BAD_TLS: "TLS failed",
}


@dataclass(frozen=True, slots=True)
class TwimlFetched:
    """A requested document has arrived, whatever its status, or can't."""

    fetch_id: int
    status: int = 0  #: 0 without an answer.
    content_type: str = ""
    body: bytes = b""
    url: str = ""  #: After redirects; empty for the requested URL.
    error_code: int = 11205  #: Without an answer: one of `FAILURES`.

    @property
    def failure(self) -> str:
        """Why it has no document."""
        return f"status {self.status}" if self.status else FAILURES.get(self.error_code, "no answer")


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Time has passed; everything due happens."""


@dataclass(frozen=True, slots=True)
class IncomingText:
    """Someone sends a text message to a number of the account."""

    from_: str
    to: str
    body: str


PhoneEvent = PhoneRings | PhoneAnswers | PhoneRefuses | PhoneHangsUp | PhonePresses | PhoneSpeaks | PhoneFallsSilent
Input = InboundCall | IncomingText | PhoneEvent | RestRequest | TwimlFetched | TimePassed

CallbackKind = Literal["call", "conference", "recording", "message"]
FetchPurpose = Literal["program", "ignored", "whisper", "wait", "hold", "announce", "message"]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Fetch TwiML; its TwimlFetched has the same `fetch_id`."""

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
    owner_sid: str = ""  #: Of the conference, call, or message, whose callbacks arrive in order.


@dataclass(frozen=True, slots=True)
class RingPhone:
    """Ring the phone at `to`; it responds with PhoneRings and so on."""

    call_sid: str
    from_: str
    to: str
    custom: Params = ()


@dataclass(frozen=True, slots=True)
class PhoneConnected:
    """The leg is answered: by the dialed phone, or, of a caller, by TwiML."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class AskForKeys:
    """A `<Gather>`, or a field of a `<Pay>`, waits for keys on this leg."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class AskForSpeech:
    """A `<Record>` or a `<Gather>` starts on this leg and waits for speech."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class ReleasePhone:
    """The leg has ended: the phone stops, and so does its script."""

    call_sid: str


Level = Literal["error", "warning"]
NOT_MODELED = 0  #: The code of what the sandbox ignores, and Twilio wouldn't.
#: Source: Twilio docs, Error and Warning Dictionary. All others that the sandbox uses are errors there.
WARNINGS = frozenset({12200, 13000, 13214, 13223, 13236, 15003, 20001, 21262, 21626})


@dataclass(frozen=True, slots=True)
class DebuggerEntry:
    """An error or warning in Twilio's debugger, which alone shows it."""

    code: int  #: Twilio's, or `NOT_MODELED`.
    message: str
    call_sid: str = ""
    url: str = ""
    level: Level = "error"
    at_s: float = 0.0


Output = (
    FetchRequest
    | CallbackRequest
    | RingPhone
    | PhoneConnected
    | AskForKeys
    | AskForSpeech
    | ReleasePhone
    | DebuggerEntry
)


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """A response of the REST API: JSON, a file, or, with 204, nothing."""

    status: int
    body: dict[str, Any] | None = None
    media: Media | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one input."""

    outputs: tuple[Output, ...] = ()
    rest: RestAnswer | None = None  #: To a RestRequest.
    call_sid: str = ""  #: The new call's, for an InboundCall.
