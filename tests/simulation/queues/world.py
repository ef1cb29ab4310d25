"""A team without a queue of its own: each two numbers have the same agents, and their callers wait."""

import asyncio
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from offhook.model.messages import InboundCall, PhoneHangsUp
from offhook.model.state import Call
from tests.simulation import simulation
from tests.simulation.plan import Plan
from tests.simulation.queues.judge import QueueJudge
from tests.simulation.queues.team import LEAVE, AgentAtDesk, Team
from tests.simulation.run_result import Run
from tests.simulation.simulation import PUBLIC_URL, Simulation
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world_settings import world_settings
from tests.support.decisions import keeping

#: How long a desk rings, seconds; and how many agents a number may have (count).
RINGS_S, AGENTS_MAX = 15, 10


class QueueWorld(Simulation):
    """One world: the callers of one number begin in a bridge, of the other in a conference."""

    def __init__(self, loop: VirtualLoop, plan: Plan, folder: Path) -> None:
        directory = folder / "directory.toml"
        agents = [f"client:agent{number}" for number in range(plan.agents)]
        places = f'fallback = "queue,voicemail"\norder = "idle"\nqueue_limit = {plan.queue_limit_s}\n'
        groups = [agents[first : first + AGENTS_MAX] for first in range(0, len(agents), AGENTS_MAX)]
        self._numbers = [(f"+1415555{3000 + number}", groups[number // 2]) for number in range(2 * len(groups))]
        entries = [f'[inbound."{number}"]\nagents = {group}\n{places}' for number, group in self._numbers]
        entries += [f"[agents.{one.removeprefix('client:')}]\n" for one in agents]
        directory.write_text("\n".join(entries), encoding="utf-8")
        given = {"CONFERRAL_DIRECTORY": directory, "CONFERRAL_RING_TIMEOUT": RINGS_S}
        super().__init__(loop, plan, settings=world_settings(plan, PUBLIC_URL, **given))
        for at, (number, _) in enumerate(self._numbers):
            self.twilio.add_number(
                number,
                voice_url=f"{PUBLIC_URL}/voice/{('inbound', 'conference')[at % 2]}",
                voice_fallback_url=f"{PUBLIC_URL}/voice/fallback",
                status_callback=f"{PUBLIC_URL}/voice/status",
            )
        self.team = Team(self.twilio, self.client, self.keys, plan)
        self.twilio.script_of = self.team.script
        self.queue = QueueJudge(self.twilio, lambda: self.network.values, self.keys, self.team, self.judge.blame, plan)
        self.team.on_ring = self._rings
        self._leaving, self._waits_with = plan.chance("leaving"), plan.chance("patience")
        judged = self.network.committed

        def committed(session_ids: object) -> None:
            names = list(session_ids)  # type: ignore[call-overload]
            judged(names)
            self.queue.committed(names)

        self.network.committed = committed

    def _rings(self, call: Call, agent: AgentAtDesk) -> str:
        session_id = self.judge.session_of(call)
        if self.queue.rings(call, agent, session_id) and self._leaving.random() < LEAVE:
            self.loop.create_task(self._hangs_up(session_id, self._leaving.uniform(0.0, 6.0)))
        return session_id

    async def _hangs_up(self, call_sid: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if call_sid in self.twilio.model.state.live_calls:
            self.twilio.apply(PhoneHangsUp(call_sid))

    async def keep_desks(self) -> None:
        """See `Simulation`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.team.work())
            group.create_task(self.queue.watch(lambda: self.network.is_away))

    async def _session(self, number: int) -> None:
        """One caller, until the call is over, and someone ended it."""
        chance = self.plan.chance(f"session {number}")
        to, _ = chance.choice(self._numbers)
        sid = self.twilio.apply(InboundCall(f"+1415556{number % 10_000:04d}", to)).call_sid
        calls, began_s = self.twilio.model.state.calls, self.loop.time()
        patience_s = chance.expovariate(1 / self.plan.patience_s)
        talk_s = min(self.plan.talk_max_s, chance.expovariate(1 / self.plan.talk_s))
        answered_s: float | None = None
        while sid in self.twilio.model.state.live_calls:
            await asyncio.sleep(0.5)
            now_s = self.loop.time()
            heard = self.twilio.model.audibility.current(sid)
            if answered_s is None and heard is not None and heard.parties:
                answered_s = now_s
            is_over = now_s - began_s > patience_s if answered_s is None else now_s - answered_s > talk_s
            if is_over and not calls[sid].is_final:
                await self._ends(sid, chance, is_answered=answered_s is not None)
        self.run.counts["callers answered" if answered_s is not None else "callers not answered"] += 1

    async def _ends(self, sid: str, chance: Random, *, is_answered: bool) -> None:
        """The caller hangs up, or else the agent's desk ends the call."""
        if is_answered and chance.random() < 0.3:
            await self.give({"type": "end", "session": sid}, chance)
            await asyncio.sleep(20.0)
        if sid in self.twilio.model.state.live_calls:
            self.twilio.apply(PhoneHangsUp(sid))

    async def judge_the_end(self) -> None:
        """See `Simulation`."""
        self.queue.judge_the_end(self.run)
        await super().judge_the_end()


async def simulate(loop: VirtualLoop, plan: Plan) -> Run:
    """Plays one plan: of a team with a queue if it has agents."""
    if not plan.agents:
        return await simulation.simulate(loop, plan)
    with TemporaryDirectory() as folder:
        world = QueueWorld(loop, plan, Path(folder))
        with keeping(world.replays.keep):
            return await world.play()
