"""How requests are sent through Twilio's library: with our errors, one retry for reads, and several at once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from conferral.runtime.errors import OutcomeUnknownError, ProviderUnreachableError
from conferral.telephony.errors import translate_errors

_T = TypeVar("_T")


async def send(request: Awaitable[_T]) -> _T:
    """What the library makes of an answer, with our errors."""
    with translate_errors():
        return await request


async def read_with_retry(fetch: Callable[[], Awaitable[_T]]) -> _T:
    """What a GET finds. One that breaks or fails is repeated once, and at once.

    It changes nothing, and all the other parts of a look would else be read again with it, later, while somebody waits
    in silence for what the look tells.
    """
    try:
        return await send(fetch())
    except (OutcomeUnknownError, ProviderUnreachableError) as error:
        if error.retry_after_s > 0:
            raise  # Twilio has said when to come again
        return await send(fetch())


async def list_page(page: Callable[[], Awaitable[Iterable[Any]]]) -> list[Any]:
    """The records of one page. The library's own lists follow paging links for as long as the server offers any."""

    async def records() -> list[Any]:
        return list(await page())

    return await read_with_retry(records)


async def gather(*reads: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of independent reads. The first error ends the others and is raised as it is, without a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read) for read in reads]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
