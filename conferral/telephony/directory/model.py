"""Directory: names for destinations, and routes of called numbers.

The operator's TOML file (`CONFERRAL_DIRECTORY`) is read at start and on SIGHUP; the allow-list applies to it. Without
a file, the settings apply to every called number.
"""

import math
import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from xml.sax.saxutils import escape

import structlog

from conferral.runtime import setting_errors
from conferral.runtime.errors import SettingsError
from conferral.runtime.redaction import redact
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.states import SessionMode
from conferral.telephony.addresses import Address, AddressError, AllowList, number_in, parse_address
from conferral.telephony.directory.file import DirectoryEntry, is_name, read_file
from conferral.telephony.twiml import INLINE_LENGTH_MAX, TwimlBuilder

log = structlog.get_logger()

#: Values of `CONFERRAL_TRANSFER_FALLBACK` other than a destination.
FALLBACK_WORDS = frozenset({"recall", "end"})
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class InboundRoute:
    """Routing of a called number."""

    #: Addresses of the agents to ring in order, the next when one fails; empty if there are none.
    agents: tuple[str, ...] = field(default=(), repr=False)
    #: How to connect the call, whichever URL Twilio requested; None lets the URL decide.
    mode: SessionMode | None = None
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
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
    #: `CONFERRAL_TRANSFER_FALLBACK`: `recall`, `end`, or an address.
    fallback: str = field(default="recall", repr=False)

    def address_of(self, name: str) -> str | None:
        """Return the address of a name in the file, None if the name is unknown."""
        return self.destinations.get(name)

    def inbound(self, called: str) -> InboundRoute:
        """Return the route of a called number, given as Twilio sends it (`To`)."""
        return self.numbers.get(called, self.default)


class DirectoryFile:
    """The directory of a process; `current` changes on reload."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Read the file; raise SettingsError if it is invalid."""
        self._settings = settings
        # Two concurrent reloads could finish in the wrong order.
        self._lock = threading.Lock()
        self.current = load_directory(settings)

    def reload(self) -> None:
        """Read the file again, also in a thread; on errors, only log them."""
        if self._settings.directory is None:
            log.info("directory_absent", setting="CONFERRAL_DIRECTORY")
            return
        with self._lock:
            try:
                self.current = load_directory(self._settings)
            except SettingsError as error:
                for problem in error.problems:
                    log.error("directory_refused", reason=problem)
                return
        log.info("directory_read", destinations=len(self.current.destinations), numbers=len(self.current.numbers))


def load_directory(settings: ServiceSettings) -> Directory:
    """Return the directory that the settings name; raise SettingsError."""
    allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
    names, entries = read_file(settings.directory, allowed) if settings.directory else ({}, {})
    problems: list[str] = []
    agent, fallback = None, ""
    try:
        agent = resolve_agent(settings, names)
    except SettingsError as error:
        problems += error.problems
    try:
        fallback = resolve_fallback(settings, names)
    except SettingsError as error:
        problems += error.problems
    if problems:
        raise SettingsError(tuple(problems))
    default = InboundRoute((agent.text,) if agent else (), None, ConferenceAttributes(record=settings.record))
    numbers = {number: _inbound_route(entry, default) for number, entry in entries.items()}
    _check_inline_length(settings, [one.attributes for one in (default, *numbers.values())])
    directory = Directory(MappingProxyType(names), MappingProxyType(numbers), default, fallback)
    if calling_themselves := [loop for loop in number_loops(settings, directory) if len(loop) == 1]:
        raise SettingsError(tuple(_loop_problem(settings, directory, number) for (number,) in calling_themselves))
    return directory


def number_loops(settings: ServiceSettings, directory: Directory) -> list[tuple[str, ...]]:
    """Return the loops in which numbers of ours are each other's agents.

    A call would ring the first number of a loop again, as a new call, without end.
    """
    own = dict.fromkeys((settings.number, *directory.numbers))
    called = {
        number: [one for agent in directory.inbound(number).agents if (one := number_in(agent, settings.number)) in own]
        for number in own
    }
    found = (_shortest_loop(number, called) for number in called)
    return [loop for loop in found if loop and loop[0] == min(loop)]  # each once, from its lowest number


