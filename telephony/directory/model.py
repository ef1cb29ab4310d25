"""The directory: names for those who can be dialled, and what holds for each number that is called.

A file of the operator's in TOML (`CONFERRAL_DIRECTORY`), read at start and again on SIGHUP. Nobody in it is dialled who
is not on the allow-list. Without a file, every number that is called goes by the settings alone.
"""

import math
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog

from conferral.runtime import setting_errors
from conferral.runtime.errors import SettingsError
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.states import SessionMode
from conferral.telephony.addresses import Address, AddressError, AllowList, parse_address
from conferral.telephony.callback_urls import CallbackUrls
from conferral.telephony.directory.file import DirectoryEntry, is_name, read_file
from conferral.telephony.twiml import INLINE_LENGTH_MAX, TwimlBuilder

log = structlog.get_logger()

#: What `CONFERRAL_TRANSFER_FALLBACK` may be beside a destination.
FALLBACK_WORDS = frozenset({"recall", "end"})
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class InboundRoute:
    """What holds for a number that is called."""

    #: Addresses of those who are called one after the other, the next when one fails; empty when there is nobody.
    agents: tuple[str, ...] = field(default=(), repr=False)
    #: How the call is connected, whichever URL was asked; None for the way of the URL.
    mode: SessionMode | None = None
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    #: The number that was called, E.164; empty if it is `TWILIO_NUMBER` or no number.
    called_number: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Directory:
    """What a file said when it was read, with what the settings say of everybody else."""

    #: Addresses by name.
    destinations: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: What the file says, by the number that is called, E.164.
    numbers: Mapping[str, InboundRoute] = field(default_factory=dict, repr=False)
    #: Of every other number: `CONFERRAL_AGENT` and `CONFERRAL_RECORD`.
    default: InboundRoute = InboundRoute()
    #: `CONFERRAL_TRANSFER_FALLBACK`: `recall`, `end`, or the address that it names.
    fallback: str = field(default="recall", repr=False)

    def address_of(self, name: str) -> str | None:
        """The address of somebody who is named in the file, None for everybody else."""
        return self.destinations.get(name)

    def inbound(self, called: str) -> InboundRoute:
        """What holds for a number that is called.

        Args:
            called: As Twilio tells it (`To`).
        """
        return self.numbers.get(called, self.default)


class DirectoryFile:
    """The directory of a process.

    Attributes:
        current: As it was when the file was read last without a fault. Ask for it anew each time.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        """Reads it.

        Raises:
            SettingsError: the file can't be read or is wrong, or an agent or a fallback may not be dialled.
        """
        self._settings = settings
        # Two readings at once could end in the wrong order.
        self._lock = threading.Lock()
        self.current = load_directory(settings)

    def reload(self) -> None:
        """Reads the file again; one with a fault changes nothing, and the log tells file, line and key.

        May be called in a thread.
        """
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
    """The directory that the settings name, and the settings that may name somebody in it.

    Raises:
        SettingsError: the file can't be read or is wrong, with a line for each fault; or `CONFERRAL_AGENT` or
            `CONFERRAL_TRANSFER_FALLBACK` names nobody, or somebody who may not be dialled; or the allow-list is wrong.
    """
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
    return Directory(MappingProxyType(names), MappingProxyType(numbers), default, fallback)


def _inbound_route(entry: DirectoryEntry, default: InboundRoute) -> InboundRoute:
    attributes = ConferenceAttributes(
        record=entry.record or default.attributes.record,
        beep=entry.beep,
        jitter_buffer_size=entry.jitter_buffer_size,
        region=entry.region,
        trim=entry.trim,
        wait_url=entry.wait_url,
        greeting=entry.greeting,
        max_participants=entry.max_participants,
        time_limit_s=entry.time_limit,
        hangup_on_star=entry.hangup_on_star,
        after_url=entry.after,
    )
    mode = SessionMode(entry.mode) if entry.mode else None
    return InboundRoute(tuple(entry.agents) or default.agents, mode, attributes)


def _check_inline_length(settings: ServiceSettings, every: Iterable[ConferenceAttributes]) -> None:
    """Pass if Twilio takes every document that moves a call: the public URL occurs in it several times.

    Raises:
        SettingsError: the public URL is too long.
    """
    urls = CallbackUrls(settings.public_url)
    documents = TwimlBuilder(
        urls, language=settings.language, voice=settings.voice, with_speaker_events=settings.speaker_events
    )
    longest = max((documents.longest_inline_join(attributes) for attributes in every), key=len)
    excess = len(longest) - INLINE_LENGTH_MAX
    if excess > 0:
        length_max = len(settings.public_url) - math.ceil(excess / longest.count(settings.public_url))
        problem = (
            f"CONFERRAL_PUBLIC_URL: must have at most {length_max} characters: Twilio takes {INLINE_LENGTH_MAX:,} in "
            "the TwiML that moves a call, and the URL occurs in it several times"
        )
        raise SettingsError((problem,))


# ---- names in place of addresses ---------------------------------------------------------------------------------


def resolve_address(text: str, names: Mapping[str, str], allowed: AllowList) -> Address:
    """Whom an address or a name means.

    Args:
        text: `+E.164`, `client:NAME`, `sip:URI`, or a name of the directory.
        names: Addresses by name.
        allowed: What may be dialled.

    Raises:
        AddressError: nobody is called so, it is no address, or may not be dialled; the reason repeats no number.
    """
    if is_name(text) and text not in names:
        # A name with digits may be somebody's number, written wrong.
        nobody = f"nobody is called {text}" if re.fullmatch("[A-Za-z_-]+", text) else "nobody of that name is"
        addresses = "an address is +, country code and number, client:NAME or sip:URI"
        raise AddressError(f"{nobody} in the directory; {addresses}")
    address = parse_address(names.get(text, text))
    allowed.check(address)
    return address


def resolve_agent(settings: ServiceSettings, names: Mapping[str, str] = _NO_NAMES) -> Address | None:
    """`CONFERRAL_AGENT`, held against the allow-list; None when the setting is absent.

    Raises:
        SettingsError: it is neither an address nor a name, or not allowed; or the allow-list itself is wrong.
    """
    allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
    if settings.agent is None:
        return None
    try:
        return resolve_address(settings.agent, names, allowed)
    except AddressError as error:
        raise SettingsError((_setting_error("CONFERRAL_AGENT", settings.agent, error),)) from None


def resolve_fallback(settings: ServiceSettings, names: Mapping[str, str] = _NO_NAMES) -> str:
    """`CONFERRAL_TRANSFER_FALLBACK`, held against the allow-list: `recall`, `end`, or an address.

    Raises:
        SettingsError: it is none of these and no name, or may not be dialled; or the allow-list itself is wrong.
    """
    if settings.transfer_fallback in FALLBACK_WORDS:
        return settings.transfer_fallback
    allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
    try:
        return resolve_address(settings.transfer_fallback, names, allowed).text
    except AddressError as error:
        problem = _setting_error("CONFERRAL_TRANSFER_FALLBACK", settings.transfer_fallback, error)
        raise SettingsError((problem,)) from None


def _setting_error(name: str, given: str, error: AddressError) -> str:
    return setting_errors.describe_invalid(name, given, None, error.reason)
