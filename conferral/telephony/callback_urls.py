"""Callback URLs: the only place that builds and parses them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import urlencode

from conferral.runtime.errors import ConferralError
from conferral.statemachine.ids import ID_PATTERN
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.statemachine.states import WaitAudio

DIAL_ACTION_PATH = "/voice/dial-action"
GATE_PATH = "/voice/gate"
WAIT_PATH = "/voice/wait"
ANNOUNCEMENT_PATH = "/voice/announcement"
FALLBACK_PATH = "/voice/fallback"
HANDOFF_PATH = "/voice/handoff"
CALL_PATH = "/callbacks/call"
CONFERENCE_PATH = "/callbacks/conference"
RECORDING_PATH = "/callbacks/recording"
VOICEMAIL_PATH = "/voice/voicemail"
#: How the fallback URL's query begins for a hand-off's caller; its options follow. Even if your app placed the call, it
#: is no party that we dialed.
_HANDED_OFF = "handoff=1"
#: A session that does not exist: `conferral check` asks for its announcement.
CHECK_SESSION = "conferral-check"

#: Format of a conference name. Source: Twilio docs, Conference resource, `FriendlyName` (at most 128 characters).
_CONFERENCE_NAME = re.compile(r"[A-Za-z0-9_-]{0,128}")
_KEY = re.compile(r"[0-9]?|other")

#: Overrides for TwiML URLs: three attempts of 1 s to connect and 4 s to read fill Twilio's limit of 15 s. The slowest
#: answer (Redis unreachable, then a read of Twilio) takes 3.7 s. Source: Twilio docs, "Webhooks connection overrides".
_TWIML_OVERRIDES = "#rc=2&rp=5xx,ct,rt&ct=1000&rt=4000"
#: Overrides for status callbacks, which may be slow but must not be lost: four attempts within the same 15 s.
_STATUS_OVERRIDES = "#rc=3&rp=5xx,ct,rt&ct=1000&rt=2700"


class CallbackUrlError(ConferralError):
    """A field of a request's URL is missing, repeated, or malformed."""

    def __init__(self, field: str) -> None:
        super().__init__("not a callback URL of ours")
        #: Name of the query field; a fixed word, never request data.
        self.field = field


class DialKind(StrEnum):
    """What a `<Dial>` connects to."""

    #: The other party, without a conference.
    BRIDGE = "bridge"
    #: The session's conference.
    CONFERENCE = "conference"


def _query(name: str, pattern: re.Pattern[str] | str, read: Callable[[str], Any] = str) -> Mapping[str, Any]:
    """Return a field's metadata: its name in the query, format, and type."""
    return {"name": name, "pattern": re.compile(pattern), "read": read}


_SESSION, _PARTY, _DIAL = (_query(name, ID_PATTERN) for name in ("session", "party", "dial"))
_REQUEST = _query("request", "[1-9]", int)
#: Whether `session_id` is a call SID, whose newest session counts: the call came in without Redis.
_ANSWERED_WITHOUT_REDIS = _query("call", "1", bool)
#: Whether a hand-off named the agent of a bridge: no agent of the directory follows.
_ONLY_AGENT = _query("only", "1", bool)
#: How often a URL can say that a caller was asked to wait: a call lasts at most a day.
ASKED_MAX = 99_999
#: A URL holds two digits; the directory limits the number of agents.
_AGENT = _query("agent", "[0-9]{1,2}", int)


#: The last field of each query, whose value is fixed. Signatures join the URL and the form's names and values without
#: separators: in a captured request, the form's first field could otherwise become part of an open value.
_LAST, _LAST_VALUE = "v", "1"
_END = f"&{_LAST}={_LAST_VALUE}"


