"""Our own numbers: a call to one of them would come in again.

It would be a session of its own, with new limits, and its agents or fallback may lead to the same number without end.
Source: Twilio docs, IncomingPhoneNumber resource.
"""

import asyncio
from collections.abc import Collection, Iterator
from itertools import chain, filterfalse

import structlog
from twilio.rest import Client
from twilio.rest.api.v2010.account.incoming_phone_number import IncomingPhoneNumberInstance as NumberRecord

from conferral.runtime.errors import ProviderError, ProviderRefusedError
from conferral.runtime.lifecycle import wait_at_most
from conferral.telephony.errors import translate_errors
from conferral.telephony.request_context import label_requests, unobserved
from conferral.telephony.twilio_requests import read_with_retry, text_of

log = structlog.get_logger()

#: Between two reads of the account's list, and after one that failed, seconds.
READ_EVERY_S, RETRY_EVERY_S = 600.0, 60.0
#: A record has 2 KiB and several URLs, so 1,000 of them could exceed the size of an answer.
PAGE_SIZE, PAGES_MAX = 500, 100
#: Records read to find one number (count): Twilio's filter also matches parts of numbers.
_FOUND_MAX = 20


class OwnNumbers(Collection[str]):
    """The configured numbers, and those of the account as last read."""

    def __init__(self, *configured: str) -> None:
        #: `TWILIO_NUMBER`, then those of the directory.
        self.configured = configured
        #: None until they were read.
        self.account: frozenset[str] | None = None

    def __contains__(self, number: object) -> bool:
        return number in self.configured or number in (self.account or ())

    def __iter__(self) -> Iterator[str]:
        # Each check asks for the first: an account may have thousands.
        return chain(dict.fromkeys(self.configured), filterfalse(self.configured.__contains__, self.account or ()))

    def __len__(self) -> int:
        return len({*self.configured, *(self.account or ())})

    async def run(self, stop: asyncio.Event, client: Client) -> None:
        """Read the account's list now and every 10 minutes, until the stop."""
        while not stop.is_set():
            try:
                self.account = await read_account_numbers(client)
                pause_s = READ_EVERY_S
            except ProviderError as error:
                log.warning("own_numbers_unread", error_type=type(error).__name__, status=error.http_status)
                pause_s = READ_EVERY_S if isinstance(error, ProviderRefusedError) else RETRY_EVERY_S
            await wait_at_most(stop, pause_s)


async def find_number(client: Client, number: str) -> NumberRecord | None:
    """Return a number's record; None if it is not in the account."""
    found = await client.incoming_phone_numbers.list_async(phone_number=number, limit=_FOUND_MAX)
    return next((one for one in found if one.phone_number == number), None)


async def read_account_numbers(client: Client) -> frozenset[str]:
    """Return the account's numbers; raise ProviderError."""
    numbers = set[str]()
    with label_requests("own_numbers"), unobserved():
        page = await read_with_retry(lambda: client.incoming_phone_numbers.page_async(page_size=PAGE_SIZE))
        for _ in range(PAGES_MAX):
            with translate_errors():
                numbers |= {text_of(record.phone_number) for record in page}
                has_next = page.next_page_url is not None
            following = await read_with_retry(page.next_page_async) if has_next else None
            if following is None:
                break
            page = following
    return frozenset(numbers - {""})
