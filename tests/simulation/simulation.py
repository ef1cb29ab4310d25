"""The whole of it in virtual time: Redis in memory, Twilio's model, webhooks and workers that die, and people."""

import asyncio
import contextvars
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlencode

from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.storage import command_stream
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.webhook_store.store import WebhookStore
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.telephony.twilio_requests import rest_client
from conferral.worker.process import Worker
from conferral.worker.wiring import Environment
from offhook.model.messages import InboundCall, Params, PhoneHangsUp
from tests.simulation import random_people
from tests.simulation.desks import keep_desks, webhooks_keep_presence
from tests.simulation.invariants import QUIETING, InvariantChecker
from tests.simulation.plan import Plan, WrongClocks
from tests.simulation.redis_network import Network
from tests.simulation.replay import Replays
from tests.simulation.run_result import Run
from tests.simulation.submitted_commands import SubmittedCommand, SubmittedCommands
from tests.simulation.unknown_responses import UnknownResponses
from tests.simulation.virtual_clock import EPOCH_S, VirtualClock
from tests.simulation.virtual_loop import KilledError, Process, VirtualLoop
from tests.simulation.virtual_twilio import VirtualTwilio, faults_of
from tests.simulation.world_settings import either_way, world_settings
from tests.support.decisions import keeping
from tests.support.in_memory_services import Answered, Doors, ExchangeHttp
from tests.support.local_system import NUMBER
from tests.support.people import SALES

PUBLIC_URL = "https://conferral.example.com"
#: The number whose calls begin in a conference, and the application of browsers.
APPLICATION = "AP" + "0" * 32
#: How long everything may take to come to an end once everyone has hung up, seconds.
ENDING_MAX_S = 1_800.0
#: How often this is checked, seconds.
CHECK_EVERY_S = 5.0
#: How long someone may be alone next to the grace and the sweeps, seconds: 5 for a callback that is late; 2 until a
#: dead worker's partition has another owner, twice; 7 for a read whose requests fail, until it is repeated; and a
#: second for what is asked of Twilio in the end. Each further owner that dies costs as much as one of these two.
LONE_SLACK_S = 18.0


@dataclass(slots=True)
class WorkerProcess:
    """One worker and the process that it is."""

    process: Process
    worker: Worker
    stop: asyncio.Event
    task: asyncio.Task[int]


