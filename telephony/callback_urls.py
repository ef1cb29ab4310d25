"""Callback URLs: the only place that builds the URLs given to Twilio, and parses them again.

Every parser raises `CallbackUrlError` if a field is missing, repeated, or malformed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlencode

from conferral.runtime.errors import ConferralError
from conferral.statemachine.ids import ID_PATTERN
from conferral.statemachine.states import WaitAudio

T = TypeVar("T")

DIAL_ACTION_PATH = "/voice/dial-action"
GATE_PATH = "/voice/gate"
WAIT_PATH = "/voice/wait"
ANNOUNCEMENT_PATH = "/voice/announcement"
FALLBACK_PATH = "/voice/fallback"
CALL_PATH = "/callbacks/call"
CONFERENCE_PATH = "/callbacks/conference"
RECORDING_PATH = "/callbacks/recording"

#: Parsed URLs that are kept, count: a call's callbacks all have the same one, and so do a conference's.
_REMEMBERED = 1024
_WORD = re.compile(r"[A-Za-z0-9_-]{0,64}")
#: Format of a conference name. Source: Twilio docs, Conference resource, `FriendlyName` (at most 128 characters).
_CONFERENCE_NAME = re.compile(r"[A-Za-z0-9_-]{0,128}")
_COUNT = re.compile(r"[1-9]")
#: The gate prompts for a key twice, so it serves its document at most three times.
_QUESTION = re.compile(r"[1-3]")
_KEY = re.compile(r"[0-9]?|other")
#: A URL holds two digits; the directory limits the number of agents.
_AGENT_NUMBER = re.compile(r"[0-9]{1,2}")

#: Connection overrides for TwiML URLs: three attempts of 1 s to connect and 4 s to read fill Twilio's limit of 15 s.
#: The slowest answer (Redis unreachable, then a read of Twilio) takes 3.7 s.
#: Source: Twilio docs, "Webhooks connection overrides".
_TWIML_OVERRIDES = "#rc=2&rp=5xx,ct,rt&ct=1000&rt=4000"
#: Connection overrides for status callbacks, which may be slow but must not be lost: four attempts within the same 15
#: s.
_STATUS_OVERRIDES = "#rc=3&rp=5xx,ct,rt&ct=1000&rt=2700"


class CallbackUrlError(ConferralError):
    """A request's URL was not built here; the request is refused.

    Attributes:
        field: Name of the invalid query field; a fixed word, never request data.
    """

    def __init__(self, field: str) -> None:
        super().__init__("not a callback URL of ours")
        self.field = field


class DialKind(StrEnum):
    """What a `<Dial>` connects to."""

    #: The agent, in the first `<Dial>`.
    BRIDGE = "bridge"
    #: The session's conference.
    CONFERENCE = "conference"


@dataclass(frozen=True, slots=True)
class DialAction:
    """Fields of a `<Dial>` action URL."""

    session_id: str
    party: str
    dial: DialKind
    #: Attempt to run this `<Dial>`, from 1 to 9: a leg is not sent back a third time.
    attempt: int = 1
    #: Requests for this action so far, from 1 to 9; counts up while Redis is unavailable.
    request_number: int = 1
    #: DialCallStatus of the first request, because later ones, after a `<Redirect>`, lack it. Empty if unknown.
    dial_call_status: str = ""
    #: Bridge only: index of the agent that it rings, from 0 to 99.
    agent_number: int = 0
    #: Bridge only: index of the first agent to whom Conferral's own number is shown, because the dial before failed
    #: with the caller's number and is repeated; 0 for none.
    own_number_from: int = 0
    #: Name of the session's conference, for when Redis is unavailable; empty if it equals the session's id.
    conference_name: str = ""

    @property
    def conference(self) -> str:
        """The name with which legs join the session's conference."""
        return self.conference_name or self.session_id

    def next_request(self, dial_call_status: str) -> "DialAction":
        """Return the action of the next request for the same document."""
        return replace(self, request_number=self.request_number + 1, dial_call_status=dial_call_status)


@dataclass(frozen=True, slots=True)
class CallCallback:
    """Fields of a call's status callback URL."""

    session_id: str
    party: str
    #: Id of the dial that placed the call; empty for calls not placed by REST.
    dial: str = ""
    #: Index of the agent that a `<Dial>` rings, from 0 to 99.
    agent_number: int = 0


