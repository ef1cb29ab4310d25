"""Directory file: schema, validation, and errors that quote no address."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from conferral.runtime.errors import SettingsError
from conferral.runtime.redaction import redact
from conferral.runtime.settings import is_http_url, spoken_greeting
from conferral.statemachine.events.field_values import join_words
from conferral.telephony.addresses import AddressError, AllowList, parse_address

#: Most agents per number (count).
AGENTS_MAX = 10
#: Source: Twilio docs, TwiML `<Conference>`, `region`; twilio-python 9.6.3, which added `us2`.
REGIONS = ("us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1")

_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_URL_LONGEST = 2_000
#: Words with another meaning in settings that accept a name.
_RESERVED = frozenset({"recall", "end"})


def is_name(text: str) -> bool:
    """Whether a text is a directory name: it needs a letter, unlike a number.

    >>> is_name("second-line_2"), is_name("911"), is_name("client:anna")
    (True, False, False)
    """
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class _Context:
    """What the file's addresses are validated against."""

    allowed: AllowList
    #: The file's own names, unresolved.
    names: Mapping[str, str] = field(repr=False)


def _context(info: ValidationInfo) -> _Context:
    assert isinstance(info.context, _Context)
    return info.context


def _valid_name(text: str) -> str:
    if not is_name(text):
        raise ValueError("a name is 1 to 64 letters, digits, _, or -, with at least one letter")
    if text in _RESERVED:
        raise ValueError("means something else in CONFERRAL_TRANSFER_FALLBACK: choose another name")
    return text


def _valid_number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise ValueError("must be the number that is called, +, country code, and number, in quotes")
    return text


def _allowed_address(text: str, info: ValidationInfo) -> str:
    """Return the address; raise ValueError if it is invalid or not allowed."""
    try:
        address = parse_address(text)
        _context(info).allowed.check(address)
    except AddressError as error:
        raise ValueError(error.reason) from None
    return address.text


def _agent(text: str, info: ValidationInfo) -> str:
    """Return an agent's address, given as such or by a name."""
    names = _context(info).names
    if text in names:
        return names[text]  # errors in this address are reported where it is defined
    if is_name(text):
        raise ValueError("no such name in [destinations]")
    return _allowed_address(text, info)


def _valid_url(text: str) -> str:
    # May hold user, password, query, and fragment, all of which Twilio supports.
    if not is_http_url(text) or len(text) > _URL_LONGEST:
        raise ValueError("must be an http:// or https:// URL")
    return text


def _one_of(*words: str) -> BeforeValidator:
    """Accept one of these words; TOML booleans count as `true` and `false`."""

    def word(value: object) -> object:
        text = str(value).lower() if isinstance(value, bool) else value
        if text not in words:
            raise ValueError(f"must be {join_words(words, 'or')}")
        return text

    return BeforeValidator(word)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class DirectoryEntry(_Table):
    """Entry of one number; empty values leave the choice to the settings."""

    # Source: Twilio docs, TwiML `<Conference>` and `<Dial>`, whose attributes most of these are.
    agents: list[Annotated[str, AfterValidator(_agent)]] = Field([], min_length=1, max_length=AGENTS_MAX, repr=False)
    mode: Annotated[str, _one_of("bridge", "conference")] = ""
    record: Annotated[str, _one_of("true", "false", "customer")] = ""
    beep: Annotated[str, _one_of("true", "false", "onEnter", "onExit")] = ""
    jitter_buffer_size: Annotated[str, _one_of("off", "small", "medium", "large")] = ""
    region: Annotated[str, _one_of(*REGIONS)] = ""
    trim: Annotated[str, _one_of("trim-silence", "do-not-trim")] = ""
    wait_url: Annotated[str, AfterValidator(_valid_url)] = ""
    max_participants: int = Field(0, ge=2, le=250)
    greeting: Annotated[str, AfterValidator(spoken_greeting)] = Field("", repr=False)
    after: Annotated[str, AfterValidator(_valid_url)] = ""
    #: Seconds. A call lasts at most a day.
    time_limit: int = Field(0, ge=1, le=86_400)
    hangup_on_star: bool = False


_Name = Annotated[str, AfterValidator(_valid_name)]


class _File(_Table):
    destinations: dict[_Name, Annotated[str, AfterValidator(_allowed_address)]] = {}
    inbound: dict[Annotated[str, AfterValidator(_valid_number)], DirectoryEntry] = {}


