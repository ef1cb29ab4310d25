"""Account-wide lists of live calls and conferences, for the sweep."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from msgspec.structs import asdict
from twilio.base.page import Page
from twilio.rest import Client

from conferral.runtime.containment import ItemKind, log_unexpected
from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.errors import ProviderError, ProviderRefusedError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import ParticipantFound
from conferral.statemachine.states import CallStatus
from conferral.telephony.addresses import number_or_address, own_number_in, without_params
from conferral.telephony.callback_urls import is_conference_name
from conferral.telephony.conference_lists import LIVE_CONFERENCE_STATUSES, NOT_STARTED
from conferral.telephony.errors import translate_errors
from conferral.telephony.twilio_queries import participants_in
from conferral.telephony.twilio_requests import if_found, read_with_retry, text_of

#: Records per page. Source: Twilio docs, Call resource, `PageSize`: at most 1,000.
PAGE_SIZE = 1_000
#: Pages of one list in a sweep, count: links that go in circles must not keep it from its end.
PAGES_MAX = 100
#: The longest pause that Twilio may ask for within a sweep, seconds.
RETRY_AFTER_MAX_S = 15.0
#: In the order of a call's life: a call that advances meanwhile is in one list. Source: Twilio docs, Call resource.
LIVE_CALL_STATUSES = ("queued", "ringing", "in-progress")


@dataclass(frozen=True, slots=True)
class OwnCall:
    """A live call of one of Conferral's numbers."""

    #: Address of the other end: the number in a SIP caller's address, else as Twilio names it.
    address: str = field(repr=False)
    came_in: bool
    #: The number that was called, for a call that came in.
    called: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ChildCall:
    """A live call that another call's `<Dial>` made."""

    call_sid: str
    address: str = field(repr=False)
    caller_id: str = field(repr=False)


@dataclass(slots=True)
class AccountSnapshot:
    """What the account's lists show."""

    #: SIDs of the live calls, and of the answered ones.
    calls: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    #: Names of live conferences by SID; only names in Conferral's format.
    conferences: dict[str, str] = field(default_factory=dict)
    #: Live calls to or from Conferral's numbers, by SID.
    own_calls: dict[str, OwnCall] = field(default_factory=dict)
    #: Live calls that `<Dial>`s made, by the SID of the `<Dial>`'s call.
    children: dict[str, tuple[ChildCall, ...]] = field(default_factory=dict)
    #: When conferences and calls of `<Dial>`s were created, by SID, Unix milliseconds of Twilio's time.
    created_at_ms: dict[str, int] = field(default_factory=dict)
    #: SIDs of the conferences that have not started.
    waiting: set[str] = field(default_factory=set)
    has_all_calls: bool = True
    has_all_conferences: bool = True
    call_pages: int = 0
    conference_pages: int = 0

    def add_call(self, status: str, own_numbers: Collection[str], record: Any) -> None:
        """Add a record of the list of calls with a status."""
        call_sid, called = text_of(record.sid), without_params(text_of(record.to))
        self.calls.add(call_sid)
        if status == CallStatus.IN_PROGRESS:
            self.answered.add(call_sid)
        caller = text_of(record._from)  # noqa: SLF001  # the library's public name of `from`
        if (own_call := _own_call(called, caller, own_numbers)) is not None:
            self.own_calls[call_sid] = own_call
        if parent := text_of(record.parent_call_sid):
            others = (one for one in self.children.get(parent, ()) if one.call_sid != call_sid)
            self.children[parent] = (*others, ChildCall(call_sid, called, caller))
            self._add_creation_time(record)

    def add_conference(self, status: str, record: Any) -> None:
        """Add a record of the list of conferences with a status."""
        # The names of other apps' conferences must not be kept.
        if is_conference_name(name := text_of(record.friendly_name)):
            sid = text_of(record.sid)
            self.conferences[sid] = name
            (self.waiting.add if status == NOT_STARTED else self.waiting.discard)(sid)
            self._add_creation_time(record)

    def _add_creation_time(self, record: Any) -> None:
        if isinstance(record.date_created, datetime):  # the library has None or text for a bad date
            self.created_at_ms[text_of(record.sid)] = round(record.date_created.timestamp() * 1000)


