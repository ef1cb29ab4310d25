"""A worker whose credentials Twilio refuses leaves the work to others."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from twilio.rest import Client

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ProviderError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.settings import ServiceSettings
from conferral.telephony.http_client import RequestResult, has_succeeded
from conferral.telephony.request_context import label_requests
from conferral.telephony.twilio_requests import send
from conferral.worker.core import WorkerCore
from conferral.worker.executor.request_limiter import CREDENTIALS_PAUSE_S, refuses_credentials
from conferral.worker.ownership import Ownership

log = structlog.get_logger()

#: How long a start waits for the first answer, seconds: without Twilio, a worker takes its partitions anyway.
FIRST_ANSWER_S = 2.0
#: How long a worker is refused, and another is accepted, before it stops, seconds.
GIVE_UP_AFTER_S = 30.0


def accepts_credentials(answer: RequestResult) -> bool | None:
    """Whether an answer accepts the credentials; None if it does not say."""
    if refuses_credentials(answer):
        return False
    # Anything else from Twilio itself was authenticated first.
    is_answered = has_succeeded(answer.status) or (answer.status // 100 == 4 and answer.code)
    return True if is_answered else None


async def probe_credentials(client: Client, settings: ServiceSettings) -> None:
    """Request what any valid credentials may read; may raise `ProviderError`."""
    with label_requests("account"):
        # A standard API key may not read the account, but its calls. Source: Twilio docs, API keys.
        if settings.api_key:
            await send(client.calls.page_async(page_size=1))
        else:
            await send(client.api.v2010.accounts(settings.account_sid).fetch_async())


class CredentialsWatch:
    """Keeps a refused worker from owning anything, if that helps.

    Others see in its tick whether it is accepted (`conferral.storage.coordinator.Tick`).
    """

    def __init__(
        self, core: WorkerCore, probe_credentials: Callable[[], Awaitable[None]], ownership: Ownership
    ) -> None:
        self._core = core
        self._probe_credentials = probe_credentials
        self._ownership = ownership
        #: When the first and the last of the newest refusals arrived, monotonic seconds; None since an acceptance.
        self._refused_s: tuple[float, float] | None = None
        #: Whether this worker has stopped because another one is accepted.
        self.has_given_up = False

    def note_answer(self, answer: RequestResult) -> None:
        """Note whether Twilio accepts the credentials, if its answer says so."""
        if (twilio_accepts := accepts_credentials(answer)) is None:
            return
        now_s = self._core.clock.monotonic_s()
        self._core.twilio_accepts = twilio_accepts
        self._refused_s = None if twilio_accepts else ((self._refused_s or (now_s,))[0], now_s)

    async def ask_twilio(self) -> bool:
        """Ask Twilio; return whether this worker may own anything.

        No answer in time counts as accepted, unless an earlier one refuses.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER_S):
                await self._probe()
        return self._core.twilio_accepts is not False

    async def run(self, stop: asyncio.Event) -> None:
        """Probe while any worker is refused; stop this one if only it is.

        All do, so that a tick says what Twilio answers now: the token may have been revoked for all.
        """
        while not stop.is_set():
            asked_at_s = self._core.clock.monotonic_s()
            if self._core.twilio_accepts is not True or self._ownership.is_other_refused:
                await self._probe()
            if self._is_refused_for_long(asked_at_s) and self._ownership.is_other_accepted:
                self.has_given_up = True
                log.error("worker_refused", holder=self._core.name)
                stop.set()
            await wait_at_most(stop, CREDENTIALS_PAUSE_S)

    def _is_refused_for_long(self, asked_at_s: float) -> bool:
        """Whether refusals began long ago, and the newest came since this time."""
        if self._refused_s is None:
            return False
        first_s, last_s = self._refused_s
        return last_s - first_s >= GIVE_UP_AFTER_S and last_s >= asked_at_s

    async def _probe(self) -> None:
        """Request once; `observe` gets the answer."""
        with contain(ItemKind.TASK, self._core.metrics, task="credentials"), suppress(ProviderError):
            await self._probe_credentials()