@dataclass(frozen=True, slots=True)
class Gate:
    """Fields of the URL at which a call placed by REST fetches its document (call screening)."""

    session_id: str
    #: Id of the dial.
    dial: str
    #: 1: the call was just answered; 2 and 3: the first and the second `<Gather>` have ended.
    question: int = 1
    #: Requests for this document so far, from 1 to 9; counts up while Redis is unavailable.
    request_number: int = 1
    #: The key in the first of those requests, because later ones, after a `<Redirect>`, lack it: a digit, `other` for
    #: any other key, empty for none.
    key: str = ""
    #: Whether a previous document has already played the briefing.
    briefed: bool = False

    def next_question(self) -> "Gate":
        """Return the gate for this document's `<Gather>` action."""
        return Gate(self.session_id, self.dial, self.question + 1)

    def after_brief(self) -> "Gate":
        """Return the gate for the `<Redirect>` after the briefing."""
        return Gate(self.session_id, self.dial, self.question, briefed=True)

    def next_request(self, key: str) -> "Gate":
        """Return the gate of the next request for the same document.

        Args:
            key: The pressed key, as `callback_events.digits_of` returns it; empty for none.
        """
        return replace(self, request_number=self.request_number + 1, key=key if _KEY.fullmatch(key) else "other")


@dataclass(frozen=True, slots=True)
class Wait:
    """Fields of the wait URL, which serves the audio of waiting and held parties."""

    session_id: str
    party: str
    #: The audio when the URL was issued; it may have changed since. Never `WaitAudio.NONE`.
    wait_audio: WaitAudio
    #: Whether to say the greeting first.
    with_greeting: bool = False
    #: Whether it is the caller waiting for the first agent, who reopens the session if it is unknown.
    opens_session: bool = False

    def after_greeting(self) -> "Wait":
        """Return the URL's fields once the greeting was said."""
        return replace(self, with_greeting=False)


@dataclass(frozen=True, slots=True)
class Announcement:
    """Fields of the URL that serves an announcement's text."""

    session_id: str
    #: Id of the `announce` command; the text itself never appears in a URL.
    command_id: str


class CallbackUrls:
    """Builds callback URLs under the public URL.

    Each ends in a fragment with connection overrides, which Twilio neither sends nor signs.
    """

    def __init__(self, public_url: str) -> None:
        self._base = public_url.rstrip("/")

    def dial_action(self, action: DialAction) -> str:
        """Return the action URL of a `<Dial>`."""
        fields = {"session": action.session_id, "party": action.party, "dial": action.dial.value}
        fields["attempt"] = str(action.attempt)
        if action.agent_number:
            fields["agent"] = str(action.agent_number)
        if action.own_number_from:
            fields["own"] = str(action.own_number_from)
        if action.conference != action.session_id:
            fields["conference"] = action.conference
        if action.request_number > 1:
            fields |= {"request": str(action.request_number), "status": action.dial_call_status}
        return f"{self._base}{DIAL_ACTION_PATH}?{urlencode(fields)}{_TWIML_OVERRIDES}"

    def call(self, callback: CallCallback) -> str:
        """Return the status callback URL of a call."""
        fields = {"session": callback.session_id, "party": callback.party}
        if callback.dial:
            fields["dial"] = callback.dial
        if callback.agent_number:
            fields["agent"] = str(callback.agent_number)
        return f"{self._base}{CALL_PATH}?{urlencode(fields)}{_STATUS_OVERRIDES}"

    def conference(self, session_id: str) -> str:
        """Return the status callback URL of a conference."""
        return f"{self._base}{CONFERENCE_PATH}?{urlencode({'session': session_id})}{_STATUS_OVERRIDES}"

    def recording(self, session_id: str) -> str:
        """Return the status callback URL of a recording."""
        return f"{self._base}{RECORDING_PATH}?{urlencode({'session': session_id})}{_STATUS_OVERRIDES}"

    def gate(self, gate: Gate) -> str:
        """Return the URL at which a call placed by REST fetches its document."""
        fields = {"session": gate.session_id, "dial": gate.dial, "question": str(gate.question)}
        if gate.request_number > 1:
            fields |= {"request": str(gate.request_number), "key": gate.key}
        if gate.briefed:
            fields["briefed"] = "1"
        return f"{self._base}{GATE_PATH}?{urlencode(fields)}{_TWIML_OVERRIDES}"

    def wait(self, wait: Wait) -> str:
        """Return the wait URL of a waiting or held party."""
        fields = {"session": wait.session_id, "party": wait.party, "audio": wait.wait_audio.value}
        if wait.with_greeting:
            fields["greeting"] = "1"
        if wait.opens_session:
            fields["opens"] = "1"
        return f"{self._base}{WAIT_PATH}?{urlencode(fields)}{_TWIML_OVERRIDES}"

    def announcement(self, announcement: Announcement) -> str:
        """Return the URL of an announcement's text."""
        fields = {"session": announcement.session_id, "command": announcement.command_id}
        return f"{self._base}{ANNOUNCEMENT_PATH}?{urlencode(fields)}{_TWIML_OVERRIDES}"

    def fallback(self) -> str:
        """Return the fallback URL, which Twilio requests when another one fails."""
        return f"{self._base}{FALLBACK_PATH}{_TWIML_OVERRIDES}"

    def parse_dial_action_url(self, url: str) -> DialAction | None:
        """Return the fields of a full URL, as in Twilio's ErrorUrl; None if it is not a dial action URL."""
        return self._parse(url, DIAL_ACTION_PATH, parse_dial_action)

    def parse_gate_url(self, url: str) -> Gate | None:
        """Return the fields of a full URL, as in Twilio's ErrorUrl; None if it is not a gate URL."""
        return self._parse(url, GATE_PATH, parse_gate)

    def _parse(self, url: str, path: str, parse: Callable[[str], T]) -> T | None:
        base, _, query = url.partition("#")[0].partition("?")
        try:
            return parse(query) if query and base == self._base + path else None
        except CallbackUrlError:
            return None