def _shortest_loop(number: str, called: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the numbers through which a number calls itself, if it does."""
    paths: deque[tuple[str, ...]] = deque([(number,)])
    seen = {number}
    while paths:
        path = paths.popleft()
        for following in called[path[-1]]:
            if following == number:
                return path
            if following not in seen:
                seen.add(following)
                paths.append((*path, following))
    return ()


def _loop_problem(settings: ServiceSettings, directory: Directory, number: str) -> str:
    is_default = directory.inbound(number).agents == directory.default.agents
    where = (
        "CONFERRAL_AGENT" if is_default else f'CONFERRAL_DIRECTORY: {settings.directory}, inbound."{redact(number)}"'
    )
    return f"{where}: the agent is the number that callers dial, so the call would call itself; choose another agent"


def _inbound_route(entry: DirectoryEntry, default: InboundRoute) -> InboundRoute:
    """Return an entry's route; the default route completes it."""
    attributes = ConferenceAttributes(
        record=entry.record or default.attributes.record,
        time_limit_s=entry.time_limit,
        after_url=entry.after,
        **entry.model_dump(exclude={"agents", "mode", "record", "time_limit", "after"}),
    )
    mode = SessionMode(entry.mode) if entry.mode else None
    return InboundRoute(tuple(entry.agents) or default.agents, mode, attributes)


def _check_inline_length(settings: ServiceSettings, all_attributes: Iterable[ConferenceAttributes]) -> None:
    """Raise SettingsError if the public URL is too long for inline TwiML."""
    documents = TwimlBuilder.of(settings)
    longest = max((documents.longest_inline_join(attributes) for attributes in all_attributes), key=len)
    if len(longest) > INLINE_LENGTH_MAX:
        excess = (len(longest) - INLINE_LENGTH_MAX) / longest.count(escape(settings.public_url))
        length_max = len(settings.public_url) - math.ceil(excess)
        problem = (
            f"CONFERRAL_PUBLIC_URL: must have at most {length_max} characters: Twilio takes {INLINE_LENGTH_MAX:,} in "
            "the TwiML that moves a call, and the URL occurs in it several times"
        )
        raise SettingsError((problem,))


def resolve_address(text: str, names: Mapping[str, str], allowed: AllowList) -> Address:
    """Return the address for an address or a name; else raise AddressError."""
    if is_name(text) and text not in names:
        # A name with digits may be a mistyped phone number.
        has_no_digits = re.fullmatch("[A-Za-z_-]+", text)
        unknown = f"no destination is named {text}" if has_no_digits else "no destination has that name"
        addresses = "an address is +, country code, and number; client:NAME; or sip:URI"
        hint = f"; did you mean client:{text}?" if has_no_digits and allowed.clients else ""
        raise AddressError(f"{unknown} in the directory; {addresses}{hint}")
    address = parse_address(names.get(text, text))
    allowed.check(address)
    return address


def resolve_agent(settings: ServiceSettings, names: Mapping[str, str] = _NO_NAMES) -> Address | None:
    """Return `CONFERRAL_AGENT`, None if unset; raise SettingsError if invalid."""
    if settings.agent is None:
        AllowList.from_setting(settings.allowed_destinations, settings.number)  # an invalid list is an error anyhow
        return None
    return _resolve_setting(settings, "CONFERRAL_AGENT", settings.agent, names)


def resolve_fallback(settings: ServiceSettings, names: Mapping[str, str] = _NO_NAMES) -> str:
    """Return `recall`, `end`, or an address; raise SettingsError if invalid."""
    if settings.transfer_fallback in FALLBACK_WORDS:
        return settings.transfer_fallback
    return _resolve_setting(settings, "CONFERRAL_TRANSFER_FALLBACK", settings.transfer_fallback, names).text


def _resolve_setting(settings: ServiceSettings, name: str, given: str, names: Mapping[str, str]) -> Address:
    allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
    try:
        return resolve_address(given, names, allowed)
    except AddressError as error:
        raise SettingsError((setting_errors.describe_invalid(name, given, None, error.reason),)) from None