class Simulation:
    """One world."""

    def __init__(
        self,
        loop: VirtualLoop,
        plan: Plan,
        wrong: WrongClocks | None = None,
        settings: ServiceSettings | None = None,
    ) -> None:
        self.loop = loop
        self._wrong = wrong = wrong or WrongClocks()
        self.plan = plan
        self.settings = settings or world_settings(plan, PUBLIC_URL)
        self.keys = Keys(self.settings.prefix, self.settings.partitions)
        self.run = Run(plan)
        self.network = Network(loop, plan, lambda: round((EPOCH_S + wrong.redis_s + loop.time()) * 1000))
        self.workers: list[WorkerProcess] = []
        self.webhooks: list[tuple[Process, Doors]] = []
        self.given = SubmittedCommands(lambda: self.network.values, self.keys)
        self._quieted: set[str] = set()
        self._names = 0
        #: Deaths and stops of workers, outages of Redis (count).
        self._disturbances = 0
        self._chaos: list[asyncio.Task[None]] = []
        self._asked_of = plan.chance("which webhooks")
        phones = plan.chance("phones")
        self.twilio = VirtualTwilio(
            loop,
            self._ask_webhooks,
            epoch_s=EPOCH_S + wrong.twilio_s,
            seed=f"simulation {plan.seed}",
            chance=plan.chance("travel"),
            faults=faults_of(plan),
            behavior=either_way(plan.chance("either way")),
            script_of=lambda address: random_people.phone_script(address, phones, plan.talk_s, plan.talk_max_s),
        )
        self._voicemail = plan.chance("voicemail")
        self.twilio.moved_to_voicemail = lambda call_sid: loop.create_task(self._leave_message(call_sid))
        for number, path in ((NUMBER, "inbound"), (SALES, "conference")):
            self.twilio.add_number(
                number,
                voice_url=f"{PUBLIC_URL}/voice/{path}",
                voice_fallback_url=f"{PUBLIC_URL}/voice/fallback",
                status_callback=f"{PUBLIC_URL}/voice/status",
            )
        self.twilio.add_application(
            APPLICATION,
            voice_url=f"{PUBLIC_URL}/voice/client",
            voice_fallback_url=f"{PUBLIC_URL}/voice/fallback",
            status_callback=f"{PUBLIC_URL}/voice/status",
        )
        self._odd = UnknownResponses(plan.rest_odd, plan.chance("odd answers"))
        self.replays = Replays(plan.replayed_every)
        sweeps_s = plan.lone_sweeps * self.settings.sweep_interval_s
        self.lone_max_s = self.settings.lone_grace_s + sweeps_s + LONE_SLACK_S
        self.judge = InvariantChecker(
            self.twilio,
            lambda: self.network.values,
            self.keys,
            may_be_dialed=(*random_people.DIALED, random_people.AWAY),
            lone_max_s=self.lone_max_s,
            silent_max_s=plan.silent_max_s,
            quieted=lambda session_id: session_id in self._quieted,
            replays=self.replays,
        )
        self.network.committed = self.judge.committed
        self.client: Client = self.network.client(None)

    # ---- processes ------------------------------------------------------------------------------------------------

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._names}"

    def start_worker(self) -> None:
        """One more worker."""
        name = self._name("worker")
        process = Process(self.loop, name)
        chance = self.plan.chance(name)
        outside = Environment(
            name=lambda: name,
            clock=VirtualClock(self.loop, chance, self._wrong.workers_s),
            rng=chance,
            redis=lambda _url, _primary, *, blocking=False, max_connections=64: self.network.client(
                process, blocking=blocking
            ),
            http=lambda settings, *, clock, metrics: ExchangeHttp(
                self.twilio.rest, settings, clock, metrics, change=self._odd.change, now_s=lambda: self.twilio.now_s
            ),
        )
        worker = Worker(self.settings, environment=outside)
        self.run.slot_waits.append(worker.metrics.rest_slot_wait)
        stop = asyncio.Event()
        task = process.start(worker.run(stop))
        entry = WorkerProcess(process, worker, stop, task)
        self.workers.append(entry)
        task.add_done_callback(lambda done: self._worker_ended(entry, done), context=contextvars.Context())

    def _worker_ended(self, entry: WorkerProcess, task: asyncio.Task[int]) -> None:
        if entry in self.workers:
            self.workers.remove(entry)
        if entry.process.is_dead:
            return
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None or task.result() != 0:
            shown = "cancelled" if task.cancelled() else repr(error) if error else f"code {task.result()}"
            self.run.exceptions.append(f"{entry.process.name} ended by itself: {shown}")
        entry.process.kill()

    def start_webhooks(self) -> None:
        """One more webhook process."""
        name = self._name("webhooks")
        process = Process(self.loop, name)
        chance = self.plan.chance(name)
        clock, metrics = VirtualClock(self.loop, chance), Metrics()
        publisher = WebhookStore(self.network.client(process), self.keys, clock)
        http = ExchangeHttp(self.twilio.rest, self.settings, clock, metrics)
        lookup = TwilioQueries(rest_client(self.settings, http), self.settings.number)
        doors = Doors(self.settings, publisher, lookup, metrics, DirectoryFile(self.settings))
        self.webhooks.append((process, doors))

    async def _ask_webhooks(self, url: str, params: Params) -> Answered:
        if url.startswith(random_people.MENU):
            self.run.counts["callers back in an app"] += 1
            return Answered(200, "text/xml", b"<Response><Say>Welcome back. Please call again later.</Say></Response>")
        if not url.startswith(PUBLIC_URL):
            return Answered(200, "audio/mpeg", b"a tune")  # someone else's server
        if not self.webhooks:
            raise KilledError("no webhooks")
        process, doors = self._asked_of.choice(self.webhooks)
        return await process.ask(doors.ask(url, params))

    # ---- chaos ----------------------------------------------------------------------------------------------------

    def _begin_chaos(self) -> None:
        plan = self.plan
        for what, every_s, act in (
            ("killing workers", plan.worker_killed_every_s, self._kill_worker),
            ("stopping workers", plan.worker_stopped_every_s, self._stop_worker),
            ("pausing workers", plan.worker_paused_every_s, self._pause_worker),
            ("killing webhooks", plan.webhooks_killed_every_s, self._kill_webhooks),
            ("restarting Redis", plan.redis_restarted_every_s, self._restart_redis),
            ("losing writes of Redis", plan.redis_loses_writes_every_s, self._lose_writes),
        ):
            if every_s > 0:
                chance = plan.chance(what)
                self._chaos.append(self.loop.create_task(self._now_and_then(chance, every_s, act)))

    async def _now_and_then(
        self, chance: Random, every_s: float, act: Callable[[Random], Coroutine[Any, Any, None]]
    ) -> None:
        while True:
            await asyncio.sleep(chance.expovariate(1 / every_s))
            await act(chance)

    async def _kill_worker(self, chance: Random) -> None:
        if not self.workers:
            return
        entry = chance.choice(self.workers)
        self.workers.remove(entry)
        held = dict(self._holders_of(entry.process.name))
        self.run.counts["workers killed"] += 1
        entry.process.when_dead(lambda: self._after_death(chance, held))
        # Anywhere in the middle of what it does next, or now.
        entry.process.kill_after(chance.choice((0, chance.randrange(10), chance.randrange(300))))

    def _after_death(self, chance: Random, held: dict[int, str]) -> None:
        died_s = self.loop.time()
        self._disturbances += 1
        self.loop.create_task(self._restart(chance, self.start_worker))
        if held:
            self.loop.create_task(self._watch_take_over(held, died_s))

    def _holders_of(self, name: str) -> list[tuple[int, str]]:
        found = []
        for partition in range(self.keys.partitions):
            lease = self.network.values.get(self.keys.lease(partition).encode()) or {}
            holder = lease.get(b"holder", b"").decode()
            if holder.partition(":")[2] == name:
                found.append((partition, holder))
        return found

    async def _watch_take_over(self, held: dict[int, str], died_s: float) -> None:
        disturbances = self._disturbances
        while held and self.loop.time() - died_s < 60:
            await asyncio.sleep(0.1)
            for partition, before in list(held.items()):
                lease = self.network.values.get(self.keys.lease(partition).encode()) or {}
                if lease.get(b"holder", b"").decode() not in ("", before):
                    del held[partition]
                    is_alone = disturbances == self._disturbances
                    found = self.run.taken_over_s if is_alone else self.run.taken_over_disturbed_s
                    found.append(self.loop.time() - died_s)

    async def _restart(self, chance: Random, start: Callable[[], None]) -> None:
        await asyncio.sleep(chance.uniform(*self.plan.restart_s))
        start()

    async def _stop_worker(self, chance: Random) -> None:
        if not self.workers:
            return
        entry = chance.choice(self.workers)
        self.workers.remove(entry)
        entry.stop.set()
        self._disturbances += 1
        self.run.counts["workers stopped"] += 1
        await self._restart(chance, self.start_worker)

    async def _pause_worker(self, chance: Random) -> None:
        if not self.workers:
            return
        entry = chance.choice(self.workers)
        entry.process.pause()
        self._disturbances += 1
        self.run.counts["workers paused"] += 1
        await asyncio.sleep(chance.uniform(*self.plan.pause_s))
        self._disturbances += 1
        entry.process.wake()

    async def _kill_webhooks(self, chance: Random) -> None:
        if len(self.webhooks) < 2:
            return
        entry = chance.choice(self.webhooks)
        self.webhooks.remove(entry)
        entry[0].kill_after(chance.choice((0, chance.randrange(50))))
        self.run.counts["webhooks killed"] += 1
        await self._restart(chance, self.start_webhooks)

    async def _restart_redis(self, chance: Random) -> None:
        self.run.counts["Redis restarted"] += 1
        self._disturbances += 1
        self.judge.redis_changed()
        await self.network.restart(chance.uniform(*self.plan.redis_away_s))
        self.judge.redis_changed()
        self._disturbances += 1

    async def _lose_writes(self, chance: Random) -> None:
        self.run.counts["Redis lost writes"] += 1
        self._disturbances += 1
        self.judge.redis_changed()
        await self.network.lose_writes(last_s=chance.uniform(0.01, 1.0), away_s=chance.uniform(*self.plan.redis_away_s))
        self.judge.redis_changed()
        self._disturbances += 1
        self.judge.writes_lost()

    # ---- people ---------------------------------------------------------------------------------------------------

    async def people_come(self) -> None:
        """All sessions, until everyone has hung up."""
        arrivals, sessions = self.plan.chance("arrivals"), []
        for number in range(self.plan.sessions):
            await asyncio.sleep(arrivals.expovariate(self.plan.arrivals_per_s))
            sessions.append(self.loop.create_task(self._session(number)))
        await asyncio.gather(*sessions)

    async def _session(self, number: int) -> None:
        """One session from its beginning until everyone has hung up."""
        chance = self.plan.chance(f"session {number}")
        kind = chance.choice(("inbound",) * 6 + ("room",) * 2 + ("handoff",) * 2 + ("client",) + ("call",) * 2)
        session_id, caller = await self._opened(kind, number, chance)
        talks_s = min(self.plan.talk_max_s, chance.expovariate(1 / (1.5 * self.plan.talk_s)))
        operator = self.loop.create_task(self._operate(session_id, number, chance, talks_s))
        await asyncio.sleep(talks_s)
        if caller:
            self.twilio.apply(PhoneHangsUp(caller))
        await operator

    async def _opened(self, kind: str, number: int, chance: Random) -> tuple[str, str]:
        """The session's id, and the call of the caller, if there is one."""
        if kind == "call":
            session_id = f"out-{number}"
            await self.give({**random_people.call(chance), "session": session_id}, chance)
            return session_id, ""
        if kind == "client":
            named = f"browser-{number}" if chance.random() < 0.5 else ""
            sent = {"To": chance.choice(random_people.DIALED)} | ({"SessionID": named} if named else {})
            call_in = InboundCall(f"client:caller{number}", APPLICATION, tuple(sent.items()))
            sid = self.twilio.apply(call_in).call_sid
            return named or sid, sid
        to = SALES if kind == "room" else NUMBER
        url = f"{PUBLIC_URL}/voice/handoff?{urlencode(random_people.handoff(chance))}" if kind == "handoff" else ""
        sid = self.twilio.apply(InboundCall(f"+1415556{number % 10_000:04d}", to, url=url)).call_sid
        return sid, sid

    async def _leave_message(self, call_sid: str) -> None:
        """Someone who was sent to the voicemail speaks after a while, hangs up, or does neither."""
        self.run.counts["callers in the voicemail"] += 1
        await random_people.leave_message(self.twilio, call_sid, self._voicemail)

    async def _operate(self, session_id: str, number: int, chance: Random, talks_s: float) -> None:
        """The commands for one session."""
        until_s = self.loop.time() + talks_s + 20.0
        steps: list[random_people.Fields] = []
        noise = chance.random() < self.plan.noise / (1 + self.plan.noise)
        count = 0
        while True:
            await asyncio.sleep(chance.expovariate(1 / (8.0 if count else 12.0)))
            state = (self.network.values.get(self.keys.session(session_id).encode()) or {}).get(b"state")
            if (state == b"ended" and chance.random() < 0.8) or self.loop.time() > until_s or count > 25:
                return
            count += 1
            if noise and chance.random() < 0.4:
                fields = random_people.anything(chance, number * 100 + count)
                target = session_id if chance.random() < 0.95 else chance.choice(("nobody", "out-1", ""))
                if fields["type"] == "call":
                    target = chance.choice(("", session_id, f"noise-{number}-{count}"))
            else:
                steps = steps or list(random_people.flow(chance))
                fields, target = steps.pop(0), session_id
            await self.give({**fields, "session": target}, chance)

    async def give(self, fields: random_people.Fields, chance: Random) -> None:
        """Gives one command, now and then twice."""
        command_id = f"c{len(self.given)}"
        self.given[command_id] = SubmittedCommand(fields.get("type", ""), fields.get("session", ""), self.loop.time())
        if fields.get("type") in QUIETING:
            self._quieted.add(fields.get("session", ""))
        self.run.counts["commands"] += 1
        for _ in range(2 if chance.random() < 0.03 else 1):
            await self._publish({**fields, "id": command_id})

    async def _publish(self, fields: random_people.Fields) -> None:
        while True:
            try:
                await command_stream.publish(self.client, self.keys, fields)
            except StoreError:
                await asyncio.sleep(0.2)
            else:
                return

    # ---- the whole ------------------------------------------------------------------------------------------------

    async def play(self) -> Run:
        """Lets it all happen, and judges it."""
        started_s = time.perf_counter()
        for _ in range(self.plan.webhooks):
            self.start_webhooks()
        for _ in range(self.plan.workers):
            self.start_worker()
        desks = self.loop.create_task(self.keep_desks())
        presence = self.loop.create_task(webhooks_keep_presence(self.client, self.keys))
        await asyncio.sleep(2.0)
        self._begin_chaos()
        judging = self.loop.create_task(self._judge_all_along())
        await self.people_come()
        await self._until_empty()
        judging.cancel()
        desks.cancel()
        presence.cancel()
        for task in self._chaos:
            task.cancel()
        await asyncio.sleep(0)
        await self.judge_the_end()
        self.run.real_s = time.perf_counter() - started_s
        return self.run

    async def keep_desks(self) -> None:
        """The desks of agents renew their presence."""
        await keep_desks(self.client, self.keys, self.plan)

    async def _judge_all_along(self) -> None:
        while True:
            await asyncio.sleep(20.0)
            self.judge.judge_ended()
            if not self.plan.redis_loses_writes_every_s:
                self.given.judge_late(self.judge, self.loop.time())

    async def _until_empty(self) -> None:
        """Every caller has hung up; dialed parties do so by themselves. Then nothing may be left."""
        began_s = self.loop.time()
        quiet = 0
        while self.loop.time() - began_s < ENDING_MAX_S and quiet < 3:
            await asyncio.sleep(CHECK_EVERY_S)
            quiet = quiet + 1 if not self.judge.leftovers() else 0
        self.run.ending_s = self.loop.time() - began_s

    async def judge_the_end(self) -> None:
        """Judge what is left."""
        run, judge = self.run, self.judge
        for words in judge.leftovers():
            judge.blame("", f"{words} after {ENDING_MAX_S:.0f} s")
        judge.judge_ended(all_of_them=True)
        judge.judge_dials()
        if not self.plan.redis_loses_writes_every_s:
            judge.judge_recordings()
        run.compared = [*judge.outcomes()]
        self.given.judge_the_end(judge, run.counts, all_of_them=not self.plan.redis_loses_writes_every_s)
        for entry in self.workers:
            entry.stop.set()
        await asyncio.sleep(12.0)
        run.exceptions += [_shown(context) for context in self.loop.faults]
        run.problems = judge.problems
        run.lone_s, run.silent_s, run.call_s = sorted(judge.lone_s), sorted(judge.silent_s), judge.call_s
        run.taken_over_s.sort()
        run.taken_over_disturbed_s.sort()
        run.virtual_s = self.loop.time()
        run.counts.update(self.twilio.counts + self.network.counts)
        run.counts["sessions judged"], run.counts["results not judged"] = judge.judged, judge.not_judged
        run.counts["double dials"], run.counts["stranded"] = judge.double_dials, judge.stranded
        run.counts["sessions left"], run.counts["dials mistaken for others"] = judge.left, judge.mistaken
        run.counts["customers of lost agents"] = judge.lost
        run.counts["dials given up unsent"] = judge.unsent
        run.counts["log entries"], run.counts["sessions decided again"] = judge.log_entries, self.replays.done
        run.counts["callbacks of the loop"] = self.loop.steps
        named = dict.fromkeys(problem.session_id for problem in run.problems if problem.session_id)
        run.lone_max_s = self.lone_max_s
        run.stories = [judge.story_of(session_id) for session_id in list(named)[:3]]


def _shown(context: dict[str, Any]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"


async def simulate(loop: VirtualLoop, plan: Plan) -> Run:
    """Plays one plan."""
    simulation = Simulation(loop, plan)
    with keeping(simulation.replays.keep):
        return await simulation.play()