@dataclass(frozen=True, slots=True)
class UrlFields:
    """Fields of a callback URL; the query omits default values."""

    path: ClassVar[str]
    overrides: ClassVar[str] = _TWIML_OVERRIDES

    def query(self) -> str:
        """Return the query, without the question mark."""
        values = ((one, getattr(self, one.name)) for one in self._fields())
        given = {one.metadata["name"]: value for one, value in values if value != one.default}
        return _query_of({name: 1 if value is True else value for name, value in given.items()})

    @classmethod
    def parse(cls, query: str) -> Self:
        """Parse a raw query, without the question mark."""
        given = _split_query(query)
        values: dict[str, Any] = {}
        for one in cls._fields():
            name = one.metadata["name"]
            if name not in given and one.default is not MISSING:
                continue
            text = given.get(name, "")
            if not one.metadata["pattern"].fullmatch(text):
                raise CallbackUrlError(name)
            values[one.name] = one.metadata["read"](text)
        return cls(**values)

    @classmethod
    @cache  # `fields` finds them again each time
    def _fields(cls) -> tuple[Field[Any], ...]:
        return fields(cls)


@dataclass(frozen=True, slots=True)
class DialAction(UrlFields):
    """Fields of a `<Dial>` action URL."""

    path = DIAL_ACTION_PATH

    session_id: str = field(metadata=_SESSION)
    party: str = field(metadata=_PARTY)
    dial: DialKind = field(metadata=_query("dial", "bridge|conference", DialKind))
    #: Attempt to run this `<Dial>`, from 1 to 9: a leg is not sent back a third time.
    attempt: int = field(default=1, metadata=_query("attempt", "[1-9]", int))
    #: Bridge only: index of the agent that it rings, from 0 to 99.
    agent_number: int = field(default=0, metadata=_AGENT)
    #: Bridge only: index of the first agent who sees our number, because the caller's made a dial fail; 0 for none.
    own_number_from_agent: int = field(default=0, metadata=_query("own", "[0-9]{1,2}", int))
    #: Name of the session's conference, for when Redis is unavailable; empty if it equals the session's id.
    conference_name: str = field(default="", metadata=_query("conference", _CONFERENCE_NAME))
    #: Requests for this action so far, from 1 to 9; counts up while Redis is unavailable.
    request_number: int = field(default=1, metadata=_REQUEST)
    #: DialCallStatus of the first request, because later ones, after a `<Redirect>`, lack it. Empty if unknown.
    dial_call_status: str = field(default="", metadata=_query("status", "[A-Za-z0-9_-]{0,64}"))
    #: DialCallSid of the first request; empty if unknown.
    child_call_sid: str = field(default="", metadata=_query("child", "(CA[0-9a-f]{32})?"))
    without_redis: bool = field(default=False, metadata=_ANSWERED_WITHOUT_REDIS)
    only_agent: bool = field(default=False, metadata=_ONLY_AGENT)

    @property
    def conference(self) -> str:
        """The name with which legs join the session's conference."""
        return self.conference_name or self.session_id

    @property
    def rings_agent(self) -> bool:
        """Whether the `<Dial>` rang an agent for the caller."""
        return self.dial is DialKind.BRIDGE and self.party == CUSTOMER

    def next_request(self, dial_call_status: str, child_call_sid: str = "") -> "DialAction":
        """Return the fields to ask again, as Redis or Twilio did not answer."""
        number = self.request_number + 1
        return replace(self, request_number=number, dial_call_status=dial_call_status, child_call_sid=child_call_sid)


@dataclass(frozen=True, slots=True)
class CallCallback(UrlFields):
    """Fields of a call's status callback URL."""

    path, overrides = CALL_PATH, _STATUS_OVERRIDES

    session_id: str = field(metadata=_SESSION)
    party: str = field(metadata=_PARTY)
    #: Id of the dial that placed the call; empty for calls not placed by REST.
    dial: str = field(default="", metadata=_DIAL)
    #: Index of the agent that a `<Dial>` rings, from 0 to 99.
    agent_number: int = field(default=0, metadata=_AGENT)
    without_redis: bool = field(default=False, metadata=_ANSWERED_WITHOUT_REDIS)
    only_agent: bool = field(default=False, metadata=_ONLY_AGENT)


