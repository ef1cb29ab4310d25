"""The callback URLs that are handed to Twilio: the one place that builds them, and the one that reads them back."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlencode

from conferral.runtime.errors import ConferralError
from conferral.statemachine.ids import ID_PATTERN
from conferral.statemachine.states import WaitAudio

DIAL_ACTION_PATH = "/voice/dial-action"
GATE_PATH = "/voice/gate"
WAIT_PATH = "/voice/wait"
ANNOUNCEMENT_PATH = "/voice/announcement"
FALLBACK_PATH = "/voice/fallback"
CALL_PATH = "/callbacks/call"
CONFERENCE_PATH = "/callbacks/conference"
RECORDING_PATH = "/callbacks/recording"

_WORD = re.compile(r"[A-Za-z0-9_-]{0,64}")
#: A conference's name. Source: Twilio docs, Conference resource, `FriendlyName` (128 characters at most).
_CONFERENCE_NAME = re.compile(r"[A-Za-z0-9_-]{0,128}")
_COUNT = re.compile(r"[1-9]")
#: A gate asks for a key twice, so its document is asked for three times at most.
_QUESTION = re.compile(r"[1-3]")
_KEY = re.compile(r"[0-9]?|other")
#: How many agents there are to be tried is bounded where they are named; a URL takes two digits.
_AGENT_NUMBER = re.compile(r"[0-9]{1,2}")

#: For URLs whose answer is TwiML: three tries of 1 s to connect and 4 s to read are the 15 s that Twilio grants in all.
#: Our slowest answer, Redis silent and then a look at Twilio, takes 3.7 s.
#: Source: Twilio docs, "Webhooks connection overrides".
_TWIML_OVERRIDES = "#rc=2&rp=5xx,ct,rt&ct=1000&rt=4000"
#: For status callbacks, which nobody waits for but which must not be lost: four tries within the same 15 s.
_STATUS_OVERRIDES = "#rc=3&rp=5xx,ct,rt&ct=1000&rt=2700"


class CallbackUrlError(ConferralError):
    """A URL is not one that was built here: the request that came to it is refused.

    Attributes:
        field: The query field at fault; a fixed word, never something that was sent.
    """

    def __init__(self, field: str) -> None:
        super().__init__("not a callback URL of ours")
        self.field = field


class DialKind(StrEnum):
    """What a `<Dial>` of ours connects to."""

    #: The agent, by the first `<Dial>`.
    BRIDGE = "bridge"
    #: The session's conference.
    CONFERENCE = "conference"


@dataclass(frozen=True, slots=True)
class DialAction:
    """What a `<Dial>` action's URL says."""

    session_id: str
    party: str
    dial: DialKind
    #: Which try of this `<Dial>` it is, from 1 to 9: who asks a second time is not sent back a third.
    attempt: int = 1
    #: How often this very action was asked, from 1 to 9: grows while Redis is waited for.
    request_number: int = 1
    #: DialCallStatus as the first request told it: those that follow a `<Redirect>` have none. Empty when unknown.
    dial_call_status: str = ""
    #: Of the bridge: which of the agents to be tried it rings, from 0 to 99.
    agent_number: int = 0
    #: Of the bridge: from which of them on our own number is shown, since the one before failed with the caller's and
    #: is tried again; 0 for none of them.
    own_number_from: int = 0
    #: The name of the session's conference, for when Redis can't be asked; empty if it is the session's id.
    conference_name: str = ""

    @property
    def conference(self) -> str:
        """The name by which the session's conference is joined."""
        return self.conference_name or self.session_id

    def next_request(self, dial_call_status: str) -> "DialAction":
        """The same question, put once more."""
        return replace(self, request_number=self.request_number + 1, dial_call_status=dial_call_status)


@dataclass(frozen=True, slots=True)
class CallCallback:
    """What a call's status callback URL says."""

    session_id: str
    party: str
    #: Id of the dial that placed the call; empty for calls that were not placed by REST.
    dial: str = ""
    #: Of an agent whom a `<Dial>` rings: which of the agents to be tried it is, from 0 to 99.
    agent_number: int = 0


@dataclass(frozen=True, slots=True)
class Gate:
    """What the URL says at which a call that was placed by REST asks for its document."""

    session_id: str
    #: Id of the dial.
    dial: str
    #: 1: the call was answered just now; 2 and 3: the first and the second `<Gather>` has ended.
    question: int = 1
    #: Which request for this very document it is, from 1 to 9: grows while Redis is waited for.
    request_number: int = 1
    #: The key that the first of those requests told, since those that follow a `<Redirect>` tell none: a digit, `other`
    #: for every other key, empty for none.
    key: str = ""
    #: Whether the call has heard what it is about, by a document that did nothing else.
    briefed: bool = False

    def next_question(self) -> "Gate":
        """What the `<Gather>` of this document asks when it ends."""
        return Gate(self.session_id, self.dial, self.question + 1)

    def after_brief(self) -> "Gate":
        """What a document that only tells what it is about asks when it ends."""
        return Gate(self.session_id, self.dial, self.question, briefed=True)

    def next_request(self, key: str) -> "Gate":
        """The same request, put once more.

        Args:
            key: What was pressed, as `callbacks.digits_of` tells it; empty for nothing.
        """
        return replace(self, request_number=self.request_number + 1, key=key if _KEY.fullmatch(key) else "other")


