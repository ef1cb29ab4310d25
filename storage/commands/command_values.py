"""Value types of command fields: validation, messages, and JSON Schema."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from conferral.statemachine.ids import ID_PATTERN, ID_RULE, NAME_PATTERN, NO_PHONE_NUMBER_RULE, id_error
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET
from conferral.statemachine.states import TRANSFER_MODES, RecordAction, SessionMode, SuperviseMode
from conferral.statemachine.transfer import TARGETS_MAX

#: Maximum length of `brief` and `say` (characters): about half a minute of speech.
BRIEF_MAX = 500
#: Minimum and maximum ring time, seconds. Source: Twilio docs, Call resource, `Timeout` (600 at most).
TIMEOUT_S = (5, 600)
#: Maximum length of a destination (characters); each kind of address has a lower limit of its own.
DESTINATION_MAX = 512
#: Maximum length of a URL (characters).
URL_MAX = 2_000

#: Excluded from text: control characters, line and paragraph separators. Source: Unicode, general categories Cc, Zl,
#: Zp.
_NO_TEXT = "\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029"
#: Source: W3C, Extensible Markup Language 1.0, section 2.2: a document can't contain these two.
_NOT_IN_XML = "\\ufffe\\uffff"
#: Surrogates: they can't be encoded, and JSON Schema patterns can't name them.
_HALF = re.compile("[\ud800-\udfff]")
#: Characters of a URL, except for `/?#` and the host's delimiters. Source: RFC 3986, appendix A.
_URL_CHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_HTTP_URL = (
    rf"[hH][tT][tT][pP][sS]?://(?:(?:{_URL_CHAR}|:)*@)?(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?|\[[0-9A-Fa-f:.]+\])"
    rf"(?::[0-9]{{1,5}})?(?:[/?#](?:{_URL_CHAR}|[:@/?#])*)?"
)
#: Names that parties get automatically.
RESERVED_PARTIES = (CUSTOMER, AGENT, TARGET, SUPERVISOR)
#: Names that parties get automatically, with a number appended.
RESERVED_WITH_NUMBER = (AGENT, TARGET, "guest")


def join_with_or(words: Sequence[str]) -> str:
    """Join words for a sentence.

    >>> join_with_or(["warm", "consult", "blind"])
    'warm, consult or blind'
    """
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


class _ValueType(ABC):
    """A value type, as pydantic expects it in an annotation."""

    @abstractmethod
    def parse(self, value: object) -> Any:
        """Return the value as the event has it.

        Raises:
            PydanticCustomError: The value is invalid; the message says what is valid, to follow the field's name.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.schema()


def _invalid(words: str) -> PydanticCustomError:
    return PydanticCustomError("command", "{words}", {"words": words})


@dataclass(frozen=True)
class _Text(_ValueType):
    """Text that fully matches a pattern."""

    #: Alternatives must be in groups.
    pattern: str
    #: What is valid.
    valid_values: str
    #: Maximum length (characters); None if the pattern limits it.
    max_length: int | None = None
    #: Checks what no pattern can express, and normalizes the text; raises ValueError with what is valid.
    normalize: Callable[[str], str] = str

    def parse(self, value: object) -> str:
        if not isinstance(value, str):
            raise _invalid("must be text")
        if (self.max_length is not None and len(value) > self.max_length) or _HALF.search(value):
            raise _invalid(self.valid_values)
        if not re.fullmatch(self.pattern, value):
            raise _invalid(self.valid_values)
        try:
            return self.normalize(value)
        except ValueError as error:
            raise _invalid(str(error)) from None

    def schema(self) -> dict[str, Any]:
        bound = {} if self.max_length is None else {"maxLength": self.max_length}
        return {"type": "string", "pattern": f"^{self.pattern}$", **bound}


class _Id(_Text):
    """The id of a session or command."""

    def __init__(self) -> None:
        super().__init__(ID_PATTERN.pattern, ID_RULE)

    def parse(self, value: object) -> str:
        if isinstance(value, str) and id_error(value) == NO_PHONE_NUMBER_RULE:
            raise _invalid(NO_PHONE_NUMBER_RULE)
        return super().parse(value)


@dataclass(frozen=True)
class _Word(_ValueType):
    """One word from a closed list."""

    words: tuple[str, ...]

    def parse(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise _invalid(f"must be {join_with_or(self.words)}")
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}


class _Flag(_ValueType):
    """True or false, as a JSON boolean or a word."""

    def parse(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        if value not in ("true", "false"):
            raise _invalid("must be true or false")
        return value == "true"

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["true", "false"]}]}


class _Seconds(_ValueType):
    """Whole seconds, as a number or in digits."""

    def parse(self, value: object) -> int:
        least, most = TIMEOUT_S
        # JSON has one number type: 30.0 equals 30.
        is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value in range(least, most + 1)
        if not is_whole and not (isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}", value)):
            raise _invalid(f"must be whole seconds, {least} to {most}")
        assert isinstance(value, int | float | str)
        seconds = int(value)
        if not least <= seconds <= most:
            raise _invalid(f"must be whole seconds, {least} to {most}")
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
        # Names appear in logs and in participants' labels, where phone numbers must not.
        rf"(?!{reserved}$)(?!.*[0-9](?:[_-]?[0-9]){{6}})[a-z][a-z0-9_-]{{0,31}}",
        "must be a new name: a lowercase letter, then up to 31 lowercase letters, digits, _ or -, and no phone number; "
        f"reserved: {taken}",
    )


_ONE = rf"[^,{_NO_TEXT}]"
_FIRST = rf"[^ ,{_NO_TEXT}]"
_SEVERAL = rf" *{_FIRST}{_ONE}*(?:, *{_FIRST}{_ONE}*){{0,{TARGETS_MAX - 1}}}"

SessionName = Annotated[str, _Text(NAME_PATTERN.pattern, ID_RULE)]
NewSessionName = Annotated[str, _Id()]
#: The sender of a command appears in a log line.
GIVER_PATTERN = re.compile(rf"[^{_NO_TEXT}]{{1,64}}")
Author = Annotated[str, _Text(GIVER_PATTERN.pattern, "must be 1 to 64 printable characters", 64)]
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
#: A number of the account; the router verifies that it is one.
CallerId = Annotated[str, _Text(r"\+[1-9][0-9]{6,14}", "must be a number in the account: +, country code, and number")]
NewParty = Annotated[str, _new_party()]
#: Names start with a letter, and so do SIDs; numbers do not.
PartyName = Annotated[str, _Text(r"[A-Za-z][A-Za-z0-9_-]{0,63}", "must be the name of a party or the SID of its call")]
AnnounceUrl = Annotated[
    str, _Text(_HTTP_URL, f"must be an http:// or https:// URL of at most {URL_MAX:,} characters", URL_MAX)
]
CallMode = Annotated[str, _Word(tuple(mode.value for mode in SessionMode))]
TransferModeWord = Annotated[str, _Word(tuple(mode.value for mode in TRANSFER_MODES))]
SuperviseModeWord = Annotated[str, _Word(tuple(mode.value for mode in SuperviseMode))]
RecordActionWord = Annotated[str, _Word(tuple(action.value for action in RecordAction))]