def parse_dial_action(query: str) -> DialAction:
    """Parse the raw query of a dial action URL, without the question mark."""
    fields = _fields(query)
    dial = fields.get("dial", "")
    if dial not in ("bridge", "conference"):
        raise CallbackUrlError("dial")
    status = fields.get("status", "")
    if not _WORD.fullmatch(status):
        raise CallbackUrlError("status")
    conference = fields.get("conference", "")
    if not _CONFERENCE_NAME.fullmatch(conference):
        raise CallbackUrlError("conference")
    return DialAction(
        session_id=_id(fields, "session"),
        party=_id(fields, "party"),
        dial=DialKind(dial),
        attempt=_count(fields, "attempt"),
        request_number=_count(fields, "request"),
        dial_call_status=status,
        agent_number=_agent_number(fields),
        own_number_from=_agent_number(fields, "own"),
        conference_name=conference,
    )


@lru_cache(maxsize=_REMEMBERED)
def parse_call(query: str) -> CallCallback:
    """Parse the query of a call's status callback URL."""
    fields = _fields(query)
    dial = _id(fields, "dial") if "dial" in fields else ""
    return CallCallback(_id(fields, "session"), _id(fields, "party"), dial, _agent_number(fields))


@lru_cache(maxsize=_REMEMBERED)
def parse_session(query: str) -> str:
    """Return the session's id in the query of a conference's or a recording's status callback URL."""
    return _id(_fields(query), "session")


def parse_gate(query: str) -> Gate:
    """Parse the query of a gate URL."""
    fields = _fields(query)
    question, key = fields.get("question", "1"), fields.get("key", "")
    if not _QUESTION.fullmatch(question):
        raise CallbackUrlError("question")
    if not _KEY.fullmatch(key):
        raise CallbackUrlError("key")
    return Gate(
        session_id=_id(fields, "session"),
        dial=_id(fields, "dial"),
        question=int(question),
        request_number=_count(fields, "request"),
        key=key,
        briefed=_flag(fields, "briefed"),
    )


def wait_audio_named(name: str) -> WaitAudio:
    """Return the wait audio of that name; music for a name from a newer version."""
    return WaitAudio(name) if name in tuple(WaitAudio) else WaitAudio.MUSIC


def parse_wait(query: str) -> Wait:
    """Parse the query of a wait URL."""
    fields = _fields(query)
    wait_audio = fields.get("audio", "")
    if wait_audio not in (WaitAudio.RINGBACK, WaitAudio.MUSIC):
        raise CallbackUrlError("audio")
    marks = (_flag(fields, name) for name in ("greeting", "opens"))
    return Wait(_id(fields, "session"), _id(fields, "party"), WaitAudio(wait_audio), *marks)


def parse_announcement(query: str) -> Announcement:
    """Parse the query of an announcement URL."""
    fields = _fields(query)
    return Announcement(_id(fields, "session"), _id(fields, "command"))


def is_conference_name(text: str) -> bool:
    """Whether a text has the format of Conferral's conference names."""
    return bool(text) and _CONFERENCE_NAME.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether a text has the format of a session, call, or party id."""
    return ID_PATTERN.fullmatch(text) is not None


def _fields(query: str) -> dict[str, str]:
    # Values in these URLs never need escaping, so nothing is unescaped; escaped values match no pattern.
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
    """Whether the field is present; its only valid value is 1."""
    if fields.get(name, "1") != "1":
        raise CallbackUrlError(name)
    return name in fields


def _agent_number(fields: dict[str, str], name: str = "agent") -> int:
    value = fields.get(name, "0")
    if not _AGENT_NUMBER.fullmatch(value):
        raise CallbackUrlError(name)
    return int(value)
