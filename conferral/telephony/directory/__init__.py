"""Directory: names for destinations, and routes of called numbers.

The operator's TOML file (`CONFERRAL_DIRECTORY`) is read at start and on SIGHUP; the allow-list applies to it. Without
a file, the settings apply to every called number.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Self

import structlog

from conferral.runtime import setting_errors
from conferral.runtime.errors import SettingsError
from conferral.runtime.redaction import redact
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.zones import find_zone
from conferral.statemachine.parts import (
    DEFAULT_ATTRIBUTES,
    DEFAULT_OPTIONS,
    ConferenceAttributes,
    DialOptions,
    QueueOptions,
)
from conferral.statemachine.presence import Presence
from conferral.statemachine.states import Place, SessionMode
from conferral.telephony.addresses import AddressError, AllowList, resolve_address
from conferral.telephony.directory.file import (
    DeskAgent,
    DirectoryContent,
    DirectoryEntry,
    mail_key,
    read_file,
)
from conferral.telephony.directory.hours import Hours
from conferral.telephony.fallbacks import NOT_FOR_INBOUND, NOT_FOR_TRANSFERS, AddressRules
from conferral.telephony.own_numbers import OwnNumbers

log = structlog.get_logger()

#: Keys of an entry that are the conference's attributes, under the same name.
_CONFERENCE_KEYS = DirectoryEntry.model_fields.keys() & set(ConferenceAttributes.__struct_fields__) - {"record"}


#: How callers wait in a queue, if an entry says nothing else.
DEFAULT_QUEUE = QueueOptions(limit_s=600, say_every_s=60)


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
    #: When the agents are rung; None for always.
    hours: Hours | None = None
    #: Where a caller goes outside the hours: places in order.
    closed: tuple[str, ...] = field(default=(Place.END,), repr=False)
    #: Whether the call came outside the hours.
    is_closed: bool = False
    #: How agents are ordered before each is rung: see `statemachine.presence`.
    order: str = ""
    #: How many agents, from the first on, are away, and skipped.
    skipped_count: int = 0
    #: How callers wait in the queue, if that is one of the places.
    queue: QueueOptions = DEFAULT_QUEUE
    #: Whether the caller begins in the queue, as others wait there: no agent is rung.
    begins_in_queue: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        """The fallback as sessions have it; empty for `end`."""
        return () if self.fallback == (Place.END,) else self.fallback

    @property
    def first_agent(self) -> str:
        """The agent who is rung first; empty if there is none."""
        is_no_one_rung = self.begins_in_queue or self.skipped_count >= len(self.agents)
        return "" if is_no_one_rung else self.agents[self.skipped_count]

    @property
    def has_queue(self) -> bool:
        """Whether a caller may wait in a queue."""
        return Place.QUEUE in self.fallback

    def judged(self, presence: Presence) -> Self:
        """Return the route by who is there now, and who waits."""
        agents, skipped_count = presence.in_ringing_order(self.agents, self.order)
        waits = self.has_queue and self.called_number in presence.queued_numbers and presence.has_desk(agents)
        return replace(self, agents=agents, skipped_count=skipped_count, begins_in_queue=waits)

    def at(self, now_ms: int) -> Self:
        """Return the route of a call that comes now, Unix milliseconds."""
        if self.hours is None or self.hours.include(now_ms):
            return self
        return replace(self, agents=(), fallback=self.closed, is_closed=True)


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
        email = mail_key(person)
        return next((one for one, agent in self.agents.items() if email and mail_key(agent.email) == email), "")

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
            found[f'inbound."{redact(number)}"'] = (*agents, *fallback, *route.closed)
        yield from ((where, place) for where, places in found.items() for place in places)


class DirectoryFile:
    """The directory of a process; `current` changes on reload."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Read the file; raise SettingsError if it is invalid."""
        self._settings = settings
        #: Those of the account follow once they were read.
        self.own_numbers = OwnNumbers(settings.number)
        #: What may be dialed.
        self.allowed = replace(
            AllowList.from_setting(settings.allowed_destinations, settings.number), own=self.own_numbers
        )
        # Two concurrent reloads could finish in the wrong order.
        self._lock = threading.Lock()
        self.current = self._read()

    def _read(self) -> Directory:
        own = self.own_numbers
        found = load_directory(self._settings, own.account or ())
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


def load_directory(settings: ServiceSettings, account: Collection[str] = ()) -> Directory:
    """Return the directory that the settings name; raise SettingsError.

    No place may be a number of ours: `TWILIO_NUMBER`, the file's, and those of the `account`.
    """
    allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
    handoff_allow_list(settings)  # a wrong one stops every process, not only the webhooks
    path = settings.directory
    own = (settings.number, *account)
    file = read_file(path, allowed, settings.return_urls, own) if path else DirectoryContent()
    names = file.destinations
    allowed = replace(allowed, own=(*own, *file.inbound))
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
    for_transfers = partial(rules.parse, without=NOT_FOR_TRANSFERS)
    transfer_fallback = parsed("CONFERRAL_TRANSFER_FALLBACK", settings.transfer_fallback, for_transfers)
    for_inbound = partial(rules.parse, without=NOT_FOR_INBOUND)
    inbound_fallback = parsed("CONFERRAL_INBOUND_FALLBACK", settings.inbound_fallback, for_inbound)
    if problems:
        raise SettingsError(tuple(problems))
    default = InboundRoute(agents, None, ConferenceAttributes(record=settings.record), inbound_fallback)
    numbers = {number: _route_from_entry(entry, default, file) for number, entry in file.inbound.items()}
    return Directory(
        MappingProxyType(names),
        MappingProxyType(numbers),
        default,
        transfer_fallback,
        MappingProxyType(file.agents),
    )


def _route_from_entry(entry: DirectoryEntry, default: InboundRoute, file: DirectoryContent) -> InboundRoute:
    """Return an entry's route; file and default route complete it."""
    attributes = ConferenceAttributes(
        record=entry.record or default.attributes.record,
        time_limit_s=entry.time_limit,
        after_url=entry.after,
        **entry.model_dump(include=_CONFERENCE_KEYS),
    )
    zone = find_zone(entry.timezone or file.timezone)
    holidays = file.holidays if entry.holidays is None else entry.holidays
    mode = SessionMode(entry.mode) if entry.mode else None
    return InboundRoute(
        tuple(entry.agents) or default.agents,
        mode,
        attributes,
        entry.fallback or default.fallback,
        DialOptions(confirm=entry.confirm, confirm_for_s=entry.confirm_for),
        hours=Hours(entry.hours, zone, frozenset(holidays)) if entry.hours and zone else None,
        closed=entry.closed or (Place.END,),
        order=entry.order,
        queue=QueueOptions(
            limit_s=entry.queue_limit or DEFAULT_QUEUE.limit_s,
            say_every_s=DEFAULT_QUEUE.say_every_s if entry.queue_say_every is None else entry.queue_say_every,
        ),
    )
