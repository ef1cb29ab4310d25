"""The directory's file: what it may say, and its errors.

The allow-list applies to it. An error names the key, and holds no number.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from unicodedata import is_normalized, normalize

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from conferral.runtime.limits import CONFIRM_TIME_MAX_S, CONFIRM_TIME_MIN_S, NUMBER, PERSON_NAME, URL_MAX
from conferral.runtime.setting_values import spoken_greeting
from conferral.runtime.text import join_words
from conferral.runtime.urls import is_http_url
from conferral.runtime.zones import find_zone
from conferral.statemachine.states import Place
from conferral.telephony.addresses import AddressError, AllowList, is_name, parse_address
from conferral.telephony.directory.hours import OpenSpan, parse_hours
from conferral.telephony.fallbacks import NOT_FOR_CLOSED, NOT_FOR_INBOUND, AddressRules
from conferral.telephony.identities import identity_problem
from conferral.telephony.toml_file import Table, parse_toml, read_toml

#: Words that a fallback may contain besides destinations.
FALLBACK_WORDS = frozenset({*Place, "back"})
#: Most agents per number (count).
AGENTS_MAX = 10
#: The longest wait in a queue, seconds: a call lasts at most a day.
QUEUE_LIMIT_MAX_S = 86_400
#: Source: Twilio docs, TwiML `<Conference>`, `region`; twilio-python 9.6.3, which added `us2`.
REGIONS = ("us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1")


@dataclass(frozen=True, slots=True)
class _Context:
    """What the file's addresses are validated against."""

    allowed: AllowList
    #: The file's own names, unresolved.
    names: Mapping[str, str] = field(repr=False)
    return_urls: Sequence[str] = ()
    #: Whether the top of the file names a time zone.
    has_timezone: bool = False


def _context(info: ValidationInfo) -> _Context:
    assert isinstance(info.context, _Context)
    return info.context


def _valid_name(text: str) -> str:
    if not is_name(text):
        raise ValueError("a name is 1 to 64 letters, digits, _, or -, with at least one letter")
    if text in FALLBACK_WORDS:
        raise ValueError("means something else in a fallback: choose another name")
    return text


def _valid_number(text: str) -> str:
    if not re.fullmatch(NUMBER, text):
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


def _inbound_fallback(text: object, info: ValidationInfo) -> tuple[str, ...]:
    """Return a fallback with addresses; raise ValueError if it is wrong."""
    if not isinstance(text, str):
        raise ValueError("must be a string, with commas between the places")  # noqa: TRY004  # pydantic catches no other
    context = _context(info)
    rules = AddressRules(context.names, context.allowed, context.return_urls)
    try:
        return rules.parse(text, without=NOT_FOR_CLOSED if info.field_name == "closed" else NOT_FOR_INBOUND)
    except AddressError as error:
        raise ValueError(error.reason) from None


def _valid_url(text: str) -> str:
    # May hold user, password, query, and fragment, all of which Twilio supports.
    if not is_http_url(text) or len(text) > URL_MAX:
        raise ValueError("must be an http:// or https:// URL")
    return text