@dataclass(frozen=True, slots=True)
class Gate(UrlFields):
    """Fields of the gate's URL, where a call placed by REST gets its document."""

    path = GATE_PATH

    session_id: str = field(metadata=_SESSION)
    dial: str = field(metadata=_DIAL)
    #: 1: the call was just answered; 2 to 4: the first, second, or third `<Gather>` has ended.
    question: int = field(default=1, metadata=_query("question", "[1-4]", int))
    #: Requests for this document so far, from 1 to 9; counts up while Redis is unavailable.
    request_number: int = field(default=1, metadata=_REQUEST)
    #: The key in the first of those requests (later ones lack it): a digit, `other`, or empty for none.
    key: str = field(default="", metadata=_query("key", _KEY))
    #: Whether a previous document has already played the briefing.
    briefed: bool = field(default=False, metadata=_query("briefed", "1", bool))
    #: Bridge only: for how long the agent is asked for a key, seconds, for when the session is unknown or shows an
    #: earlier agent; 0 for never.
    confirm_for_s: int = field(default=0, metadata=_query("confirm", "[1-9][0-9]?", int))
    #: Whether a machine answered: later requests may lack AnsweredBy.
    by_machine: bool = field(default=False, metadata=_query("machine", "1", bool))

    @property
    def is_of_bridge(self) -> bool:
        """Whether a plain `<Dial>` rings the call: it stands for a dial's id."""
        return self.dial.startswith(f"{AGENT}-")

    def next_question(self) -> "Gate":
        """Return the gate for this document's `<Gather>` action."""
        return Gate(self.session_id, self.dial, self.question + 1, confirm_for_s=self.confirm_for_s)

    def after_brief(self) -> "Gate":
        """Return the gate for the `<Redirect>` after the briefing."""
        return Gate(self.session_id, self.dial, self.question, briefed=True, confirm_for_s=self.confirm_for_s)

    def next_request(self, key: str) -> "Gate":
        """Return the fields to ask again with this key, as Redis did not answer."""
        return replace(self, request_number=self.request_number + 1, key=key if _KEY.fullmatch(key) else "other")


@dataclass(frozen=True, slots=True)
class Wait(UrlFields):
    """Fields of the wait URL: audio of waiting and held parties."""

    path = WAIT_PATH

    session_id: str = field(metadata=_SESSION)
    party: str = field(metadata=_PARTY)
    #: The audio when the URL was issued; it may have changed since. Never `WaitAudio.NONE`.
    wait_audio: WaitAudio = field(metadata=_query("audio", "ringback|music|silence", WaitAudio))
    with_greeting: bool = field(default=False, metadata=_query("greeting", "1", bool))
    #: Whether it is the caller waiting for the first agent, who reopens the session if it is unknown.
    opens_session: bool = field(default=False, metadata=_query("opens", "1", bool))
    #: How often a caller in a queue would have been asked to stay on the line by then, if that is more than never.
    asked: int = field(default=0, metadata=_query("asked", "[0-9]{1,5}", int))

    def after_greeting(self) -> "Wait":
        """Return the URL's fields once the greeting was said."""
        return replace(self, with_greeting=False)


@dataclass(frozen=True, slots=True)
class Announcement(UrlFields):
    """Fields of the URL that serves an announcement's text, or digits."""

    path = ANNOUNCEMENT_PATH

    session_id: str = field(metadata=_SESSION)
    #: Id of the `announce` or `press` command; text and digits never appear in a URL.
    command_id: str = field(metadata=_query("command", ID_PATTERN))


_Fields = TypeVar("_Fields", bound=UrlFields)


