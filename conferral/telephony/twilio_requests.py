"""Requests through twilio-python: its client, reads, lists, and fields."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from twilio.rest import Client

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import ProviderGoneError, ProviderUnreachableError, ResultUnknownError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import TwilioSettings
from conferral.telephony import errors
from conferral.telephony.http_client import PooledHttpClient, http_client
from conferral.telephony.request_context import ignore_not_found

_T = TypeVar("_T")


def rest_client(settings: TwilioSettings, http: PooledHttpClient, *, by_token: bool = False) -> Client:
    """Return Twilio's client, with the API key if set, else the auth token.

    With `by_token`, always use the auth token, for requests that API keys may not make.
    """
    if settings.api_key and settings.api_secret and not by_token:
        username, password = settings.api_key, settings.api_secret.get_secret_value()
    else:
        username, password = settings.account_sid, settings.auth_token.get_secret_value()
    return Client(
        username=username,
        password=password,
        account_sid=settings.account_sid,
        http_client=http,
        # With an empty mapping, the library would read TWILIO_EDGE and TWILIO_REGION, which change the host.
        environment={"TWILIO_EDGE": "", "TWILIO_REGION": ""},
    )


@asynccontextmanager
async def opened_client(settings: TwilioSettings) -> AsyncIterator[Client]:
    """Open Twilio's client for one command; close its connections at the end."""
    http = http_client(settings, clock=SystemClock(), metrics=Metrics())
    try:
        yield rest_client(settings, http)
    finally:
        await http.close()


async def send(request: Awaitable[_T]) -> _T:
    """Await a request of the library, with its errors translated."""
    with errors.translate_errors():
        return await request


async def complete_call(client: Client, call_sid: str) -> bool:
    """End a call; return whether it was over already, which is as requested."""
    try:
        with ignore_not_found():
            await send(client.calls(call_sid).update_async(status="completed"))
    except ProviderGoneError:
        return True
    return False


async def read_with_retry(fetch: Callable[[], Awaitable[_T]]) -> _T:
    """Run a GET; retry once, immediately, if it fails.

    Without that, all parts of a read would be repeated later, while a party may be waiting in silence.
    """
    try:
        return await send(fetch())
    except (ResultUnknownError, ProviderUnreachableError) as error:
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
    """Return a field's text, empty if absent; else raise ResultUnknownError."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ResultUnknownError  # another body: an error's has a number as `status`
    return value
