"""Directory: names for destinations, and routes of called numbers.

The operator's TOML file (`CONFERRAL_DIRECTORY`) is read at start and on SIGHUP; the allow-list applies to it. Without
a file, the settings apply to every called number.
"""

import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import structlog
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from conferral.runtime import setting_errors
from conferral.runtime.errors import SettingsError
from conferral.runtime.limits import CONFIRM_TIME_MAX_S, CONFIRM_TIME_MIN_S, NUMBER, PERSON_NAME, URL_MAX
from conferral.runtime.redaction import redact
from conferral.runtime.setting_values import spoken_greeting
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.text import join_words
from conferral.runtime.urls import is_http_url
from conferral.statemachine.parts import (
    DEFAULT_ATTRIBUTES,
    DEFAULT_OPTIONS,
    ConferenceAttributes,
    DialOptions,
)
from conferral.statemachine.states import Place, SessionMode
from conferral.telephony.addresses import AddressError, AllowList, is_name, parse_address, resolve_address
from conferral.telephony.fallbacks import AddressRules
from conferral.telephony.identities import identity_problem
from conferral.telephony.own_numbers import OwnNumbers
from conferral.telephony.toml_file import Table, parse_toml, read_toml

log = structlog.get_logger()

#: Words that a fallback may contain besides destinations.
_FALLBACK_WORDS = frozenset({*Place, "back"})
#: There is no one to call back.
_NOT_FOR_INBOUND = frozenset({Place.RECALL})
#: Most agents per number (count).
AGENTS_MAX = 10
#: Source: Twilio docs, TwiML `<Conference>`, `region`; twilio-python 9.6.3, which added `us2`.
REGIONS = ("us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1")


@dataclass(frozen=True, slots=True)
class _Context:
    """What the file's addresses are validated against."""

    allowed: AllowList
    #: The file's own names, unresolved.
    names: Mapping[str, str] = field(repr=False)
    return_urls: Sequence[str] = ()
    #: Our numbers that answer for the canary, each permitted as the only agent.
    canary: frozenset[str] = field(default=frozenset(), repr=False)


def _context(info: ValidationInfo) -> _Context:
    assert isinstance(info.context, _Context)
    return info.context


def _valid_name(text: str) -> str:
    if not is_name(text):
        raise ValueError("a name is 1 to 64 letters, digits, _, or -, with at least one letter")
    if text in _FALLBACK_WORDS:
        raise ValueError("means something else in a fallback: choose another name")
    return text


def _valid_number(text: str) -> str:
    if not re.fullmatch(NUMBER, text):
        raise ValueError("must be the number that is called, +, country code, and number, in quotes")
    return text


def _allowed_address(text: str, info: ValidationInfo) -> str:
    """Return the address; raise ValueError if it is invalid or not allowed."""
    context = _context(info)
    try:
        address = parse_address(text)
        is_canary = info.field_name == "agents" and address.text in context.canary
        (replace(context.allowed, own=()) if is_canary else context.allowed).check(address)
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


def _without_others(agents: list[str], info: ValidationInfo) -> list[str]:
    if len(agents) > 1 and not _context(info).canary.isdisjoint(agents):
        raise ValueError("a number that answers for the canary must be the only agent")
    return agents


def _inbound_fallback(text: object, info: ValidationInfo) -> tuple[str, ...]:
    """Return a fallback with addresses; raise ValueError if it is wrong."""
    if not isinstance(text, str):
        raise ValueError("must be a string, with commas between the places")  # noqa: TRY004  # pydantic catches no other
    context = _context(info)
    rules = AddressRules(context.names, context.allowed, context.return_urls)
    try:
        return rules.parse(text, without=_NOT_FOR_INBOUND)
    except AddressError as error:
        raise ValueError(error.reason) from None


def _valid_url(text: str) -> str:
    # May hold user, password, query, and fragment, all of which Twilio supports.
    if not is_http_url(text) or len(text) > URL_MAX:
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


class DirectoryEntry(Table):
    """Entry of one number; empty values leave the choice to the settings."""

    # Source: Twilio docs, TwiML `<Conference>` and `<Dial>`, whose attributes most of these are.
    agents: Annotated[list[Annotated[str, AfterValidator(_agent)]], AfterValidator(_without_others)] = Field(
        [], min_length=1, max_length=AGENTS_MAX, repr=False
    )
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
    fallback: Annotated[tuple[str, ...], BeforeValidator(_inbound_fallback)] = Field((), repr=False)
    confirm: bool = False
    #: Seconds.
    confirm_for: int = Field(0, ge=CONFIRM_TIME_MIN_S, le=CONFIRM_TIME_MAX_S)


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


