"""Run the canary: one at a time, and its calls end with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict

import structlog
from twilio.rest import Client as TwilioClient

from conferral.canary.calls import OwnCalls
from conferral.canary.findings import FAIL, FlowResult, worst
from conferral.canary.flows import Flows
from conferral.canary.numbers import CanaryNumbers, find_problems
from conferral.cli.redis_connection import open_redis
from conferral.client.client import Client
from conferral.operations.errors import CommandNotDoneError
from conferral.runtime.errors import ProviderError, StoreError
from conferral.runtime.lifecycle import process_name
from conferral.runtime.settings import ServiceSettings
from conferral.storage.checks import CANARY, RENEW_EVERY_S, CanaryLock, store_check
from conferral.storage.queries.session_reader import SessionReader
from conferral.telephony.request_context import label_requests
from conferral.telephony.twilio_requests import opened_client

log = structlog.get_logger()


@asynccontextmanager
async def _opened(settings: ServiceSettings) -> AsyncIterator[tuple[SessionReader, TwilioClient]]:
    """Open Redis and Twilio; errors of either become CommandNotDoneError."""
    try:
        async with opened_client(settings) as twilio, open_redis(settings) as reader:
            with label_requests("canary"):
                yield reader, twilio
    except ProviderError as error:
        answer = f"HTTP {error.http_status}, code {error.code}" if error.http_status else "no answer"
        raise CommandNotDoneError(f"Twilio's REST API failed ({answer}); the canary has stopped") from None


async def check_numbers(settings: ServiceSettings, numbers: CanaryNumbers) -> list[str]:
    """Return what keeps the canary from calling; empty if nothing does."""
    async with _opened(settings) as (reader, twilio):
        return await find_problems(settings, twilio, reader, numbers)


async def run_canary(
    settings: ServiceSettings, numbers: CanaryNumbers, flows: Sequence[str], on_result: Callable[[FlowResult], None]
) -> list[FlowResult]:
    """Run flows in order, and store what they found.

    Call `on_result` with each flow's result.
    """
    results: list[FlowResult] = []
    async with _opened(settings) as (reader, twilio), Client(settings.redis_url, settings.prefix) as client:
        lock = CanaryLock(reader.client, reader.keys, process_name())
        if not await lock.acquire():
            raise CommandNotDoneError("another canary is running; wait until it has stopped, or a minute if it died")
        renewing = asyncio.create_task(_keep(lock))
        calls = OwnCalls(twilio, numbers)
        running = Flows(settings, calls, client, reader)
        log.info("canary_started", names=list(flows))
        is_complete = False
        try:
            for flow in flows:
                results.append(await running.run(flow))
                on_result(results[-1])
            is_complete = True
        finally:
            renewing.cancel()
            await _finish(reader, lock, calls, results, is_complete=is_complete)
    return results


async def _finish(
    reader: SessionReader, lock: CanaryLock, calls: OwnCalls, results: Sequence[FlowResult], *, is_complete: bool
) -> None:
    """Hang up what is left, and store the result, even if Redis is away."""
    if left := await calls.hang_up_all():
        log.error("canary_calls_left", call_sids=", ".join(left))
    findings = [asdict(finding) for result in results for finding in result.findings]
    status = worst([finding for result in results for finding in result.findings]) if is_complete else FAIL
    if not is_complete:
        findings.append({"flow": "", "name": "run", "status": FAIL, "found": "interrupted", "reading": ""})
    log.info("canary_finished", outcome=status)
    with suppress(StoreError):  # it is reported as the reason for which the canary stopped
        await store_check(reader.client, reader.keys, CANARY, await reader.now_ms(), status, findings)
        await lock.release()


async def _keep(lock: CanaryLock) -> None:
    while True:
        await asyncio.sleep(RENEW_EVERY_S)
        with suppress(StoreError):
            await lock.renew()