@dataclass(frozen=True, slots=True)
class Wait:
    """What the URL says from which somebody who waits or is held gets what to hear."""

    session_id: str
    party: str
    #: What the party should hear when the URL was handed out; it may be another one by now. Never `Tune.NONE`.
    wait_audio: WaitAudio
    #: Whether the greeting is said first.
    with_greeting: bool = False
    #: Whether it is the caller who waits for the first agent: where his session is not known, he opens it again.
    opens_session: bool = False

    def after_greeting(self) -> "Wait":
        """What is asked for once the greeting was said."""
        return replace(self, with_greeting=False)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the URL says from which an announcement's sentence is fetched."""

    session_id: str
    #: Id of the `announce` command; the sentence itself stands in no URL.
    command_id: str


@dataclass(frozen=True, slots=True)
class ConferenceCallback:
    """What a conference's status callback URL says."""

    session_id: str


@dataclass(frozen=True, slots=True)
class RecordingCallback:
    """What a recording's status callback URL says."""

    session_id: str


class CallbackUrls:
    """Builds URLs under the public one.

    Each ends in a fragment that asks Twilio to try again; fragments are neither sent to us nor signed.
    """

    def __init__(self, public_url: str) -> None:
        self._base = public_url.rstrip("/")

    def dial_action(self, action: DialAction) -> str:
        """The URL that a `<Dial>` asks when it ends."""
        fields = {"session": action.session_id, "party": action.party, "dial": action.dial.value}
        fields["attempt"] = str(action.attempt)
        if action.agent_number:
            fields["agent"] = str(action.agent_number)
        if action.own_number_from:
            fields["own"] = str(action.own_number_from)
        if action.conference != action.session_id:
            fields["room"] = action.conference
        if action.request_number > 1:
            fields |= {"asked": str(action.request_number), "status": action.dial_call_status}
        return f"{self._base}{DIAL_ACTION_PATH}?{urlencode(fields)}{_TWIML_OVERRIDES}"

    def call(self, callback: CallCallback) -> str:
        """The URL that hears of a call's progress."""
        fields = {"session": callback.session_id, "party": callback.party}
        if callback.dial:
            fields["dial"] = callback.dial
        if callback.agent_number:
            fields["agent"] = str(callback.agent_number)
        return f"{self._base}{CALL_PATH}?{urlencode(fields)}{_STATUS_OVERRIDES}"

    def conference(self, callback: ConferenceCallback) -> str:
        """The URL that hears of the conference."""
        return f"{self._base}{CONFERENCE_PATH}?{urlencode({'session': callback.session_id})}{_STATUS_OVERRIDES}"

    def recording(self, callback: RecordingCallback) -> str:
        """The URL that hears of a recording."""
        return f"{self._base}{RECORDING_PATH}?{urlencode({'session': callback.session_id})}{_STATUS_OVERRIDES}"

    def gate(self, gate: Gate) -> str:
        """The URL that a call asks which was placed by REST."""
        fields = {"session": gate.session_id, "dial": gate.dial, "asked": str(gate.question)}
        if gate.request_number > 1:
            fields |= {"waited": str(gate.request_number), "key": gate.key}
        if gate.briefed:
            fields["briefed"] = "1"
        return f"{self._base}{GATE_PATH}?{urlencode(fields)}{_TWIML_OVERRIDES}"

    def wait(self, wait: Wait) -> str:
        """The URL from which somebody who waits or is held gets what to hear."""
        fields = {"session": wait.session_id, "party": wait.party, "tune": wait.wait_audio.value}
        if wait.with_greeting:
            fields["greeting"] = "1"
        if wait.opens_session:
            fields["opens"] = "1"
        return f"{self._base}{WAIT_PATH}?{urlencode(fields)}{_TWIML_OVERRIDES}"

    def announcement(self, announcement: Announcement) -> str:
        """The URL from which an announcement's sentence is fetched."""
        fields = {"session": announcement.session_id, "command": announcement.command_id}
        return f"{self._base}{ANNOUNCEMENT_PATH}?{urlencode(fields)}{_TWIML_OVERRIDES}"

    def fallback(self) -> str:
        """The URL that is asked when one of the others fails."""
        return f"{self._base}{FALLBACK_PATH}{_TWIML_OVERRIDES}"

    def parse_dial_action_url(self, url: str) -> DialAction | None:
        """What a whole URL says, as Twilio names it in ErrorUrl; None when it is no dial action of ours."""
        query = self._query_of(url, DIAL_ACTION_PATH)
        try:
            return parse_dial_action(query) if query else None
        except CallbackUrlError:
            return None

    def parse_gate_url(self, url: str) -> Gate | None:
        """What a whole URL says, as Twilio names it in ErrorUrl; None when it is no gate of ours."""
        query = self._query_of(url, GATE_PATH)
        try:
            return parse_gate(query) if query else None
        except CallbackUrlError:
            return None

    def _query_of(self, url: str, path: str) -> str:
        """The query of a URL with this path under the public one; empty for every other URL."""
        base, _, query = url.partition("#")[0].partition("?")
        return query if base == self._base + path else ""