def _with_own_mail(agents: dict[str, DeskAgent]) -> dict[str, DeskAgent]:
    emails = [agent.email.casefold() for agent in agents.values() if agent.email]
    if len({*emails}) < len(emails):
        raise ValueError("two agents have the same email: a sign-in proxy's header would mean either")
    return agents


_Agents = dict[Annotated[str, AfterValidator(_valid_identity)], DeskAgent]


class _File(Table):
    agents: Annotated[_Agents, AfterValidator(_with_own_mail)] = Field(default_factory=dict)
    destinations: dict[_Name, Annotated[str, AfterValidator(_allowed_address)]] = Field(default_factory=dict)
    inbound: dict[Annotated[str, AfterValidator(_valid_number)], DirectoryEntry] = Field(default_factory=dict)


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
    canary: frozenset[str] = frozenset(),
) -> tuple[dict[str, str], dict[str, DirectoryEntry], dict[str, DeskAgent]]:
    """Return addresses by name, entries by number, and agents by identity.

    Raise SettingsError.

    None of them may dial the file's numbers, or our `own`; the only agent of a number may be one of `canary`.
    """
    content = read_toml("CONFERRAL_DIRECTORY", path)
    named = content.get("destinations")
    named = named if isinstance(named, dict) else {}
    called = content.get("inbound")
    allowed = replace(allowed, own=(*own, *(called if isinstance(called, dict) else ())))
    context = _Context(allowed, {name: one for name, one in named.items() if isinstance(one, str)}, return_urls, canary)
    tables: dict[str, type[Table]] = {"inbound": DirectoryEntry, "agents": DeskAgent}
    file = parse_toml("CONFERRAL_DIRECTORY", path, content, _File, tables, context)
    return file.destinations, file.inbound, file.agents


@dataclass(frozen=True, slots=True)
class InboundRoute:
    """Routing of a called number."""

    #: Addresses of the agents to ring in order, the next when one fails; empty if there are none.
    agents: tuple[str, ...] = field(default=(), repr=False)
    #: How to connect the call, whichever URL Twilio requested; None lets the URL decide.
    mode: SessionMode | None = None
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    #: Where a caller goes whom no agent takes: places in order.
    fallback: tuple[str, ...] = field(default=(Place.END,), repr=False)
    #: How to dial the agents.
    options: DialOptions = DEFAULT_OPTIONS
    #: The called number, E.164; empty if it is `TWILIO_NUMBER` or not a number.
    called_number: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory file's content, with the settings as default."""

    #: Addresses by name.
    destinations: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Routes by called number, E.164.
    numbers: Mapping[str, InboundRoute] = field(default_factory=dict, repr=False)
    #: Route of every other number: `CONFERRAL_AGENT` and `CONFERRAL_RECORD`.
    default: InboundRoute = InboundRoute()
    #: Where a customer goes after a failed blind transfer: places in order (`CONFERRAL_TRANSFER_FALLBACK`).
    transfer_fallback: tuple[str, ...] = field(default=(Place.RECALL,), repr=False)
    #: Who works at desks, by identity.
    agents: Mapping[str, DeskAgent] = field(default_factory=dict, repr=False)

    def agent_name(self, identity: str) -> str:
        """Return what colleagues call an agent: by default, the identity."""
        agent = self.agents.get(identity)
        return (agent.name if agent is not None else "") or identity

    def identity_of(self, person: str) -> str:
        """Return whom a mail address or an identity names; empty for a stranger."""
        if person in self.agents:
            return person
        email = person.casefold()
        return next((one for one, agent in self.agents.items() if email and agent.email.casefold() == email), "")

    def address_of(self, name: str) -> str | None:
        """Return the address of a name in the file, None if the name is unknown."""
        return self.destinations.get(name)

    def inbound(self, called: str) -> InboundRoute:
        """Return the route of a called number, given as Twilio sends it (`To`)."""
        return self.numbers.get(called, self.default)

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield where each place is configured, and the place."""
        found: dict[str, tuple[str, ...]]
        found = {f"destinations.{name}": (address,) for name, address in self.destinations.items()}
        found["CONFERRAL_AGENT"] = self.default.agents
        found["CONFERRAL_INBOUND_FALLBACK"] = self.default.fallback
        found["CONFERRAL_TRANSFER_FALLBACK"] = self.transfer_fallback
        for number, route in self.numbers.items():
            agents = route.agents if route.agents != self.default.agents else ()
            fallback = route.fallback if route.fallback != self.default.fallback else ()
            found[f'inbound."{redact(number)}"'] = (*agents, *fallback)
        yield from ((where, place) for where, places in found.items() for place in places)


class DirectoryFile:
    """The directory of a process; `current` changes on reload."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Read the file; raise SettingsError if it is invalid."""
        self._settings = settings
        #: Those of the account follow once they were read.
        self.own_numbers = OwnNumbers(settings.number, public_url=settings.public_url)
        #: What may be dialed.
        self.allowed = replace(
            AllowList.from_setting(settings.allowed_destinations, settings.number), own=self.own_numbers
        )
        # Two concurrent reloads could finish in the wrong order.
        self._lock = threading.Lock()
        self.current = self._read()

    def _read(self) -> Directory:
        own = self.own_numbers
        found = load_directory(self._settings, own.account or (), own.canary)
        own.configured = (self._settings.number, *found.numbers)
        return found

    def reload(self) -> None:
        """Read the file again, also in a thread; on errors, only log them."""
        if self._settings.directory is None:
            log.info("directory_absent", setting="CONFERRAL_DIRECTORY")
            return
        with self._lock:
            try:
                self.current = self._read()
            except SettingsError as error:
                for problem in error.problems:
                    log.error("directory_refused", reason=problem)
                return
        log.info("directory_read", destinations=len(self.current.destinations), numbers=len(self.current.numbers))


