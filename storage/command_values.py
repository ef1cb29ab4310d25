"""What a field of a command may hold: each kind of value with its check, its words and its JSON Schema."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from conferral.statemachine.ids import ID_PATTERN, ID_WORDS, NAME_PATTERN, NO_NUMBER_WORDS, why_no_id
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET
from conferral.statemachine.states import TRANSFER_MODES, RecordAction, SessionMode, SuperviseMode
from conferral.statemachine.transfer import TARGETS_MAX

#: Longest `brief` and `say` (characters): about half a minute of speech.
BRIEF_MAX = 500
#: Least and most seconds to ring. Source: Twilio docs, Call resource, `Timeout` (600 at most).
TIMEOUT_S = (5, 600)
#: Longest address that is looked at (characters); the kinds of address have narrower bounds of their own.
DESTINATION_MAX = 512
#: Longest URL (characters).
URL_MAX = 2_000

#: What is no text: control characters, separators of lines and paragraphs. Source: Unicode, general categories Cc, Zl,
#: Zp.
_NO_TEXT = "\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029"
#: Source: W3C, Extensible Markup Language 1.0, section 2.2: these two can't stand in a document.
_NOT_IN_XML = "\\ufffe\\uffff"
#: Halves of characters: they can't be written, and patterns of JSON Schema can't name them.
_HALF = re.compile("[\ud800-\udfff]")
#: What a URL consists of, but for `/?#` and what delimits a host. Source: RFC 3986, appendix A.
_URL_CHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_HTTP_URL = (
    rf"[hH][tT][tT][pP][sS]?://(?:(?:{_URL_CHAR}|:)*@)?(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?|\[[0-9A-Fa-f:.]+\])"
    rf"(?::[0-9]{{1,5}})?(?:[/?#](?:{_URL_CHAR}|[:@/?#])*)?"
)
#: Names that parties get by themselves.
RESERVED_PARTIES = (CUSTOMER, AGENT, TARGET, SUPERVISOR)
#: Names that parties get by themselves with a number behind.
RESERVED_WITH_NUMBER = (AGENT, TARGET, "guest")


def either(words: Sequence[str]) -> str:
    """Words in a sentence.

    >>> either(["warm", "consult", "blind"])
    'warm, consult or blind'
    """
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


class _Kind(ABC):
    """A kind of value, as pydantic wants it beside a type."""

    @abstractmethod
    def take(self, given: object) -> Any:
        """The value, as the event has it.

        Raises:
            PydanticCustomError: it is wrong; says what is right, to be put behind the field's name.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The JSON Schema."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.take)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.schema()


def _wrong(words: str) -> PydanticCustomError:
    return PydanticCustomError("command", "{words}", {"words": words})


@dataclass(frozen=True)
class _Text(_Kind):
    """A text that matches a pattern, whole."""

    #: Alternatives stand in groups.
    pattern: str
    #: What is right.
    words: str
    #: Longest text (characters); None where the pattern says it.
    most: int | None = None
    #: Looks at what no pattern can say, and puts the text into its usual form; raises ValueError with what is right.
    finish: Callable[[str], str] = str

    def take(self, given: object) -> str:
        if not isinstance(given, str):
            raise _wrong("must be text")
        if (self.most is not None and len(given) > self.most) or _HALF.search(given):
            raise _wrong(self.words)
        if not re.fullmatch(self.pattern, given):
            raise _wrong(self.words)
        try:
            return self.finish(given)
        except ValueError as error:
            raise _wrong(str(error)) from None

    def schema(self) -> dict[str, Any]:
        bound = {} if self.most is None else {"maxLength": self.most}
        return {"type": "string", "pattern": f"^{self.pattern}$", **bound}


class _Id(_Text):
    """An id of a session or a command."""

    def __init__(self) -> None:
        super().__init__(ID_PATTERN.pattern, ID_WORDS)

    def take(self, given: object) -> str:
        if isinstance(given, str) and why_no_id(given) == NO_NUMBER_WORDS:
            raise _wrong(NO_NUMBER_WORDS)
        return super().take(given)


@dataclass(frozen=True)
class _Word(_Kind):
    """One word of a closed list."""

    words: tuple[str, ...]

    def take(self, given: object) -> str:
        if not isinstance(given, str) or given not in self.words:
            raise _wrong(f"must be {either(self.words)}")
        return str(given)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}


class _Flag(_Kind):
    """True or false, as JSON has it or in words."""

    def take(self, given: object) -> bool:
        if isinstance(given, bool):
            return given
        if given not in ("true", "false"):
            raise _wrong("must be true or false")
        return given == "true"

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["true", "false"]}]}