class CallbackUrls:
    """Builds callback URLs; Twilio neither sends nor signs their fragments."""

    def __init__(self, public_url: str) -> None:
        self._base = public_url.rstrip("/")

    def of(self, fields: UrlFields) -> str:
        """Return the URL with these fields."""
        return f"{self._base}{fields.path}?{fields.query()}{fields.overrides}"

    def conference(self, session_id: str) -> str:
        """Return the status callback URL of a conference."""
        return f"{self._base}{CONFERENCE_PATH}?{_query_of({'session': session_id})}{_STATUS_OVERRIDES}"

    def recording(self, session_id: str) -> str:
        """Return the status callback URL of a recording."""
        return f"{self._base}{RECORDING_PATH}?{_query_of({'session': session_id})}{_STATUS_OVERRIDES}"

    def voicemail(self, session_id: str) -> str:
        """Return the action URL of a message's `<Record>`."""
        return f"{self._base}{VOICEMAIL_PATH}?{_query_of({'session': session_id})}{_TWIML_OVERRIDES}"

    def fallback(self) -> str:
        """Return the fallback URL, which Twilio requests when another one fails."""
        return f"{self._base}{FALLBACK_PATH}{_TWIML_OVERRIDES}"

    def voice(self, path: str, request_number: int, query: str = "") -> str:
        """Return a voice URL that counts the requests; `query` is its own."""
        counted = _query_of({"request": request_number})
        own = f"{query}&" if query else ""
        return f"{self._base}{path}?{own}{counted}{_TWIML_OVERRIDES}"

    def is_of(self, url: str, path: str) -> bool:
        """Whether a full URL (ErrorUrl) is ours, with this path."""
        return _split_url(url)[0] == self._base + path

    def handoff_query(self, error_url: str, query: str) -> str | None:
        """Return the options of a hand-off whose caller is at the fallback URL.

        The hand-off's own URL has failed (ErrorUrl), or the fallback URL's query has them; None for another caller.
        """
        base, given = _split_url(error_url)
        if base == self._base + HANDOFF_PATH:
            return split_request_number(given)[0]
        mark, _, options = split_request_number(query)[0].partition("&")
        return options if mark == _HANDED_OFF else None

    def parse(self, url: str, kind: type[_Fields]) -> _Fields | None:
        """Return the fields of a full URL (ErrorUrl); None if of another kind."""
        base, query = _split_url(url)
        try:
            return kind.parse(query) if query and base == self._base + kind.path else None
        except CallbackUrlError:
            return None


def _split_url(url: str) -> tuple[str, str]:
    """Return a URL without its query, and the query."""
    base, _, query = url.partition("#")[0].partition("?")
    return base, query


def handed_off_query(options: str) -> str:
    """Return the fallback URL's query for a hand-off's caller."""
    return f"{_HANDED_OFF}&{options}" if options else _HANDED_OFF


def parse_request_number(query: str) -> int:
    """Return how often a voice URL was requested, from 1.

    Any other query is the number's own. Raise CallbackUrlError if a query of ours goes on.
    """
    return split_request_number(query)[1]


def split_request_number(query: str) -> tuple[str, int]:
    """Return a voice URL's own query, and how often it was requested."""
    ours = re.search(f"(?:^|&)request=([1-9]){_END}", query)
    if ours is None:
        return query, 1
    if ours.end() != len(query):
        raise CallbackUrlError(_LAST)
    return query[: ours.start()], int(ours[1])


def parse_session_id(query: str) -> str:
    """Return the session's id in a conference's or a recording's query."""
    session_id = _split_query(query).get("session", "")
    if not is_id(session_id):
        raise CallbackUrlError("session")
    return session_id


def wait_audio_named(name: str) -> WaitAudio:
    """Return the wait audio of that name; music for a newer version's name."""
    return WaitAudio(name) if name in tuple(WaitAudio) else WaitAudio.MUSIC


def is_conference_name(text: str) -> bool:
    """Whether a text has the format of Conferral's conference names."""
    return bool(text) and _CONFERENCE_NAME.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether a text has the format of a session, call, or party id."""
    return ID_PATTERN.fullmatch(text) is not None


def _query_of(fields: Mapping[str, Any]) -> str:
    """Return a query in alphabetical order, with its last field."""
    # Some requests arrive sorted, though the signature covers the order that we gave.
    return urlencode([*sorted(fields.items()), (_LAST, _LAST_VALUE)])


def _split_query(query: str) -> dict[str, str]:
    """Return a query's parameters; raise CallbackUrlError if it isn't ours."""
    # Values in these URLs never need escaping, so nothing is unescaped; escaped values match no pattern.
    if not query.endswith(_END):
        raise CallbackUrlError(_LAST)
    given: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name in given:
            raise CallbackUrlError("query")
        given[name] = value
    return given