def _valid_configuration(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", text):
        raise ValueError("must be the id of a recording configuration at Twilio")
    return text


def _zone(name: str) -> str:
    if find_zone(name) is None:
        raise ValueError("no such time zone; write a name such as Europe/Berlin or America/New_York")
    return name


def _date(value: object) -> object:
    """Accept a date of TOML, and one in quotes."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    if type(value) is not date:
        raise ValueError("must be a date such as 2026-12-25")
    return value


def _with_zone(text: object, info: ValidationInfo) -> tuple[OpenSpan, ...]:
    """Return the spans of hours; raise ValueError if their zone is unknown."""
    if not isinstance(text, str):
        raise ValueError("must be a string, such as Mon-Fri 09:00-17:30")  # noqa: TRY004  # pydantic catches no other
    spans = parse_hours(text)
    if not (info.data.get("timezone", True) or _context(info).has_timezone):
        raise ValueError("need a timezone, here or at the top of the file")
    return spans


def _of_hours(value: Any, info: ValidationInfo) -> Any:
    """Refuse what only hours give a meaning."""
    if not info.data.get("hours", True):
        raise ValueError("needs hours; a number that is always open has Mon-Sun 00:00-24:00")
    return value


def _one_of(*words: str) -> BeforeValidator:
    """Accept one of these words; TOML booleans count as `true` and `false`."""

    def word(value: object) -> object:
        text = str(value).lower() if isinstance(value, bool) else value
        if text not in words:
            raise ValueError(f"must be {join_words(words, 'or')}")
        return text

    return BeforeValidator(word)


_Zone = Annotated[str, AfterValidator(_zone)]
_Holidays = list[Annotated[date, BeforeValidator(_date)]]


class DirectoryEntry(Table):
    """Entry of one number; empty values leave the choice to the settings."""

    # Source: Twilio docs, TwiML `<Conference>` and `<Dial>`, whose attributes most of these are.
    agents: list[Annotated[str, AfterValidator(_agent)]] = Field([], min_length=1, max_length=AGENTS_MAX, repr=False)
    mode: Annotated[str, _one_of("bridge", "conference")] = ""
    record: Annotated[str, _one_of("true", "false", "customer")] = ""
    beep: Annotated[str, _one_of("true", "false", "onEnter", "onExit")] = ""
    jitter_buffer_size: Annotated[str, _one_of("off", "small", "medium", "large")] = ""
    region: Annotated[str, _one_of(*REGIONS)] = ""
    trim: Annotated[str, _one_of("trim-silence", "do-not-trim")] = ""
    recording_configuration: Annotated[str, AfterValidator(_valid_configuration)] = ""
    wait_url: Annotated[str, AfterValidator(_valid_url)] = ""
    max_participants: int = Field(0, ge=2, le=250)
    greeting: Annotated[str, AfterValidator(spoken_greeting)] = Field("", repr=False)
    after: Annotated[str, AfterValidator(_valid_url)] = ""
    #: Seconds. A call lasts at most a day.
    time_limit: int = Field(0, ge=1, le=86_400)
    hangup_on_star: bool = False
    fallback: Annotated[tuple[str, ...], BeforeValidator(_inbound_fallback)] = Field((), repr=False)
    #: Seconds, in all; how often a caller is asked to stay on the line, 0 for never.
    queue_limit: int = Field(0, ge=1, le=QUEUE_LIMIT_MAX_S)
    queue_say_every: int | None = Field(None, ge=0, le=QUEUE_LIMIT_MAX_S)
    confirm: bool = False
    #: Seconds.
    confirm_for: int = Field(0, ge=CONFIRM_TIME_MIN_S, le=CONFIRM_TIME_MAX_S)
    order: Annotated[str, _one_of("listed", "idle")] = ""
    timezone: _Zone = ""
    hours: Annotated[tuple[OpenSpan, ...], BeforeValidator(_with_zone)] = ()
    #: Instead of those at the top of the file; None for these.
    holidays: Annotated[_Holidays | None, AfterValidator(_of_hours)] = None
    closed: Annotated[tuple[str, ...], BeforeValidator(_inbound_fallback), AfterValidator(_of_hours)] = Field(
        (), repr=False
    )


_Name = Annotated[str, AfterValidator(_valid_name)]


def _valid_identity(text: str) -> str:
    if problem := identity_problem(text):
        raise ValueError(f"an identity {problem}")
    return text


def _valid_person(text: str) -> str:
    if not re.fullmatch(PERSON_NAME, text):
        raise ValueError("must be 1 to 64 characters that people read")
    return text


def _valid_email(text: str) -> str:
    if not re.fullmatch(r"[^\s@,]{1,64}@[^\s@,]{1,189}", text):
        raise ValueError("must be one mail address, such as dana@example.com")
    return text


class DeskAgent(Table):
    """Someone who works at a desk."""

    #: What colleagues call them; empty if they are known by their identity.
    name: Annotated[str, AfterValidator(_valid_person)] = Field("", repr=False)
    #: As a sign-in proxy names them.
    email: Annotated[str, AfterValidator(_valid_email)] = Field("", repr=False)


def mail_key(email: str) -> bytes:
    """Return what equal mail addresses have in common, which differ in case.

    Of ASCII alone: Unicode makes letters equal with which another person may have an address, as the sharp s equals ss.
    A letter with a mark is the same, in one character or two. Source: Unicode Standard Annex 15, NFC.
    """
    if all(is_normalized("NFC", character) for character in email):  # the Kelvin sign is no K
        email = normalize("NFC", email)
    return email.encode(errors="surrogateescape").lower()


def _with_own_mail(agents: dict[str, DeskAgent]) -> dict[str, DeskAgent]:
    emails = [mail_key(agent.email) for agent in agents.values() if agent.email]
    if len({*emails}) < len(emails):
        raise ValueError("two agents have the same email: a sign-in proxy's header would mean either")
    return agents


_Agents = dict[Annotated[str, AfterValidator(_valid_identity)], DeskAgent]


class DirectoryContent(Table):
    """A directory file, validated: entries by number, addresses by name."""

    agents: Annotated[_Agents, AfterValidator(_with_own_mail)] = Field(default_factory=dict)
    destinations: dict[_Name, Annotated[str, AfterValidator(_allowed_address)]] = Field(default_factory=dict)
    inbound: dict[Annotated[str, AfterValidator(_valid_number)], DirectoryEntry] = Field(default_factory=dict)
    timezone: _Zone = ""
    holidays: _Holidays = Field(default_factory=list)


def read_destinations(path: Path) -> dict[str, str]:
    """Return the addresses by name as they are written, for look-ups only.

    Raises:
        SettingsError: the file is unreadable.
    """
    destinations = read_toml("CONFERRAL_DIRECTORY", path).get("destinations")
    return {} if not isinstance(destinations, dict) else {str(name): str(one) for name, one in destinations.items()}


def read_people(path: Path) -> dict[str, str]:
    """Return the names of agents at desks, or identities, by address.

    Raises:
        SettingsError: the file is unreadable.
    """
    agents = read_toml("CONFERRAL_DIRECTORY", path).get("agents")
    tables = agents if isinstance(agents, dict) else {}
    return {f"client:{one}": str(about.get("name") or one) for one, about in tables.items() if isinstance(about, dict)}


def read_file(
    path: Path,
    allowed: AllowList,
    return_urls: Sequence[str] = (),
    own: Collection[str] = (),
) -> DirectoryContent:
    """Return what the file says; raise SettingsError.

    None of them may dial the file's numbers, or our `own`.
    """
    content = read_toml("CONFERRAL_DIRECTORY", path)
    named = content.get("destinations")
    named = named if isinstance(named, dict) else {}
    called = content.get("inbound")
    allowed = replace(allowed, own=(*own, *(called if isinstance(called, dict) else ())))
    names = {name: one for name, one in named.items() if isinstance(one, str)}
    context = _Context(allowed, names, return_urls, "timezone" in content)
    tables: dict[str, type[Table]] = {"inbound": DirectoryEntry, "agents": DeskAgent}
    return parse_toml("CONFERRAL_DIRECTORY", path, content, DirectoryContent, tables, context)