class _Seconds(_Kind):
    """Whole seconds, as a number or in digits."""

    def take(self, given: object) -> int:
        least, most = TIMEOUT_S
        # JSON knows one kind of number: 30.0 is the same as 30.
        is_whole = isinstance(given, int | float) and not isinstance(given, bool) and given in range(least, most + 1)
        if not is_whole and not (isinstance(given, str) and re.fullmatch(r"[0-9]{1,3}", given)):
            raise _wrong(f"must be whole seconds, {least} to {most}")
        assert isinstance(given, int | float | str)
        seconds = int(given)
        if not least <= seconds <= most:
            raise _wrong(f"must be whole seconds, {least} to {most}")
        return seconds

    def schema(self) -> dict[str, Any]:
        least, most = TIMEOUT_S
        number = {"type": "integer", "minimum": least, "maximum": most}
        digits = r"^(0{0,2}[5-9]|0?[1-9][0-9]|[1-5][0-9]{2}|600)$"
        return {"anyOf": [number, {"type": "string", "pattern": digits}]}


def _destinations(text: str) -> str:
    named = [part.strip(" ") for part in text.split(",")]
    if len(set(named)) < len(named):
        raise ValueError("must not name a destination twice")
    return ",".join(named)


def _spoken() -> _Text:
    words = f"must be at most {BRIEF_MAX} characters, without control characters"
    return _Text(rf"[^{_NO_TEXT}{_NOT_IN_XML}]+", words, BRIEF_MAX)


def _new_party() -> _Text:
    numbered = "|".join(RESERVED_WITH_NUMBER)
    reserved = rf"(?:{'|'.join(RESERVED_PARTIES)}|(?:{numbered})-[0-9]+)"
    taken = ", ".join((*RESERVED_PARTIES, *(f"{name}-NUMBER" for name in RESERVED_WITH_NUMBER)))
    return _Text(
        # Names stand in logs and in participants' labels, where no number of a person may stand.
        rf"(?!{reserved}$)(?!.*[0-9](?:[_-]?[0-9]){{6}})[a-z][a-z0-9_-]{{0,31}}",
        "must be a new name: a small letter, then at most 31 small letters, digits, _ or -, and no phone number; these "
        f"are taken: {taken}",
    )


_ONE = rf"[^,{_NO_TEXT}]"
_FIRST = rf"[^ ,{_NO_TEXT}]"
_SEVERAL = rf" *{_FIRST}{_ONE}*(?:, *{_FIRST}{_ONE}*){{0,{TARGETS_MAX - 1}}}"

SessionName = Annotated[str, _Text(NAME_PATTERN.pattern, ID_WORDS)]
NewSessionName = Annotated[str, _Id()]
#: Who gives a command: it stands in a line of the log.
GIVER_PATTERN = re.compile(rf"[^{_NO_TEXT}]{{1,64}}")
Giver = Annotated[str, _Text(GIVER_PATTERN.pattern, "must be 1 to 64 printable characters", 64)]
CommandId = Annotated[str, _Id()]
Destination = Annotated[str, _Text(rf"{_ONE}+", "must be one destination", DESTINATION_MAX)]
Destinations = Annotated[
    str,
    _Text(
        _SEVERAL,
        f"must be 1 to {TARGETS_MAX} destinations, separated by commas",
        TARGETS_MAX * DESTINATION_MAX,
        _destinations,
    ),
]
Brief = Annotated[str, _spoken()]
Say = Annotated[str, _spoken()]
Confirm = Annotated[bool, _Flag()]
Timeout = Annotated[int, _Seconds()]
#: Source: Twilio docs, Call resource, `SendDigits` (at most 32; `w` waits half a second, `W` one).
Digits = Annotated[str, _Text(r"[0-9*#wW]{1,32}", "must be 1 to 32 of the signs 0-9 * # w W")]
#: A number in the account; the router checks that it is one.
CallerId = Annotated[str, _Text(r"\+[1-9][0-9]{6,14}", "must be a number in the account: +, country code, and number")]
NewParty = Annotated[str, _new_party()]
#: Names begin with a letter, and so do SIDs: a number is neither.
PartyName = Annotated[str, _Text(r"[A-Za-z][A-Za-z0-9_-]{0,63}", "must be the name of a party or the SID of its call")]
AnnounceUrl = Annotated[
    str, _Text(_HTTP_URL, f"must be an http:// or https:// URL of at most {URL_MAX:,} characters", URL_MAX)
]
CallMode = Annotated[str, _Word(tuple(mode.value for mode in SessionMode))]
TransferModeWord = Annotated[str, _Word(tuple(mode.value for mode in TRANSFER_MODES))]
SuperviseModeWord = Annotated[str, _Word(tuple(mode.value for mode in SuperviseMode))]
RecordActionWord = Annotated[str, _Word(tuple(action.value for action in RecordAction))]
