"""A whole service under load, with what watches it: what every test of this folder is played on."""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from conferral.sandbox import PhoneScript, Sandbox
from conferral.sandbox.faults import Faults
from conferral.storage.connection.client import Client, make_client
from conferral.storage.keys import Keys
from tests.soak.invariants import LeaseWatch, Verdict, described, judge, until
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

#: Where figures are also reported, so that the end of a run shows those of passed tests, too.
tellers: list[Callable[[str], None]] = []


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
    began_s: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """A figure, printed at once and kept."""
        sys.stderr.write(f"  {line}\n")
        for report_line in tellers:
            report_line(f"{len(self.lines):02}. {line}")
        self.lines.append(line)

    def traffic(self, *, per_second: float, lasts_s: float) -> Traffic:
        return Traffic(
            self.sandbox, self.client, self.keys, self.chance, per_second=per_second, lasts_s=lasts_s
        )  # fmt: skip

    async def all_held(self, timeout_s: float = START_S) -> float:
        """Waits until every partition has a holder that is up; returns how long it took, seconds."""
        return await until(self._is_all_held, timeout_s, "every partition is held by a worker that runs")

    async def is_fair(self, timeout_s: float = START_S) -> float:
        """Waits until all workers hold everything in shares that differ by one at most; returns how long it took."""

        def holds() -> bool:
            up = {worker.pid for worker in self.services.workers if worker.is_up}
            shares = self.leases.shares()
            is_even = bool(shares) and max(shares.values()) - min(shares.values()) <= 1
            return shares.keys() == up and sum(shares.values()) == self.keys.partitions and is_even

        return await until(holds, timeout_s, "shares are fair")

    async def filled(self, traffic: Traffic, at_once: int, timeout_s: float) -> None:
        """Waits until nearly so many callers are on the line."""
        began_s = time.monotonic()
        while talking(self.sandbox) < at_once * 0.9 and time.monotonic() < began_s + timeout_s:
            await asyncio.sleep(0.25)
        self.say(f"{talking(self.sandbox)} callers on the line after {time.monotonic() - began_s:.0f} s")

    async def all_hang_up(self, traffic: Traffic) -> None:
        """No one calls any more; waits until all have hung up, and nothing goes wrong from then on."""
        traffic.is_over = True
        await traffic.drained()
        self.sandbox.faults.clear()

    def gaps_since(self, at_s: float) -> list[float]:
        """How long partitions had no holder that changed hands since a moment of `time.monotonic()`, seconds."""
        changes = (change for change in self.leases.changes if change.at_s >= at_s)
        return [change.gap_s for change in changes if change.gap_s is not None]

    def _is_all_held(self) -> bool:
        up = {worker.pid for worker in self.services.workers if worker.is_up}
        shares = self.leases.shares()
        return sum(shares.values()) == self.keys.partitions and shares.keys() <= up

    async def ends(self, traffic: Traffic, *, settle_s: float, alone_s: float) -> Verdict:
        """Judges the run and prints its figures; fails when a law is broken."""
        verdict = await judge(
            self.sandbox, self.client, self.keys, self.services, self.stalls, settle_s=settle_s, alone_s=alone_s
        )  # fmt: skip
        self.say_figures(traffic, verdict)
        assert not verdict.broken, "\n".join(verdict.broken[:40])
        return verdict

    def say_figures(self, traffic: Traffic, verdict: Verdict) -> None:
        figures, ledger = traffic.figures, self.sandbox.request_log
        self.say(f"calls {figures.calls}, most at once {figures.most_at_once}, legs {verdict.calls}, "
                 f"sessions {verdict.sessions}, never talked {len(figures.never_talked)}")  # fmt: skip
        self.say(f"flows {dict(figures.flows)}")
        self.say(f"commands {figures.statuses()}")
        self.say(f"seconds from a command to its outcome: {described([one.took_s for one in figures.outcomes])}")
        self.say(f"REST {len(ledger.rest)}, faults {dict(Counter(one.fault for one in ledger.rest if one.fault))}")
        callbacks = Counter(one.fault for one in ledger.deliveries if one.fault)
        self.say(f"deliveries {len(ledger.deliveries)}, faults {dict(callbacks)}")
        failed = Counter(attempt.failure for one in ledger.deliveries for attempt in one.attempts if attempt.failure)
        unanswered = Counter(one.kind for one in ledger.deliveries if one.attempts and one.attempts[-1].failure)
        self.say(f"tries that failed {dict(failed)}, deliveries given up {dict(unanswered)}")
        voice = [one.duration_ms / 1000 for one in ledger.deliveries if one.kind == "voice" and one.attempts]
        self.say(f"seconds to TwiML, repetitions included: {described(voice)}")
        self.say(f"seconds on the line alone: {described([seconds for seconds, _ in verdict.alone])}")
        rest = [one.duration_ms / 1000 for one in ledger.rest]
        now_s = time.monotonic()
        self.say(f"seconds a REST request took at the sandbox, faults included: {described(rest)}; it stood still for "
                 f"{self.stalls.lost_s(self.began_s, now_s):.1f} of {now_s - self.began_s:.1f} s")  # fmt: skip
        used = {name: round(seconds, 1) for name, seconds in self.services.cpu_s.items()}
        self.say(f"CPU seconds {used}, sandbox and people {time.process_time():.1f}; load {os.getloadavg()}")
        self.say(f"seconds until nothing was left: {verdict.settled_s:.1f}; broken laws {len(verdict.broken)}")


@asynccontextmanager
async def soak_environment(
    redis_url: str, chance: Random, *, workers: int = 3, webhooks: int = 2, partitions: int = 16, **settings: str
) -> AsyncIterator[SoakEnvironment]:
    """Starts everything and waits until every partition is held; ends everything, whatever happens."""
    faults = Faults(seed=chance.randrange(2**31))
    async with Sandbox(faults=faults, default_script=PhoneScript(answer_after_s=0.3)) as sandbox:
        environ = {
            "TWILIO_ACCOUNT_SID": sandbox.account_sid, "TWILIO_AUTH_TOKEN": sandbox.auth_token,
            "TWILIO_API_URL": sandbox.url, "TWILIO_NUMBER": NUMBER, "CONFERRAL_AGENT": AGENT, "REDIS_URL": redis_url,
            "CONFERRAL_PARTITIONS": str(partitions), "CONFERRAL_SWEEP_INTERVAL": str(SWEEP_S),
            "CONFERRAL_RING_TIMEOUT": "5", **settings,
        }  # fmt: skip
        with Services(environ) as services:
            services.add_settings(CONFERRAL_PUBLIC_URL=services.public_url)
            base = services.public_url
            sandbox.add_number(
                NUMBER, voice_url=f"{base}/voice/inbound{OVERRIDES}",
                voice_fallback_url=f"{base}/voice/fallback{OVERRIDES}",
                status_callback=f"{base}/voice/status{OVERRIDES}",
            )  # fmt: skip
            client, keys = make_client(redis_url, max_connections=512), Keys("conferral", partitions)
            made = SoakEnvironment(sandbox, services, client, keys, LeaseWatch(client, keys), chance)
            services.start_webhooks(webhooks)
            services.start_workers(workers)
            watching = (services.supervise(), services.measure(), made.leases.watch(), made.stalls.watch())
            beside = [asyncio.create_task(one) for one in watching]
            try:
                began_s = time.monotonic()
                await until(services.is_answering, START_S, "the webhooks answer")
                await made.all_held()
                made.say(f"started in {time.monotonic() - began_s:.1f} s, shares {made.leases.shares()}")
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
