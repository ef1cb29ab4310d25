"""A worker that Twilio refuses owns nothing until it is accepted."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from twilio.rest import Client

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ProviderError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.settings import ServiceSettings
from conferral.telephony.http_client import RequestResult, has_succeeded
from conferral.telephony.request_context import label_requests
from conferral.telephony.twilio_requests import send
from conferral.worker.core import WorkerCore
from conferral.worker.executor.request_limiter import refuses_credentials

#: How long a start waits for the first answer, seconds: without Twilio, a worker takes its partitions anyway.
FIRST_ANSWER_S = 2.0
#: Between a refusal and its probe at most, and between two probes while it counts, seconds.
PROBE_EVERY_S = 10.0


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
    """Sets `WorkerCore.is_refused`, by Twilio's answers.

    A refusal counts once a probe is refused, too: a key may only lack one right. Any acceptance ends it.
    """

    def __init__(self, core: WorkerCore, probe_credentials: Callable[[], Awaitable[None]]) -> None:
        self._core = core
        self._probe_credentials = probe_credentials
        #: Whether a request was refused, and none accepted since.
        self._must_probe = False

    def note_answer(self, answer: RequestResult) -> None:
        """Note whether Twilio accepts the credentials, if its answer says so."""
        accepts = accepts_credentials(answer)
        if accepts is not None:
            self._must_probe = not accepts
        if accepts:
            self._core.is_refused = False

    async def probe_at_start(self) -> None:
        """Probe once; no answer in time counts as accepted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER_S):
                await self._probe()

    async def run(self, stop: asyncio.Event) -> None:
        """Probe after refusals, until an acceptance, or the stop."""
        while not stop.is_set():
            await wait_at_most(stop, PROBE_EVERY_S)
            if self._must_probe:
                await self._probe()

    async def _probe(self) -> None:
        """Request once; `note_answer` gets the answer, too."""
        with contain(ItemKind.TASK, self._core.metrics, task="credentials"):
            try:
                await self._probe_credentials()
            except ProviderError as error:
                if refuses_credentials(RequestResult(error.http_status, error.code)):
                    self._core.is_refused = True
