"""The offerer: one worker at a time offers callers in queues to desks.

It keeps nothing that a successor needs: sessions say who waits, for how long, and whom they were offered to, and claims
say which offers are open. An offer that is sent again changes nothing: its claim has its id and its deadline.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping

import structlog

from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import log_unreachable
from conferral.statemachine.events import DesksLeft, Offer
from conferral.statemachine.guards import awaits_offer
from conferral.statemachine.reasons import Reason
from conferral.statemachine.session import Session
from conferral.statemachine.states import Phase
from conferral.storage.dial_limits import DialLimits
from conferral.storage.offers import DEADLINE_MS, Claim, Desks, Offers
from conferral.storage.partition.partition_store import append_events
from conferral.worker.core import WorkerCore
from conferral.worker.dial_limits import report_dial_limit
from conferral.worker.queue.matching import Verdict, judge, next_offers

log = structlog.get_logger()

#: Between two polls of who waits and who is free, seconds.
POLL_S = 0.25
#: After how long without a desk the callers of a phone number wait no longer, seconds.
ABSENT_S = 60.0
#: The longest time between two polls that counts, seconds: this process may have been stopped.
_STEP_MAX_S = 2.0


class Offerer:
    """Offers callers while this worker owns the task."""

    def __init__(self, core: WorkerCore, limits: DialLimits, owns_queue: Callable[[], bool]) -> None:
        self._core = core
        self._limits = limits
        self._owns_queue = owns_queue
        self._offers = Offers(core.client, core.keys, core.commit_store)
        #: The agents whose offers are open, each with the session: it may have ended.
        self._open: dict[str, str] = {}
        #: By the agents whom a phone number rings: for how long none of them had a desk, seconds.
        self._absent_s: dict[tuple[str, ...], float] = {}
        #: When it last polled, monotonic seconds; before, infinite.
        self._polled_s = math.inf

    async def run(self, stop: asyncio.Event) -> None:
        """Offer callers whenever this worker owns the task, until the stop."""
        while not stop.is_set():
            if not self._owns_queue():
                self._open, self._absent_s, self._polled_s = {}, {}, math.inf
                self._set_gauges({})
            else:
                try:
                    await self.poll()
                except StoreError as error:
                    log_unreachable(error, task="queue")
            await wait_at_most(stop, POLL_S)

    async def poll(self) -> None:
        """Read who waits and who is free; end and send offers."""
        if math.isinf(self._polled_s):  # a former owner's offers, too, are followed up, though no one may wait now
            self._open = await self._offers.open()
        now_s = self._core.clock.monotonic_s()
        passed_s, self._polled_s = max(0.0, min(now_s - self._polled_s, _STEP_MAX_S)), now_s
        found = await self._offers.waiting(self._open.values())
        queued = {name: one for name, one in found.items() if one.is_live and one.queued_since_ms}
        self._set_gauges(queued)
        agents = dict.fromkeys([*(agent for one in queued.values() for agent in one.agents), *self._open])
        if not agents:
            self._absent_s = {}
            return
        desks = await self._offers.desks(agents)
        undecided = await self._settle(found, desks)
        await self._offer(queued, desks, undecided)
        await self._send_on(queued, desks, passed_s)

    async def _settle(self, sessions: Mapping[str, Session], desks: Desks) -> int:
        """Follow up open offers; return how many are undecided.

        Unknown sessions are read with the next poll.
        """
        undecided = 0
        claims = {address: desk.claim for address, desk in desks.by_address.items() if desk.claim is not None}
        self._open = {address: claim.session_id for address, claim in claims.items()}
        for address, claim in claims.items():
            if (session := sessions.get(claim.session_id)) is None:
                continue
            may_be_loading = desks.by_address[address].may_be_loading
            stored = session if session.version else None
            verdict = judge(stored, address, claim, self._now_ms(desks), may_be_loading=may_be_loading)
            if verdict in (Verdict.WAIT, Verdict.REPEAT) and await self._offers.was_refused(address, claim):
                verdict = Verdict.END
            undecided += verdict in (Verdict.WAIT, Verdict.REPEAT)
            await self._follow(address, claim, verdict)
        return undecided

    async def _follow(self, address: str, claim: Claim, verdict: Verdict) -> None:
        if verdict is Verdict.KEEP:
            await self._offers.keep(address)
        elif verdict is Verdict.REPEAT:
            await self._send(address, claim)
        elif verdict is not Verdict.WAIT:
            is_away = verdict is Verdict.END_AND_AWAY
            if await self._offers.end(address, claim, Reason.NO_ANSWER if is_away else "") and is_away:
                self._core.metrics.queue.offers.labels("away").inc()
                log.info("agent_away_after_offer", session_id=claim.session_id)

    async def _offer(self, queued: Mapping[str, Session], desks: Desks, undecided: int) -> None:
        """Offer each caller who waits to a desk that is free, if there is one.

        Offers that are `undecided` are not counted as dials yet.
        """
        now_ms = self._core.store_clock.now_ms()
        for session, address, attempt_number in next_offers(queued.values(), desks.by_address, now_ms):
            if limit := await self._limits.exceeded(self._core.client, session.id, undecided + 1, is_offer=True):
                report_dial_limit(self._core.metrics, limit, session_id=session.id)
                return
            claim = Claim(session.id, attempt_number, self._now_ms(desks) + DEADLINE_MS)
            if self._owns_queue() and await self._offers.claim(address, claim):
                self._open[address], undecided = session.id, undecided + 1
                await self._send(address, claim)
                self._core.metrics.queue.offers.labels("sent").inc()
                log.info("caller_offered", session_id=session.id, attempt=attempt_number)

    def _now_ms(self, desks: Desks) -> int:
        """Return the present time, by which offers expire, Unix ms.

        It is the later of Redis's clock and the workers', which may differ: a machine was suspended, or Redis's clock
        was set.
        """
        return max(self._core.store_clock.now_ms(), desks.now_ms)

    async def _send(self, address: str, claim: Claim) -> None:
        offer = Offer(
            session_id=claim.session_id,
            token=claim.offer_id(address),
            to=address,
            number=claim.number,
            deadline_ms=claim.deadline_ms,
        )
        await append_events(self._core.client, self._core.keys, [offer], is_durable=True)

    # ---- no one to wait for

    async def _send_on(self, queued: Mapping[str, Session], desks: Desks, passed_s: float) -> None:
        """Let callers go on to their next place who have no desk to wait for."""
        waiting = [one for one in queued.values() if one.phase is Phase.QUEUED]
        waited_for = dict.fromkeys(one.agents for one in waiting)
        lonely = [agents for agents in waited_for if not _is_anyone_there(agents, desks)]
        self._absent_s = {agents: self._absent_s.get(agents, 0.0) + passed_s for agents in lonely}
        gone = {agents for agents, absent_s in self._absent_s.items() if absent_s >= ABSENT_S}
        now_ms = self._core.store_clock.now_ms()
        left = [one for one in waiting if one.agents in gone and awaits_offer(one, now_ms)]
        if left and self._owns_queue():
            log.warning("queue_without_desks", sessions=len(left))
            # The same while the session is the same.
            events = [DesksLeft(session_id=one.id, token=f"{DesksLeft.name}:{one.version}") for one in left]
            await append_events(self._core.client, self._core.keys, events)

    # ---- what it shows

    def _set_gauges(self, queued: Mapping[str, Session]) -> None:
        """Show how many wait, and for how long the first of them has."""
        shown, now_ms = self._core.metrics.queue, self._core.store_clock.now_ms()
        first_ms = min((one.queued_since_ms for one in queued.values()), default=now_ms)
        shown.callers.set(len(queued))
        shown.longest_wait.set(max(0, now_ms - first_ms) / 1000)


def _is_anyone_there(agents: Collection[str], desks: Desks) -> bool:
    return any(desks.by_address[agent].is_there for agent in agents if agent in desks.by_address)