def handoff_allow_list(settings: ServiceSettings) -> AllowList:
    """Return what `HandoffData` may name; raise SettingsError."""
    return AllowList.from_setting(settings.handoff_destinations, settings.number, "CONFERRAL_HANDOFF_DESTINATIONS")


def load_directory(
    settings: ServiceSettings, account: Collection[str] = (), canary: frozenset[str] = frozenset()
) -> Directory:
    """Return the directory that the settings name; raise SettingsError.

    No place may be a number of ours: `TWILIO_NUMBER`, the file's, and those of the `account`. But the only agent of a
    number may be one that answers for the `canary`.
    """
    allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
    handoff_allow_list(settings)  # a wrong one stops every process, not only the webhooks
    path = settings.directory
    own = (settings.number, *account)
    names, entries, agents_at_desks = (
        read_file(path, allowed, settings.return_urls, own, canary) if path else ({}, {}, {})
    )
    allowed = replace(allowed, own=(*own, *entries))
    problems: list[str] = []

    def parsed(name: str, value: str, parse: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
        try:
            return parse(value)
        except AddressError as error:
            problems.append(setting_errors.describe_invalid(name, value, None, error.reason))
            return ()

    def resolve(value: str) -> tuple[str, ...]:
        return (resolve_address(value, names, allowed).text,)

    agents = parsed("CONFERRAL_AGENT", settings.agent, resolve) if settings.agent is not None else ()
    rules = AddressRules(names, allowed, settings.return_urls)
    transfer_fallback = parsed("CONFERRAL_TRANSFER_FALLBACK", settings.transfer_fallback, rules.parse)
    for_inbound = partial(rules.parse, without=_NOT_FOR_INBOUND)
    inbound_fallback = parsed("CONFERRAL_INBOUND_FALLBACK", settings.inbound_fallback, for_inbound)
    if problems:
        raise SettingsError(tuple(problems))
    default = InboundRoute(agents, None, ConferenceAttributes(record=settings.record), inbound_fallback)
    numbers = {number: _route_from_entry(entry, default) for number, entry in entries.items()}
    return Directory(
        MappingProxyType(names),
        MappingProxyType(numbers),
        default,
        transfer_fallback,
        MappingProxyType(agents_at_desks),
    )


def _route_from_entry(entry: DirectoryEntry, default: InboundRoute) -> InboundRoute:
    """Return an entry's route; the default route completes it."""
    attributes = ConferenceAttributes(
        record=entry.record or default.attributes.record,
        time_limit_s=entry.time_limit,
        after_url=entry.after,
        **entry.model_dump(
            exclude={"agents", "mode", "record", "time_limit", "after", "fallback", "confirm", "confirm_for"}
        ),
    )
    mode = SessionMode(entry.mode) if entry.mode else None
    return InboundRoute(
        tuple(entry.agents) or default.agents,
        mode,
        attributes,
        entry.fallback or default.fallback,
        DialOptions(confirm=entry.confirm, confirm_for_s=entry.confirm_for),
    )
