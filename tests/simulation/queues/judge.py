"""What a queue promises, judged by what phones ring, and by what is stored of callers."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from conferral.statemachine.session import CUSTOMER, Session
from conferral.storage.agents import identity_of
from conferral.storage.codecs import session_codec
from conferral.storage.keys import Keys
from conferral.storage.offers import Claim
from offhook.model.state import Call
from tests.simulation.plan import Plan
from tests.simulation.queues.team import AgentAtDesk, Team
from tests.simulation.run_result import Run
from tests.simulation.virtual_twilio import VirtualTwilio

#: How often all is compared, seconds.
EVERY_S = 0.25
#: How long a caller must have waited, and an agent must have been free, before an offer is missed: seconds. A worker
#: dies, and another begins; an answer is lost, and read later. Without faults, and with them.
OFFERED_WITHIN_S, OFFERED_WITHIN_FAULTS_S = 4.0, 30.0
#: After a try, how long the caller is not offered to that agent: one who rejected, and any other; seconds.
REJECTED_S, PAUSE_S = 60.0, 5.0
#: How old what an offerer has read may be, seconds: it may have stood still. Without faults, and with them.
READ_WITHIN_S, READ_WITHIN_FAULTS_S = 2.0, 25.0
#: How long after its limit a caller may wait: the last offer rings, and is noticed late.
LIMIT_SLACK_S = 60.0
#: For how long an agent whose call is over may count as in that call, seconds: until a read shows the end.
KEPT_BUSY_MAX_S = 120.0
#: After how long without a desk a caller goes on, and how much later at most: a silent desk counts as there, seconds.
ABSENT_S, ABSENT_SLACK_S = 60.0, 330.0
#: What a wait may lose when the caller comes back to the queue: it is kept in whole
#: seconds, and each commit takes its time.
ROUNDING_S = 3.0


@dataclass(slots=True)
class Caller:
    """A caller who waits, or has waited."""

    session: Session
    #: Since when no agent is being rung, and no offer is open; None if one is, or the caller waits no longer, seconds.
    idle_since_s: float | None = None
    #: Since when the caller waits, and how long before, seconds.
    entered_s: float | None = None
    waited_s: float = 0.0
    was_blamed: bool = False

    @property
    def is_queued(self) -> bool:
        """Whether the caller waits now."""
        return self.entered_s is not None

    def waits_for(self, now_s: float) -> float:
        """Return how long the caller has waited in all, seconds."""
        return self.waited_s + (0.0 if self.entered_s is None else now_s - self.entered_s)


class QueueJudge:
    """Watches the callers of one world."""

    def __init__(
        self,
        twilio: VirtualTwilio,
        values: Callable[[], dict[bytes, Any]],
        keys: Keys,
        team: Team,
        blame: Callable[[str, str], None],
        plan: Plan,
    ) -> None:
        self._twilio, self._values, self._keys, self._team, self._blame = twilio, values, keys, team, blame
        is_faulty = bool(plan.worker_killed_every_s or plan.callback_loss)
        self._offered_within_s = OFFERED_WITHIN_FAULTS_S if is_faulty else OFFERED_WITHIN_S
        self._read_within_s = READ_WITHIN_FAULTS_S if is_faulty else READ_WITHIN_S
        self._limit_s = plan.queue_limit_s
        self.callers: dict[str, Caller] = {}
        #: The offers that are open, by agent; and whom each passes over.
        self._claims: dict[str, Claim] = {}
        self._passed_over: dict[str, str] = {}
        #: By call of an agent's phone: the session, and whether it is an offer.
        self._rung: dict[str, tuple[str, bool]] = {}
        #: When a session was stored first: a call that comes in while Redis is away is unknown for a while, seconds.
        self._known_s: dict[str, float] = {}
        #: Since when an agent without a call counts as in one, seconds.
        self._kept_busy_since_s: dict[str, float] = {}
        self._offers = self._longest_line = 0

    # ---- what is stored ------------------------------------------------------------------------------------------

    def committed(self, session_ids: Iterable[str]) -> None:
        """Sessions were stored."""
        for session_id in session_ids:
            self._known_s.setdefault(session_id, self._twilio.now_s)
            record = self._values().get(self._keys.session(session_id).encode())
            if isinstance(record, dict) and (record[b"phase"] == b"queued" or session_id in self.callers):
                self._note(session_codec.load(session_id, record))

    def _note(self, session: Session) -> None:
        now_s = self._twilio.now_s
        caller = self.callers.setdefault(session.id, Caller(session))
        before, caller.session = caller.session, session
        is_queued = session.phase == "queued" and session.is_live
        if caller.entered_s is None and is_queued:
            caller.entered_s = now_s
        elif caller.entered_s is not None and not is_queued:
            caller.waited_s, caller.entered_s = caller.waits_for(now_s), None
        if is_queued and abs(began_s := session.queued_since_ms / 1000 + caller.waits_for(now_s) - now_s) > ROUNDING_S:
            self._blame(session.id, f"the wait began {began_s:.1f} s later than it did")
            caller.waited_s -= began_s
        is_idle = is_queued and session.parties[CUSTOMER].in_conference and session.agent.is_gone
        caller.idle_since_s = (caller.idle_since_s or now_s) if is_idle else None
        if before.phase == "queued" and session.is_live and session.phase in ("fallback", "voicemail"):
            waited_s = caller.waited_s
            absent_s = now_s - max(self._team.agents[one].there_s for one in session.agents)
            if waited_s < self._limit_s - 2.0 and absent_s < ABSENT_S - ROUNDING_S:
                self._blame(session.id, f"the caller had to leave the queue after {waited_s:.1f} s")

    # ---- what rings ----------------------------------------------------------------------------------------------

    def rings(self, call: Call, agent: AgentAtDesk, session_id: str) -> bool:
        """An agent's phone rings; whether that is an offer."""
        caller = self.callers.get(session_id)
        is_offer = caller is not None and caller.is_queued and call.direction == "outbound-api"
        self._rung[call.sid] = (session_id, is_offer)
        if not is_offer:
            return False
        self._offers += 1
        for other in self._team.calls_of(agent.address):
            theirs, is_offered = self._rung.get(other.sid, ("", False))
            is_other = theirs not in ("", session_id) and self._is_live(theirs)
            # One that is no offer may ring at the same moment, or be unknown: the desk rejects the offer as busy.
            now_s = self._twilio.now_s
            talks_s = now_s - max(other.answered_at_s or now_s, self._known_s.get(theirs, now_s))
            if is_other and (is_offered or talks_s > self._read_within_s):
                what = "rings for" if other.answered_at_s is None else "talks to"
                self._blame(session_id, f"{agent.address} is offered the caller, and {what} {theirs}")
        self._note_claims(self._twilio.now_s)
        if passed := self._passed_over.pop(agent.address, ""):
            self._blame(session_id, f"{agent.address} is offered the caller, although {passed} has waited longer")
        return True

    def _is_live(self, session_id: str) -> bool:
        """Whether the caller is there, and Conferral is not hanging up both."""
        record = self._values().get(self._keys.session(session_id).encode()) or {}
        return record.get(b"state") != b"ended" and session_id in self._twilio.model.state.live_calls

    # ---- all along -----------------------------------------------------------------------------------------------

    async def watch(self, is_away: Callable[[], bool]) -> None:
        """Compare who waits with who is free; Redis may be away."""
        while True:
            await asyncio.sleep(EVERY_S)
            now_s = self._twilio.now_s
            self._note_claims(now_s)
            waiting = [one for one in self.callers.values() if one.is_queued]
            stored = self._values().get(self._keys.agents.encode()) or {}
            self._team.note_free(stored, set(_kept_for_callers(waiting, now_s)), now_s)
            self._longest_line = max(self._longest_line, len(waiting))
            for caller in waiting:
                self._check_limit(caller, now_s)
                if is_away() and caller.idle_since_s is not None:
                    caller.idle_since_s = now_s
            if not is_away():
                self._check_forgotten(waiting, now_s)
                self._check_kept_busy(now_s)

    def _note_claims(self, now_s: float) -> None:
        """Note which offers are open, and whom a new one passes over."""
        before, self._claims, begun = self._claims, {}, dict[str, Caller]()
        for address in self._team.agents:
            claim = Claim.parse(self._values().get(self._keys.offer(identity_of(address)).encode()))
            if claim is None:
                self._passed_over.pop(address, None)
                continue
            self._claims[address] = claim
            caller = self.callers.get(claim.session_id)
            if caller is not None and claim != before.get(address):
                begun[address] = caller
        for caller in begun.values():  # before any is compared: of two that began since, neither passes over the other
            if caller.idle_since_s is not None:
                caller.idle_since_s = now_s
        for address, caller in begun.items():
            self._passed_over[address] = self._who_is_passed_over(caller, address, now_s)

    def _who_is_passed_over(self, offered: Caller, address: str, now_s: float) -> str:
        """Return a caller who waits longer, and could have been offered."""
        for name, caller in self.callers.items():
            waits_longer = caller.waits_for(now_s) > offered.waits_for(now_s) + ROUNDING_S
            if waits_longer and self._could_be_offered(caller, address, now_s, self._read_within_s):
                return name
        return ""

    def _could_be_offered(self, caller: Caller, address: str, now_s: float, within_s: float) -> bool:
        """Whether a caller could be offered to an agent, for so long by now."""
        is_idle = caller.is_queued and caller.idle_since_s is not None and now_s - caller.idle_since_s > within_s
        session = caller.session
        if not is_idle or address not in session.agents or now_s * 1000 >= session.parked_until_ms:
            return False
        if now_s < _pause_ends_s(session, address) + within_s:
            return False
        return session.id in self._twilio.model.state.live_calls

    def _check_forgotten(self, waiting: Iterable[Caller], now_s: float) -> None:
        """Blame an agent who was free, and a caller who waited, for long."""
        within_s = self._offered_within_s
        free = [
            one.address for one in self._team.agents.values()
            if one.free_since_s is not None and now_s - one.free_since_s > within_s
            and not self._values().get(self._keys.agent_sessions(one.identity).encode())
        ]  # fmt: skip
        for caller in waiting if free else ():
            could = next((one for one in free if self._could_be_offered(caller, one, now_s, within_s)), "")
            if could and not caller.was_blamed:
                caller.was_blamed = True
                self._blame(caller.session.id, f"{could} was free for {within_s:.0f} s, and is not offered the caller")

    def _check_limit(self, caller: Caller, now_s: float) -> None:
        waited_s = caller.waits_for(now_s)
        alone_s = min(waited_s, now_s - max(self._team.agents[one].there_s for one in caller.session.agents))
        if alone_s > ABSENT_S + ABSENT_SLACK_S and not caller.was_blamed:
            caller.was_blamed = True
            self._blame(caller.session.id, f"the caller waits for {alone_s:.1f} s for desks that are gone")
        if waited_s > self._limit_s + LIMIT_SLACK_S and not caller.was_blamed:
            caller.was_blamed = True
            self._blame(caller.session.id, f"the caller waits for {waited_s:.1f} s")

    def _check_kept_busy(self, now_s: float) -> None:
        for agent in self._team.agents.values():
            counts_as_busy = self._values().get(self._keys.agent_sessions(agent.identity).encode())
            if not counts_as_busy or any(self._team.calls_of(agent.address)):
                self._kept_busy_since_s.pop(agent.address, None)
            elif now_s - self._kept_busy_since_s.setdefault(agent.address, now_s) > KEPT_BUSY_MAX_S:
                self._kept_busy_since_s[agent.address] = now_s
                self._blame("", f"{agent.address} counts as in a call that is over: {counts_as_busy}")

    def judge_the_end(self, run: Run) -> None:
        """Count what has happened."""
        run.counts["callers in a queue"], run.counts["offers"] = len(self.callers), self._offers
        run.counts["callers in a queue at once"] = self._longest_line
        run.counts["callers taken from a queue"] = sum(one.session.left_queue for one in self.callers.values())


def _pause_ends_s(session: Session, address: str) -> float:
    """Return until when an agent is not offered a caller again."""
    tries = [one for one in session.attempts if one.to == address and one.ended_at_ms > session.queued_since_ms]
    ends_s = (one.ended_at_ms / 1000 + (REJECTED_S if one.result == "rejected" else PAUSE_S) for one in tries)
    return max(ends_s, default=0.0)


def _kept_for_callers(waiting: Iterable[Caller], now_s: float) -> Iterator[str]:
    """Yield agents who get no other caller: one they were rung for is next."""
    for caller in waiting:
        for address in {tried.to for tried in caller.session.attempts} if caller.idle_since_s is not None else ():
            if 0.0 < _pause_ends_s(caller.session, address) - now_s <= PAUSE_S:
                yield address
