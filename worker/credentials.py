"""Standby while Twilio refuses this worker's credentials, but not others'."""

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

#: Between checks of what Twilio last answered this worker, seconds.
CHECK_EVERY_S = 1.0
#: How long a start waits for the first answer, seconds: without Twilio, a worker takes its partitions anyway.
FIRST_ANSWER_S = 2.0


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
    """Sets this worker on standby while Twilio refuses it, but not another."""

    def __init__(
        self, core: WorkerCore, probe_credentials: Callable[[], Awaitable[None]], ownership: Ownership
    ) -> None:
        self._core = core
        self._probe_credentials = probe_credentials
        self._ownership = ownership

    def observe(self, answer: RequestResult) -> None:
        """Note what Twilio's answer says; others change nothing."""
        if (is_accepted := accepts_credentials(answer)) is not None:
            self._core.is_accepted = is_accepted

    async def check_before_start(self) -> None:
        """Check once, before this worker takes partitions; do not wait for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER_S):
                await self._probe()
                self._update_standby()

    async def run(self, stop: asyncio.Event) -> None:
        """Probe while the credentials are refused; keep the standby up to date.

        Any request's answer may end the refusal, and the other worker may leave: so the standby follows from what is
        known now, not from a probe.
        """
        while not stop.is_set():
            if self._core.is_accepted is False:
                await self._probe()
            self._update_standby()
            await wait_at_most(stop, CREDENTIALS_PAUSE_S if self._core.is_on_standby else CHECK_EVERY_S)

    async def _probe(self) -> None:
        """Request once; `observe` gets the answer."""
        with contain(ItemKind.TASK, self._core.metrics, task="credentials"), suppress(ProviderError):
            await self._probe_credentials()

    def _update_standby(self) -> None:
        """Begin or end the standby."""
        is_on = self._core.is_accepted is False and self._ownership.is_other_accepted
        if is_on != self._core.is_on_standby:
            self._core.is_on_standby = is_on
            self._core.metrics.worker_standby.set(is_on)
            if is_on:
                log.error("standby_begun", holder=self._core.name)
            else:
                log.info("standby_ended", holder=self._core.name)
