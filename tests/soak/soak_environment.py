"""A whole service under load, with what watches it: what every test of this folder is played on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from operator import ne
from random import Random

from conferral.runtime.errors import StoreError
from conferral.storage.connection.client import Client, make_client, run_or_raise
from conferral.storage.connection.primary import primary_of
from conferral.storage.keys import Keys
from offhook import PhoneScript, Sandbox
from offhook.faults import Faults
from tests.soak.invariants import LeaseWatch, broken_laws, until
from tests.soak.services import Services
from tests.soak.traffic import Traffic, talking
from tests.support.local_system import AGENT, NUMBER
from tests.support.stalls import Stalls

#: `CONFERRAL_SWEEP_INTERVAL` of these runs, seconds.
SWEEP_S = 10
#: How long processes may take to start on a busy machine, seconds.
START_S = 60.0
#: How Twilio is configured to retry a number's URL that did not answer; see docs/going-live.md.
OVERRIDES = "#rc=2&rp=5xx,ct,rt&ct=1000&rt=4000"


@dataclass(slots=True)
class SoakEnvironment:
    """Everything between the customers' phones and Redis."""

    sandbox: Sandbox
    services: Services
    client: Client
    keys: Keys
    leases: LeaseWatch
    chance: Random
    stalls: Stalls = field(default_factory=Stalls)

    def traffic(self, *, per_second: float, lasts_s: float) -> Traffic:
        return Traffic(
            self.sandbox, self.client, self.keys, self.chance, per_second=per_second, lasts_s=lasts_s
        )  # fmt: skip

    async def all_held(self) -> None:
        """Waits until every partition has an owner that is up."""
        await until(self._is_all_held, START_S, "every partition is held by a worker that runs")

    async def is_fair(self) -> None:
        """Waits until all workers hold everything in shares that differ by one at most."""

        def holds() -> bool:
            up = {worker.pid for worker in self.services.workers if worker.is_up}
            shares = self.leases.shares()
            is_even = bool(shares) and max(shares.values()) - min(shares.values()) <= 1
            return shares.keys() == up and sum(shares.values()) == self.keys.partitions and is_even

        await until(holds, START_S, "shares are fair")

    async def all_go_on(self, timeout_s: float) -> None:
        """Waits until every partition has committed something from now on; while Redis is away, none does."""
        began_s = time.monotonic()
        before = now = await self._commits()
        while not (before and now and all(map(ne, before, now))):
            assert time.monotonic() < began_s + timeout_s, f"{before} commits have become {now}"
            await asyncio.sleep(0.05)
            now = await self._commits()
            before = before or now

    async def _commits(self) -> list[bytes | None]:
        """How often each partition was committed to; empty while Redis is away."""
        with suppress(StoreError):
            requests = [("HGET", self.keys.lease(number), "commit") for number in range(self.keys.partitions)]
            return await run_or_raise(self.client, *requests)
        return []

    def refused(self) -> list[str]:
        """What webhooks answered with an error."""
        attempts = ((entry, attempt) for entry in self.sandbox.request_log.deliveries for attempt in entry.attempts)
        return [f"{entry.url}: {attempt.status}" for entry, attempt in attempts if attempt.status >= 500]

    async def filled(self, at_once: int, timeout_s: float) -> None:
        """Waits until nearly so many callers are on the line."""
        began_s = time.monotonic()
        while talking(self.sandbox) < at_once * 0.9 and time.monotonic() < began_s + timeout_s:
            await asyncio.sleep(0.25)

    async def all_hang_up(self, traffic: Traffic) -> None:
        """No one calls any more; waits until all have hung up, and nothing goes wrong from then on."""
        traffic.is_over = True
        await traffic.drained()
        self.sandbox.faults.clear()

    def _is_all_held(self) -> bool:
        up = {worker.pid for worker in self.services.workers if worker.is_up}
        shares = self.leases.shares()
        return sum(shares.values()) == self.keys.partitions and shares.keys() <= up

    async def ends(self, *, settle_s: float, alone_s: float) -> None:
        """Judges the run; fails when a law is broken."""
        broken = await broken_laws(
            self.sandbox, self.client, self.keys, self.services, self.stalls, settle_s=settle_s, alone_s=alone_s
        )  # fmt: skip
        assert not broken, "\n".join(broken[:40])


@asynccontextmanager
async def soak_environment(
    redis_url: str,
    chance: Random,
    *,
    workers: int = 3,
    webhooks: int = 2,
    partitions: int = 16,
    prefix: str = "conferral",
    **settings: str,
) -> AsyncIterator[SoakEnvironment]:
    """Starts everything and waits until every partition is held; ends everything, whatever happens."""
    faults = Faults(seed=chance.randrange(2**31))
    async with Sandbox(faults=faults, default_script=PhoneScript(answer_after_s=0.3)) as sandbox:
        environ = {
            "TWILIO_ACCOUNT_SID": sandbox.account_sid, "TWILIO_AUTH_TOKEN": sandbox.auth_token,
            "TWILIO_API_URL": sandbox.url, "TWILIO_NUMBER": NUMBER, "CONFERRAL_AGENT": AGENT, "REDIS_URL": redis_url,
            "CONFERRAL_PREFIX": prefix, "CONFERRAL_PARTITIONS": str(partitions), "CONFERRAL_RING_TIMEOUT": "5",
            "CONFERRAL_SWEEP_INTERVAL": str(SWEEP_S), **settings,
        }  # fmt: skip
        with Services(environ) as services:
            services.add_settings(CONFERRAL_PUBLIC_URL=services.public_url)
            base = services.public_url
            sandbox.add_number(
                NUMBER, voice_url=f"{base}/voice/inbound{OVERRIDES}",
                voice_fallback_url=f"{base}/voice/fallback{OVERRIDES}",
                status_callback=f"{base}/voice/status{OVERRIDES}",
            )  # fmt: skip
            primary = primary_of(redis_url, prefix)
            client, keys = make_client(redis_url, primary, max_connections=512), Keys(prefix, partitions)
            made = SoakEnvironment(sandbox, services, client, keys, LeaseWatch(client, keys), chance)
            services.start_webhooks(webhooks)
            services.start_workers(workers)
            watching = (services.supervise(), made.leases.watch(), made.stalls.watch())
            beside = [asyncio.create_task(one) for one in watching]
            try:
                await until(services.is_answering, START_S, "the webhooks answer")
                await made.all_held()
                yield made
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
                await client.aclose()


def gets_worse(faults: Faults) -> None:
    """The faults of a bad day: everything that may go wrong between Twilio and us does, now and then."""
    faults.callback_loss = 0.02
    faults.callback_duplication = 0.05
    faults.callback_reordering = 0.05
    faults.callback_delay_s = (0.0, 0.5)
    faults.fetch_delay_s = (0.05, 0.3)
    faults.latency_s = (0.02, 0.2)
    faults.rate_429 = 0.01
    faults.rate_500_before = faults.rate_500_after = 0.005
    faults.cut_before = faults.cut_after = 0.005
