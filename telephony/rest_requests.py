"""REST requests through twilio-python: error translation, one retry for reads, concurrency, and types of fields."""

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

    A GET is safe to retry. Without the retry, all parts of the read would be repeated later, while a party may be
    waiting in silence for its result.
    """
    try:
        return await send(fetch())
    except (OutcomeUnknownError, ProviderUnreachableError) as error:
        if error.retry_after_s:
            raise  # Twilio has said when to retry
        return await send(fetch())


async def list_page(page: Callable[[], Awaitable[Iterable[Any]]]) -> list[Any]:
    """Return the records of one page. The library's own lists follow paging links without a limit."""

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
    """Return the text in a field of a record; empty if the field is absent.

    Raises:
        OutcomeUnknownError: The field is not text: the body is not of this resource. An error's body, for instance, has
            a number as `status`.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise OutcomeUnknownError
    return value


async def gather(*reads: Coroutine[Any, Any, Any]) -> list[Any]:
    """Return the results of independent reads. The first error cancels the others and is raised without a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read) for read in reads]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
