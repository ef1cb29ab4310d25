"""REST requests through twilio-python: errors, retries, and concurrency."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from conferral.runtime.errors import OutcomeUnknownError, ProviderGoneError, ProviderUnreachableError
from conferral.telephony.errors import translate_errors
from conferral.telephony.http_client import ignore_not_found

_T = TypeVar("_T")


async def send(request: Awaitable[_T]) -> _T:
    """Await a request of the library, with its errors translated."""
    with translate_errors():
        return await request


async def read_with_retry(fetch: Callable[[], Awaitable[_T]]) -> _T:
    """Run a GET; retry once, immediately, if it fails.

    Without that, all parts of a read would be repeated later, while a party may be waiting in silence.
    """
    try:
        return await send(fetch())
    except (OutcomeUnknownError, ProviderUnreachableError) as error:
        if error.retry_after_s:
            raise  # Twilio has said when to retry
        return await send(fetch())


async def list_page(page: Callable[[], Awaitable[Iterable[Any]]]) -> list[Any]:
    """Return one page's records; the library's lists follow links endlessly."""

    async def records() -> list[Any]:
        return list(await page())

    return await read_with_retry(records)


async def if_found(read: Awaitable[_T]) -> _T | None:
    """Await a read; None if Twilio does not know the resource, or no longer."""
    try:
        with ignore_not_found():
            return await read
    except ProviderGoneError:
        return None


def text_of(value: object) -> str:
    """Return a field's text, empty if absent; else raise OutcomeUnknownError."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise OutcomeUnknownError  # another body: an error's has a number as `status`
    return value


async def gather(*reads: Coroutine[Any, Any, Any]) -> list[Any]:
    """Return the results of reads; the first error cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read) for read in reads]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
