"""The agents of a queue world at their desks, and what they and the callers do, by chance."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from conferral.runtime.errors import StoreError
from conferral.storage.agents import Agents
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from offhook.model.messages import PhoneHangsUp, PhoneRefuses
from offhook.model.state import Call
from offhook.phones import PhoneScript
from tests.simulation.plan import Plan
from tests.simulation.virtual_twilio import VirtualTwilio

#: How often a desk renews its presence, seconds; and when it tries again.
RENEWED_EVERY_S, RETRIED_AFTER_S = 10.0, 1.0
#: How long an agent who vanished is gone, who did not answer stays away, and a desk takes to reject: seconds.
GONE_S, AWAY_S, REJECTS_AFTER_S = (15.0, 90.0), (10.0, 60.0), (0.1, 0.4)
#: How many agents of an offer reject it, or do not answer; and how many callers hang up while a desk rings (shares).
REJECT, MISS, LEAVE = 0.08, 0.06, 0.08


@dataclass(slots=True, eq=False)
class AgentAtDesk:
    """One agent."""

    address: str
    #: The browser is open: the desk renews its presence, and the phone is registered.
    is_there: bool = True
    #: The next renewal is a click on *Go ready*.
    clicks: bool = True
    #: Since when the agent could be rung, without a break; None if not now, seconds.
    free_since_s: float | None = None
    #: When the desk was last ready, or the agent in a call, seconds.
    there_s: float = 0.0

    @property
    def identity(self) -> str:
        return self.address.removeprefix("client:")


class Team:
    """All agents of a world."""

    def __init__(self, twilio: VirtualTwilio, client: Client, keys: Keys, plan: Plan) -> None:
        self._twilio, self._plan = twilio, plan
        self._desks, self._chance = Agents(client, keys), plan.chance("team")
        self.agents = {f"client:agent{number}": AgentAtDesk(f"client:agent{number}") for number in range(plan.agents)}
        self._wake = {one: asyncio.Event() for one in self.agents}
        #: Called with each call that rings an agent's phone, and that agent; returns the session.
        self.on_ring: Callable[[Call, AgentAtDesk], str] = lambda _call, _agent: ""
        #: In which sessions each agent has taken part: the desk does not reject their rings.
        self._own: dict[str, set[str]] = {one: set() for one in self.agents}

    def calls_of(self, address: str) -> Iterator[Call]:
        """The live calls of an agent's phone, oldest first."""
        state = self._twilio.model.state
        sids = self._twilio.phones[address].call_sids if address in self._twilio.phones else []
        return (state.calls[sid] for sid in sids[-20:] if sid in state.live_calls)

    def note_free(self, stored: Mapping[bytes, bytes], kept: Collection[str], now_s: float) -> None:
        """Note who could be rung now; `stored` is what is stored of agents.

        Agents in `kept` are kept for a caller.
        """
        for agent in self.agents.values():
            is_ready = b'"status":"ready"' in stored.get(agent.identity.encode(), b"")
            is_in_call = any(self.calls_of(agent.address))
            if agent.is_there and (is_ready or is_in_call):
                agent.there_s = now_s
            is_taken = agent.address in kept or is_in_call
            is_free = agent.is_there and is_ready and not is_taken
            agent.free_since_s = (agent.free_since_s or now_s) if is_free else None

    # ---- phones --------------------------------------------------------------------------------------------------

    def script(self, address: str) -> PhoneScript:
        """What happens at an agent's phone that is dialed now."""
        agent, chance = self.agents[address], self._chance
        *others, call = self.calls_of(address)
        if not agent.is_there:
            return PhoneScript(answer_after_s=0.1, outcome="fail")
        session_id = self.on_ring(call, agent)
        if others and session_id not in self._own[address]:
            self._twilio.loop.create_task(self._reject_as_busy(call.sid))
            return PhoneScript(answer_after_s=chance.uniform(*REJECTS_AFTER_S), outcome="reject")
        for other in others:
            self._twilio.apply(PhoneRefuses(other.sid, 603) if other.answered_at_s is None else PhoneHangsUp(other.sid))
        drawn = chance.random()
        if drawn < MISS:
            return PhoneScript(outcome="no-answer")
        if drawn < MISS + REJECT:
            return PhoneScript(answer_after_s=chance.uniform(0.5, 8.0), outcome="reject")
        self._own[address].add(session_id)
        return PhoneScript(
            ring_after_s=chance.uniform(0.05, 0.5),
            answer_after_s=min(12.0, chance.expovariate(1 / 3.0)),
            hang_up_after_s=min(self._plan.talk_max_s, chance.expovariate(1 / (3.0 * self._plan.talk_s))),
        )

    async def _reject_as_busy(self, call_sid: str) -> None:
        with contextlib.suppress(StoreError):
            await self._desks.note_busy(call_sid)

    # ---- desks ---------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Every agent works, until the end."""
        async with asyncio.TaskGroup() as group:
            for agent in self.agents.values():
                group.create_task(self._renew(agent))
                group.create_task(self._come_and_go(agent, self._plan.chance(agent.address)))

    async def _renew(self, agent: AgentAtDesk) -> None:
        """The desk renews the agent's presence; one that is away clicks some time later."""
        chance = self._plan.chance(f"desk of {agent.address}")
        clicks_at_s = 0.0
        while True:
            pause_s = RENEWED_EVERY_S
            if agent.is_there:
                is_busy = any(call.answered_at_s is not None for call in self.calls_of(agent.address))
                clicks = agent.clicks or 0.0 < clicks_at_s <= self._twilio.now_s
                try:
                    found = await self._desks.renew(
                        agent.identity, agent.identity, "desk", is_ready=True, is_busy=is_busy, is_click=clicks
                    )
                except StoreError:
                    pause_s = RETRIED_AFTER_S
                else:
                    agent.clicks = False
                    is_waiting = clicks_at_s > self._twilio.now_s
                    if found.status == "ready":
                        clicks_at_s = 0.0
                    elif not is_waiting:
                        clicks_at_s = self._twilio.now_s + chance.uniform(*AWAY_S)
            self._wake[agent.address].clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake[agent.address].wait()

    async def _come_and_go(self, agent: AgentAtDesk, chance: Random) -> None:
        """The browser crashes now and then; it is opened again."""
        while self._plan.agents_vanish_every_s:
            await asyncio.sleep(chance.expovariate(1 / self._plan.agents_vanish_every_s))
            agent.is_there = False
            for call in list(self.calls_of(agent.address)):
                self._twilio.apply(PhoneHangsUp(call.sid))
            await asyncio.sleep(chance.uniform(*GONE_S))
            agent.is_there = agent.clicks = True
            self._wake[agent.address].set()
