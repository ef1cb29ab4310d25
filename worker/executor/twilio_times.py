"""A job's times on Twilio's clock, for searches of Twilio's lists."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from conferral.worker.executor.job import Job


@dataclass(frozen=True, slots=True)
class TwilioTimes:
    """Turns a job's times into Twilio's: those equally long ago."""

    job: Job
    #: A partition's time, Unix milliseconds.
    partition_now_ms: Callable[[int], int]
    #: Twilio's time, Unix milliseconds; raises a `ProviderError` if it is not known.
    now_ms: Callable[[], Awaitable[int]]

    async def of(self, partition_ms: int) -> int:
        """Return Twilio's time of a moment in partition time, Unix milliseconds."""
        return await self.now_ms() - (self.partition_now_ms(self.job.partition) - partition_ms)

    async def sent_between_ms(self, sent_at_ms: int | None) -> tuple[int, int]:
        """Return when the dial may have been sent, Unix milliseconds.

        `sent_at_ms` is Twilio's time in its mark; None without one: before a rollback, or by an earlier release.
        """
        job = self.job
        since_ms = await self.of(job.first_sent_at_ms) if sent_at_ms is None else sent_at_ms
        until_ms = self.partition_now_ms(job.partition) if job.search_until_ms is None else job.search_until_ms
        return since_ms, await self.of(until_ms)