def parse_dial_action(query: str) -> DialAction:
    """What a dial action's query says.

    Args:
        query: The raw query, without the question mark.

    Raises:
        CallbackUrlError: a field is missing, repeated or malformed.
    """
    fields = _fields(query)
    dial = fields.get("dial", "")
    if dial not in ("bridge", "conference"):
        raise CallbackUrlError("dial")
    status = fields.get("status", "")
    if not _WORD.fullmatch(status):
        raise CallbackUrlError("status")
    conference = fields.get("room", "")
    if not _CONFERENCE_NAME.fullmatch(conference):
        raise CallbackUrlError("room")
    return DialAction(
        session_id=_id(fields, "session"),
        party=_id(fields, "party"),
        dial=DialKind(dial),
        attempt=_count(fields, "attempt"),
        request_number=_count(fields, "asked"),
        dial_call_status=status,
        agent_number=_agent_number(fields),
        own_number_from=_agent_number(fields, "own"),
        conference_name=conference,
    )


def parse_call(query: str) -> CallCallback:
    """What a call callback's query says.

    Raises:
        CallbackUrlError: a field is missing, repeated or malformed.
    """
    fields = _fields(query)
    dial = _id(fields, "dial") if "dial" in fields else ""
    return CallCallback(_id(fields, "session"), _id(fields, "party"), dial, _agent_number(fields))


def parse_conference(query: str) -> ConferenceCallback:
    """What a conference callback's query says.

    Raises:
        CallbackUrlError: a field is missing, repeated or malformed.
    """
    return ConferenceCallback(_id(_fields(query), "session"))


def parse_recording(query: str) -> RecordingCallback:
    """What a recording callback's query says.

    Raises:
        CallbackUrlError: a field is missing, repeated or malformed.
    """
    return RecordingCallback(_id(_fields(query), "session"))


def parse_gate(query: str) -> Gate:
    """What a gate's query says.

    Raises:
        CallbackUrlError: a field is missing, repeated or malformed.
    """
    fields = _fields(query)
    asked, key = fields.get("asked", "1"), fields.get("key", "")
    if not _QUESTION.fullmatch(asked):
        raise CallbackUrlError("asked")
    if not _KEY.fullmatch(key):
        raise CallbackUrlError("key")
    return Gate(
        session_id=_id(fields, "session"),
        dial=_id(fields, "dial"),
        question=int(asked),
        request_number=_count(fields, "waited"),
        key=key,
        briefed=_flag(fields, "briefed"),
    )


def wait_audio_named(name: str) -> WaitAudio:
    """The tune of a name; music for a name that only a newer version knows."""
    return WaitAudio(name) if name in tuple(WaitAudio) else WaitAudio.MUSIC


def parse_wait(query: str) -> Wait:
    """What a wait document's query says.

    Raises:
        CallbackUrlError: a field is missing, repeated or malformed.
    """
    fields = _fields(query)
    wait_audio = fields.get("tune", "")
    if wait_audio not in (WaitAudio.RINGBACK, WaitAudio.MUSIC):
        raise CallbackUrlError("tune")
    marks = (_flag(fields, name) for name in ("greeting", "opens"))
    return Wait(_id(fields, "session"), _id(fields, "party"), WaitAudio(wait_audio), *marks)


def parse_announcement(query: str) -> Announcement:
    """What an announcement document's query says.

    Raises:
        CallbackUrlError: a field is missing, repeated or malformed.
    """
    fields = _fields(query)
    return Announcement(_id(fields, "session"), _id(fields, "command"))


def is_conference_name(text: str) -> bool:
    """Whether a conference of ours may be named so."""
    return bool(text) and _CONFERENCE_NAME.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether a text may be an id of a session, a call or a party."""
    return ID_PATTERN.fullmatch(text) is not None


def _fields(query: str) -> dict[str, str]:
    # Nothing that stands in these URLs needs escaping, so nothing is unescaped: what was escaped matches no pattern.
    fields: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name in fields:
            raise CallbackUrlError("query")
        fields[name] = value
    return fields


def _id(fields: dict[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not ID_PATTERN.fullmatch(value):
        raise CallbackUrlError(name)
    return value


def _count(fields: dict[str, str], name: str) -> int:
    value = fields.get(name, "1")
    if not _COUNT.fullmatch(value):
        raise CallbackUrlError(name)
    return int(value)


def _flag(fields: dict[str, str], name: str) -> bool:
    """Whether a field is there, which then says 1."""
    if fields.get(name, "1") != "1":
        raise CallbackUrlError(name)
    return name in fields


def _agent_number(fields: dict[str, str], name: str = "agent") -> int:
    value = fields.get(name, "0")
    if not _AGENT_NUMBER.fullmatch(value):
        raise CallbackUrlError(name)
    return int(value)
