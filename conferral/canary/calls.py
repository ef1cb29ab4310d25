"""The canary's own calls: it places them, hangs them up, counts seconds."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

from twilio.rest import Client

from conferral.canary.numbers import CanaryNumbers
from conferral.runtime.errors import ConferralError, ProviderError, ProviderRefusedError
from conferral.statemachine.states import FINAL_CALL_STATUSES
from conferral.telephony.twilio_requests import send

T = TypeVar("T")
#: What ends each call by itself, should the canary be killed, seconds.
TIME_LIMIT_S = 300
#: The caller's side: it answers nothing, it only stays.
STAY = f'<Response><Pause length="{TIME_LIMIT_S}"/></Response>'
POLL_S = 0.05
#: Newest calls of a number that are read (count).
_CALLS_MAX = 100


class FlowError(ConferralError):
    """A flow did not behave as documented."""


async def until(read: Callable[[], Awaitable[T | None]], what: str, timeout_s: float, poll_s: float = POLL_S) -> T:
    """Return what a read gives once it is true; raise FlowError."""
    found = await within(read, timeout_s, poll_s)
    if not found:
        raise FlowError(f"{what}: not within {timeout_s:g} s")
    return found


async def within(read: Callable[[], Awaitable[T | None]], timeout_s: float, poll_s: float = POLL_S) -> T | None:
    """Return what a read gives once it is true, or at the end of the time."""
    now_s = asyncio.get_running_loop().time
    until_s = now_s() + timeout_s
    while not (found := await read()) and now_s() < until_s:  # noqa: ASYNC110  # other processes act
        await asyncio.sleep(poll_s)
    return found


async def attempt(request: Awaitable[T]) -> tuple[T | None, int]:
    """Return an answer, or the code with which Twilio refuses."""
    try:
        return await send(request), 0
    except ProviderRefusedError as error:
        return None, error.code or error.http_status


class OwnCalls:
    """Calls that the canary has placed; it never touches another."""

    def __init__(self, client: Client, numbers: CanaryNumbers) -> None:
        self.client = client
        self.numbers = numbers
        self._placed: list[str] = []
        self._counted: set[str] = set()
        #: When Twilio created the first.
        self._since: datetime | None = None

    async def place(self, to: str, twiml: str = STAY, **options: Any) -> str:
        """Place a call, and return its SID."""
        call = await send(
            self.client.calls.create_async(
                **{"to": to, "from_": self.numbers.caller, "twiml": twiml, "time_limit": TIME_LIMIT_S} | options
            )
        )
        self._since = self._since or call.date_created
        return self.own(str(call.sid))

    def own(self, call_sid: str) -> str:
        """Remember a call that the canary has made otherwise."""
        self._placed.append(call_sid)
        return call_sid

    async def status(self, call_sid: str) -> str:
        """Return a call's status."""
        return str((await send(self.client.calls(call_sid).fetch_async())).status)

    async def hang_up(self, call_sid: str) -> None:
        """Hang up a call, unless it is over."""
        await attempt(self.client.calls(call_sid).update_async(status="completed"))

    async def hang_up_all(self) -> list[str]:
        """Hang up what is left; return the SIDs that could not be."""
        failed = []
        for call_sid in self._placed:
            try:
                await self.hang_up(call_sid)
            except ProviderError:
                failed.append(call_sid)
        self._placed = failed
        return failed

    async def count_seconds(self) -> tuple[int, int]:
        """Return how many calls ended since the last count, and their seconds."""
        records = await until(self._all_over, "every call of the canary has ended", 20.0, 0.25)
        new = [one for one in records if one.sid not in self._counted]
        self._counted.update(one.sid for one in new)
        return len(new), sum(int(one.duration or 0) for one in new)

    async def _all_over(self) -> list[Any]:
        """Return the calls to the canary's numbers, if none is live."""
        records: list[Any] = []
        for number in (self.numbers.called, self.numbers.answering):
            records += await send(self.client.calls.list_async(to=number, limit=_CALLS_MAX))
        records = [one for one in records if self._since and one.date_created and one.date_created >= self._since]
        return records if all(one.status in FINAL_CALL_STATUSES for one in records) else []