def read_destinations(path: Path) -> dict[str, str]:
    """Return the addresses by name as they are written, for look-ups only.

    Raises:
        SettingsError: the file is unreadable.
    """
    destinations = _content_of(path).get("destinations")
    return {} if not isinstance(destinations, dict) else {str(name): str(one) for name, one in destinations.items()}


def read_file(path: Path, allowed: AllowList) -> tuple[dict[str, str], dict[str, DirectoryEntry]]:
    """Return addresses by name, and entries by number; raise SettingsError."""
    content = _content_of(path)
    named = content.get("destinations")
    named = named if isinstance(named, dict) else {}
    context = _Context(allowed, {name: one for name, one in named.items() if isinstance(one, str)})
    try:
        file = _File.model_validate(content, context=context)
    except ValidationError as error:
        problems = error.errors()
        raise SettingsError(tuple(f"CONFERRAL_DIRECTORY: {path}, {_message(one)}" for one in problems)) from None
    return file.destinations, file.inbound


def _content_of(path: Path) -> dict[str, Any]:
    text = _text_of(path)
    try:
        return tomllib.loads(text)
    except ValueError as error:  # besides the parser's own error, Python's for an overlong number
        raise SettingsError((_syntax_error(path, text, str(error)),)) from None
    except RecursionError:
        raise SettingsError((f"CONFERRAL_DIRECTORY: {path}: tables and arrays lie too deep in each other",)) from None


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise SettingsError((f"CONFERRAL_DIRECTORY: {path} can't be read ({why})",)) from None
    except ValueError:
        raise SettingsError(("CONFERRAL_DIRECTORY: contains a NUL character; remove it",)) from None
    try:
        return content.decode("utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SettingsError((f"CONFERRAL_DIRECTORY: {path}, line {line}: must be UTF-8",)) from None


# ---- error messages ----------------------------------------------------------------------------------------------

#: The parser's messages about a key quote the key, which may be a number.
_DUPLICATE_KEY = ("Cannot ", "Duplicate ")
#: By pydantic's error type; the limits come from pydantic.
_MESSAGES = {
    "string_type": "must be text, in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": 'must be an array, such as ["client:alice"]',
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
}


def _syntax_error(path: Path, text: str, message: str) -> str:
    """Return our message for the parser's, without keys and values."""
    words, _, place = message.removesuffix(")").rpartition(" (at ")
    if found := re.match(r"line (\d+), column (\d+)", place):
        where = f"line {found[1]}, column {found[2]}: "
    else:
        where = f"line {len(text.splitlines())}, the end: " if place == "end of document" else ""
    if words.startswith(_DUPLICATE_KEY):
        words = "duplicate key, or the key has another meaning above"
    elif re.search(r"\d", words) or not words:
        words = "not valid TOML"
    return f"CONFERRAL_DIRECTORY: {path}, {where}{words[:1].lower()}{words[1:]}"


def _message(problem: Any) -> str:
    """Return our message for one of pydantic's errors, with the key."""
    path = tuple(part for part in problem["loc"] if part != "[key]")
    kind = problem["type"]
    if kind == "extra_forbidden":
        table = DirectoryEntry if path[0] == "inbound" else _File
        words = f"no such key; known are {', '.join(table.model_fields)}"
    elif kind in _MESSAGES:
        words = _MESSAGES[kind].format(**problem.get("ctx", {}))
    else:
        words = str(problem["msg"]).removeprefix("Value error, ")
    return f"{_display_path(path)}: {words}"


def _display_path(path: tuple[str | int, ...]) -> str:
    """Return a key as the file writes it, without numbers.

    >>> _display_path(("inbound", "+15550123", "agents", 1))
    'inbound."+…23".agents, entry 2'
    """
    shown = (f", entry {part + 1}" if isinstance(part, int) else f".{_display_part(part)}" for part in path)
    return "".join(shown).removeprefix(".")


def _display_part(part: str) -> str:
    """Return a part of a key; only its end if it may hold a number."""
    if part.startswith("+"):
        return f'"{redact(part)}"'
    if is_name(part) and sum(letter.isdigit() for letter in part) < 4:
        return part
    return f'"…{part[-2:] if part[-2:].isalnum() else ""}"'