def _own_call(called: str, caller: str, own_numbers: Collection[str]) -> OwnCall | None:
    """Return a call between these ends; None if neither is a number of ours."""
    if own_number := own_number_in(called, own_numbers):
        # As when the call came in.
        return OwnCall(number_or_address(caller, own_number), came_in=True, called=own_number)
    return OwnCall(called, came_in=False) if own_number_in(caller, own_numbers) else None


class AccountListReader:
    """Reads the account's lists, and a conference's participants."""

    def __init__(
        self,
        client: Client,
        *,
        own_numbers: Callable[[], Collection[str]] = tuple,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._own_numbers = own_numbers

    async def read(self) -> AccountSnapshot:
        """Read what is live, of any age; the caller labels the requests."""
        account, own_numbers = AccountSnapshot(), dict.fromkeys(self._own_numbers())
        for status in LIVE_CALL_STATUSES:
            first = partial(self._client.calls.page_async, status=status, page_size=PAGE_SIZE)
            add_call = partial(account.add_call, status, own_numbers)
            pages, has_all = await self._read_list(first, add_call)
            account.call_pages += pages
            account.has_all_calls &= has_all
        for status in LIVE_CONFERENCE_STATUSES:
            first = partial(self._client.conferences.page_async, status=status, page_size=PAGE_SIZE)
            try:
                pages, has_all = await self._read_list(first, partial(account.add_conference, status))
                account.conference_pages += pages
                account.has_all_conferences &= has_all
            except ProviderRefusedError:
                if status != NOT_STARTED:
                    raise
        return account

    async def _read_list(
        self, first: Callable[[], Awaitable[Page | None]], add: Callable[[Any], None]
    ) -> tuple[int, bool]:
        """Read a list; return its pages, and whether all of it was readable."""
        request, is_complete = first, True
        for count in range(1, PAGES_MAX + 1):
            page = await _read_page(request)
            if page is None:
                return count, is_complete
            is_complete &= self._add_records(page, add)
            await asyncio.sleep(0)  # a page of many records takes a while
            with translate_errors():
                if page.next_page_url is None:
                    return count, is_complete
            request = page.next_page_async
        return PAGES_MAX, False

    def _add_records(self, page: Page, add: Callable[[Any], None]) -> bool:
        """Call `add` with a page's records; return whether all are readable."""
        records, failure = iter(page), None
        while True:
            with catch_unexpected() as reading:
                with translate_errors():
                    record = next(records, None)
                if record is None:
                    break
                add(record)
            failure = failure or reading.unexpected
        if failure is not None and not isinstance(failure, ProviderError):
            log_unexpected(ItemKind.SWEEP, self._metrics, failure, task="sweep")
        return failure is None

    async def participants_of(self, conference_sid: str, own_calls: Mapping[str, OwnCall]) -> list[ParticipantFound]:
        """Return the participants of a conference; empty if it is over.

        Twilio's list has no addresses: `own_calls` has those of known calls, by SID. Source: Participants subresource.
        """
        unknown = OwnCall("", came_in=False)
        inside = await participants_in(self._client, conference_sid)
        found = ((seen, own_calls.get(seen.call_sid, unknown)) for seen in inside)
        return [
            ParticipantFound(**asdict(seen), address=call.address, came_in=call.came_in, called=call.called)
            for seen, call in found
        ]

    async def is_own_call(self, call_sid: str) -> bool:
        """Whether a call, also one that is over, is of a number of ours."""
        call = await if_found(read_with_retry(self._client.calls(call_sid).fetch_async))
        if call is None:
            return False
        ends = without_params(text_of(call.to)), text_of(call._from)  # noqa: SLF001  # as above
        return _own_call(*ends, dict.fromkeys(self._own_numbers())) is not None


async def _read_page(request: Callable[[], Awaitable[Page | None]]) -> Page | None:
    """Read a page; again if Twilio asks for a short pause."""
    try:
        return await read_with_retry(request)
    except ProviderError as error:
        if not 0 < error.retry_after_s <= RETRY_AFTER_MAX_S:
            raise
        await asyncio.sleep(error.retry_after_s)
        return await read_with_retry(request)
