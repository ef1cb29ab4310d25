"""The whole of it in one process: a sandbox, the webhooks on a port, a worker, a real Redis."""

import asyncio
import contextlib
import inspect
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from aiohttp import web

from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings, load
from conferral.statemachine.events.effect_results import NOT_STARTED
from conferral.storage import command_stream
from conferral.storage.command_stream import CommandResult
from conferral.storage.connection.client import Command, as_store_errors, make_client, run_or_raise
from conferral.storage.connection.primary import primary_of
from conferral.storage.coordinator import ROUTER, read_owners
from conferral.storage.keys import Keys
from conferral.storage.webhook_store.store import WebhookStore
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.http_client import http_client
from conferral.telephony.own_numbers import OwnNumbers
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.telephony.twilio_requests import rest_client
from conferral.webhooks.app import make_app
from conferral.worker.process import Worker, make_policy
from conferral.worker.wiring import Environment
from offhook.call_handle import CallHandle
from offhook.model.behavior import Behavior
from offhook.request_log import RestEntry
from offhook.service import Sandbox
from tests.support import phones, process_reports
from tests.support.command_results import wait_for_result
from tests.support.fair_time import LoopClock, LoopSandbox, steady_partition_time
from tests.support.flat_sessions import flat_record
from tests.support.heard_timeline import HeardTimeline
from tests.support.people import AGENT as AGENT
from tests.support.people import CUSTOMER as CUSTOMER
from tests.support.people import NUMBER as NUMBER

#: Waits of the machine in tests: short where nothing depends on their length.
FAST = {
    "repair_timeout_ms": 700,
    "settle_ms": 200,
    "reread_interval_ms": 300,
    "ring_slack_ms": 500,
    "confirm_ms": 300,
    "read_pause_ms": 300,
    "hold_timeout_ms": 1_000,
    "arrive_timeout_ms": 1_000,
    "leave_timeout_ms": 300,
    "dial_read_wait_ms": 300,
    "recall_pause_ms": 200,
    "loss_settle_ms": 50,
}
#: How long a test waits for what has to happen, seconds: only a test that fails waits for so long, so a busy machine
#: gets its time.
DEADLINE_S = 45.0
#: Twilio's code for a `<Conference>` whose SID is that of one that is over.
CONFERENCE_OVER = 13236
#: How Twilio behaves where its documentation is silent: changes of `Behavior`. Stories set it.
READING: Mapping[str, Any] = {}


def behavior_of(reading: Mapping[str, Any], behavior: Behavior | None) -> Behavior:
    """The behavior in that reading; what a test has chosen itself stays."""
    base, default = behavior or Behavior(), Behavior()
    return replace(base, **{name: to for name, to in reading.items() if getattr(base, name) == getattr(default, name)})


def settings_for(redis_url: str, sandbox: Sandbox | None, public_url: str, **changes: Any) -> ServiceSettings:
    values = {
        "TWILIO_ACCOUNT_SID": sandbox.account_sid if sandbox else "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": sandbox.auth_token if sandbox else "token",
        "TWILIO_API_URL": sandbox.url if sandbox else "http://127.0.0.1:9",
        "TWILIO_NUMBER": NUMBER,
        "CONFERRAL_PUBLIC_URL": public_url,
        "CONFERRAL_AGENT": AGENT,
        "REDIS_URL": redis_url,
        "CONFERRAL_PARTITIONS": "2",
        "CONFERRAL_CONVERT_TIMEOUT": "1",
        "CONFERRAL_LONE_GRACE": "0.3",
    }
    return load(ServiceSettings, values | {name: str(value) for name, value in changes.items()})


async def _holds(condition: Any, equals: Any) -> bool:
    """Whether a condition is met; while Redis is out of reach or takes nothing it is not."""
    try:
        with as_store_errors():
            found = condition()
            found = await found if inspect.isawaitable(found) else found
            return bool(found if equals is None else found == equals)
    except StoreUnreachableError:
        return False


class LocalSystem:
    """Everything between the customer's phone and the agent's."""

    def __init__(
        self,
        redis_url: str,
        *,
        workers: int = 1,
        lease_ms: int = 30_000,
        speed: float = 1.0,
        policy: dict[str, int] | None = None,
        behavior: Behavior | None = None,
        webhooks_url: str = "",
        **settings: Any,
    ) -> None:
        """Args: `redis_url`, or for the webhooks `webhooks_url`, is how Redis is reached; others are settings."""
        self.redis_url = redis_url
        self._webhooks_url = webhooks_url or redis_url
        self.sandbox = LoopSandbox(strict=True, speed=speed, behavior=behavior_of(READING, behavior))
        self.clock = LoopClock()
        self.workers: list[Worker] = []
        self._worker_count = workers
        self._lease_ms = lease_ms
        self._policy_changes = {**FAST, **(policy or {})}
        self._changes = settings
        self._stops: list[asyncio.Event] = []
        self._running: list[asyncio.Task[int]] = []
        #: Sessions as they were read last, and decoded.
        self._read: dict[str, tuple[dict[bytes, bytes], dict[str, str]]] = {}
        self.worker_options: dict[str, Any] = {}

    # ---- start and stop ------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        with contextlib.ExitStack() as until_the_end:
            until_the_end.enter_context(steady_partition_time())
            await self._start()
            self._steady_time = until_the_end.pop_all()
        return self

    async def _start(self) -> None:
        await self.sandbox.start()
        self.listening = HeardTimeline(self.sandbox)
        listening = socket.create_server(("127.0.0.1", 0))
        self.public_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.settings = settings_for(self.redis_url, self.sandbox, self.public_url, **self._changes)
        self.keys = Keys(self.settings.prefix, self.settings.partitions)
        self.client = make_client(self.redis_url, primary_of(self.redis_url, self.settings.prefix))
        self.metrics = Metrics()
        self._webhooks_client = make_client(self._webhooks_url, primary_of(self._webhooks_url, self.settings.prefix))
        self.publisher = WebhookStore(self._webhooks_client, self.keys, self.clock)
        self._http = http_client(self.settings, clock=self.clock, metrics=self.metrics)
        self.directory = DirectoryFile(self.settings)
        await self._serve(listening)
        self.sandbox.add_number(
            NUMBER,
            voice_url=f"{self.public_url}/voice/inbound",
            voice_fallback_url=f"{self.public_url}/voice/fallback",
            status_callback=f"{self.public_url}/voice/status",
        )
        self.agent_phone = self.sandbox.phone(AGENT).script(answer_after_s=0.02)
        for _ in range(self._worker_count):
            self.start_worker()
        await self.eventually(self._partitions_are_held, "every partition has an owner")
        self.sandbox.catch_up()

    async def _serve(self, listening: socket.socket) -> None:
        lookup = TwilioQueries(rest_client(self.settings, self._http), self.settings.number)
        app = make_app(self.settings, self.publisher, lookup, self.metrics, self.clock, self.directory)
        self.mount(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    def mount(self, app: web.Application) -> None:
        """Add what else the webhooks process serves; without it, Twilio's requests alone."""

    async def __aexit__(self, *_exc: object) -> None:
        with self._steady_time:
            await self._stop()

    async def _stop(self) -> None:
        for stop in self._stops:
            stop.set()
        await asyncio.gather(*self._running)
        # Before the webhooks: what the sandbox still delivers would meet a server that is closing.
        await self.sandbox.stop()
        await self._runner.cleanup()
        await self.publisher.close()
        await self._http.close()
        await self._webhooks_client.aclose()
        await self.client.aclose()

    def start_worker(self) -> Worker:
        policy = replace(make_policy(self.settings), **self._policy_changes)
        options: dict[str, Any] = {"clock": self.clock} | self.worker_options
        environment = Environment(lifetime_ms=self._lease_ms, policy=policy, **options)
        worker = Worker(self.settings, directory=self.directory, environment=environment)
        stop = asyncio.Event()
        self.workers.append(worker)
        self._stops.append(stop)
        self._running.append(asyncio.create_task(worker.run(stop)))
        return worker

    async def restart_webhooks(self) -> None:
        """Stops the webhooks as SIGTERM does, and starts others at their address."""
        await self._runner.cleanup()
        await self._serve(socket.create_server(("127.0.0.1", int(self.public_url.rpartition(":")[2]))))

    @property
    def own_numbers(self) -> OwnNumbers:
        """The numbers of ours that webhooks and workers know."""
        return self.directory.own_numbers

    def hang_up_signal(self) -> None:
        """SIGHUP to webhooks and workers: they read the directory again."""
        self.directory.reload()

    async def stop_worker(self, index: int = 0) -> int:
        """Stops a worker as SIGTERM does; returns its exit code."""
        self._stops[index].set()
        return await self._running[index]

    async def replace_workers(self) -> None:
        """Stops the workers, and starts others that know nothing but what is stored."""
        for index, running in enumerate(list(self._running)):
            if not running.done():
                await self.stop_worker(index)
                self.start_worker()

    async def _partitions_are_held(self) -> bool:
        return not self._worker_count or await self.all_held(commands=False)

    async def all_held(self, *, commands: bool = True) -> bool:
        """Whether every partition has an owner, and the router's task as well."""
        requests = [("HEXISTS", self.keys.lease(partition), "holder") for partition in range(self.keys.partitions)]
        is_held = all(await run_or_raise(self.client, *requests))
        return is_held and (not commands or bool((await read_owners(self.client, self.keys))[ROUTER].name))

    # ---- what people do ------------------------------------------------------------------------------------------

    async def customer_calls(self, from_: str = CUSTOMER) -> CallHandle:
        return await self.sandbox.call_in(from_, NUMBER)

    async def talking(self) -> tuple[CallHandle, CallHandle]:
        """A call that is bridged: the customer's leg and the agent's."""
        customer = await self.customer_calls()
        await self.until(customer.sid, phase="connected")
        return customer, await self.agent_leg(customer)

    async def agent_leg(self, customer: CallHandle) -> CallHandle:
        return await self.leg(customer.sid, "agent")

    async def leg(self, session_id: str, party: str) -> CallHandle:
        """The call of a party."""
        session = await self.session(session_id)
        return CallHandle(self.sandbox, session[f"party.{party}.call_sid"])

    async def command(self, kind: str, session: str, timeout_s: float = DEADLINE_S, **fields: str) -> CommandResult:
        entry_id = await command_stream.publish(self.client, self.keys, {"type": kind, "session": session, **fields})
        command_id = fields.get("id", entry_id)
        async with asyncio.timeout(timeout_s):
            while True:
                # Some faults restart Redis meanwhile: the outcome is read from the one that is there then.
                with contextlib.suppress(StoreUnreachableError):
                    return await wait_for_result(self.client, self.keys, command_id, timeout_s)
                await asyncio.sleep(0.01)

    async def done(self, kind: str, session: str, **fields: str) -> CommandResult:
        """Gives a command that succeeds."""
        return await self._ends("done", kind, session, **fields)

    async def failed(self, reasons: str, kind: str, session: str, **fields: str) -> CommandResult:
        """Gives a command that is accepted and fails with that sentence, or for one of these reasons."""
        outcome = await self._ends("failed", kind, session, **fields)
        assert outcome.reason in {reasons, *reasons.split()}, outcome
        return outcome

    async def rejected(self, why: str, kind: str, session: str, **fields: str) -> CommandResult:
        """Gives a command that is rejected with a sentence that begins so."""
        outcome = await self._ends("rejected", kind, session, **fields)
        assert outcome.reason.startswith(why), outcome
        return outcome

    async def _ends(self, status: str, kind: str, session: str, **fields: str) -> CommandResult:
        outcome = await self.command(kind, session, **fields)
        if outcome.status != status:
            raise AssertionError(f"{kind} is {outcome}, not {status}\n{await self.report()}")
        return outcome

    async def begins(self, kind: str, session: str, **fields: str) -> str:
        """Gives a command and waits until it is accepted; returns its id, for `result_of`."""
        command_id = await command_stream.publish(self.client, self.keys, {"type": kind, "session": session, **fields})
        command_id = fields.get("id", command_id)

        async def is_accepted() -> bool:
            return bool((await command_stream.read_result(self.client, self.keys, command_id)).status)

        await self.eventually(is_accepted, f"{kind} is accepted")
        return command_id

    async def result_of(self, command_id: str) -> CommandResult:
        """Waits until a command's status is final."""
        return await wait_for_result(self.client, self.keys, command_id, DEADLINE_S)

    async def has_failed(self, command_id: str, reason: str) -> None:
        """Waits until a command is decided: it has failed for that reason."""
        outcome = await self.result_of(command_id)
        assert (outcome.status, outcome.reason) == ("failed", reason), f"{outcome}\n{await self.report()}"

    async def converted(self) -> tuple[CallHandle, CallHandle]:
        customer, agent = await self.talking()
        await self.done("convert", customer.sid)
        return customer, agent

    async def dialed(self, address: str, time: int = 1, *, timeout_s: float = 30.0) -> CallHandle:
        """Waits until a phone was dialed so many times; see `phones.dialed`."""
        return await phones.dialed(self.sandbox, address, time, timeout_s=timeout_s)

    def answered_by(self, *addresses: str) -> None:
        """Someone picks up each of these phones."""
        for address in addresses:
            self.sandbox.phone(address).script_in_turn(phones.answers())

    def not_answered_by(self, *addresses: str) -> None:
        """Each of these phones rings until Twilio gives up, or until the test picks it up."""
        for address in addresses:
            self.sandbox.phone(address).script_in_turn(phones.rings())

    # ---- what is to be seen --------------------------------------------------------------------------------------

    async def session(self, session_id: str) -> dict[str, str]:
        stored = await self.client.hgetall(self.keys.session(session_id))
        if self._read.get(session_id, ({},))[0] != stored:  # tests poll: it is decoded once it has changed
            self._read[session_id] = stored, flat_record(stored)
        return dict(self._read[session_id][1]) if stored else {}

    async def log(self, session_id: str) -> list[dict[str, str]]:
        entries = await self.client.xrange(self.keys.log(session_id))
        return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]

    async def until(self, session_id: str, **fields: str) -> dict[str, str]:
        """Waits until the session's fields have these values."""

        async def has_come() -> bool:
            session = await self.session(session_id)
            return all(session.get(name) == value for name, value in fields.items())

        await self.eventually(has_come, f"{session_id} has {fields}")
        return await self.session(session_id)

    async def outcomes(self) -> list[dict[str, str]]:
        """The entries of the outcomes stream, oldest first, once none waits for late callbacks."""

        async def none_waits() -> bool:
            requests: list[Command] = [("HKEYS", self.keys.outbox(number)) for number in range(self.keys.partitions)]
            return not any(name.startswith(b"outcome:") for names in await run_or_raise(self.client, *requests)
                           for name in names)  # fmt: skip

        await self.eventually(none_waits, "every outcome is published")
        entries = await self.client.xrange(self.keys.outcomes)
        return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]

    def sounds(self, call: CallHandle, since_s: float | None = None) -> list[Any]:
        """What someone has heard one after the other, without the moments of silence between."""
        return [what for what in self.listening.whats(call, since_s) if what != "silence"]

    def longest_gap_s(self, call: CallHandle, since_s: float | None = None) -> float:
        """The longest that someone heard no one and nothing since a moment of `listening`, in our own seconds."""
        return self.listening.longest_silence(call, since_s) / self.sandbox.speed

    async def until_hears(self, call: CallHandle, what: Any) -> None:
        """Waits until a leg hears this: a word, or the calls (and words) that it hears together."""
        wanted = what if isinstance(what, str) else frozenset(one if isinstance(one, str) else one.sid for one in what)

        async def does() -> bool:
            return bool(self.listening.hears(call) == wanted)

        await self.eventually(does, f"{call.sid} hears {wanted}\n{self.listening.described()}")

    async def until_talk(self, one: CallHandle, other: CallHandle) -> None:
        """Waits until two hear each other, and no one else."""
        await self.until_hears(one, [other])
        await self.until_hears(other, [one])

    async def eventually(self, condition: Any, what: str, timeout_s: float = DEADLINE_S, *, equals: Any = None) -> None:
        """Waits until a condition, which may have to be awaited, is true, or equals something."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await _holds(condition, equals):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s} s: {what}\n{await self.report()}") from None

    async def report(self) -> str:
        """The world as it is, for failed tests."""
        lines = [*map(repr, self.sandbox.live_calls()), f"commands: {await self.client.xlen(self.keys.commands)}"]
        for partition in range(self.keys.partitions):
            effects, timers = self.keys.outbox(partition), self.keys.timers(partition)
            left = await self.client.hkeys(effects), await self.client.zrange(timers, 0, -1)
            lines.append(f"{await self.client.xlen(self.keys.events(partition))} events, effects and timers {left}")
            live = await self.client.smembers(self.keys.live(partition))
            ended = await self.client.zrange(self.keys.ended(partition), 0, -1)
            for name in sorted({*live, *ended}):
                lines.append(str(await self.session(name.decode())))
                lines += [f"  {entry}" for entry in await self.log(name.decode())]
        rest = self.sandbox.request_log.rest
        lines += [f"{entry.method} {entry.path} {entry.status} {entry.fault}" for entry in rest]
        return "\n".join([*lines, process_reports.described()])

    async def sandbox_conference(self) -> Any:
        """The one conference that is live at the sandbox."""
        (conference,) = [one for one in self.sandbox.model.state.conferences.values() if one.status != "completed"]
        return conference

    def end_calls_in_test(self) -> None:
        """Twilio does not take the flag with which a conference ends by itself: the lone rule has to end it."""
        self.sandbox.faults.next_rest(
            "POST", "/Conferences/*/Participants/*", status=400, count=99, EndConferenceOnExit="true"
        )

    async def settled(self) -> None:
        """Waits until nothing is left to be decided or done, then asserts that nothing is left at all."""

        async def nothing_left() -> bool:
            return not self.sandbox.live_calls() and not await self.under_way(live=True)

        await self.eventually(nothing_left, "every stream, outbox and timer is empty and every call is over")

    async def under_way(self, *, live: bool = False) -> int:
        """How much is still to be decided or done; with what is live, also timers and sessions (count)."""
        requests: list[Command] = [("XLEN", self.keys.commands)]
        for partition in range(self.keys.partitions):
            requests += [("XLEN", self.keys.events(partition)), ("HLEN", self.keys.outbox(partition))]
            if live:
                requests += [("ZCARD", self.keys.timers(partition)), ("SCARD", self.keys.live(partition))]
        return sum(await run_or_raise(self.client, *requests))

    def dial_requests(self, address: str) -> list[RestEntry]:
        """What Twilio was asked to dial a phone, refused and lost requests as well, oldest first.

        Without those that are refused because the conference has not started: each is repeated as a call of its own.
        """
        return [
            entry
            for entry in self.sandbox.request_log.rest
            if entry.method == "POST"
            and entry.get("To") == address
            and entry.path.endswith(("/Calls.json", "/Participants.json"))
            and entry.code not in NOT_STARTED
        ]

    def dials_to(self, address: str) -> int:
        """How often a phone was dialed by REST (count)."""
        return sum(call.record.direction == "outbound-api" for call in self.sandbox.calls_of(address))

    def redirects_of(self, call: CallHandle) -> int:
        """How often Twilio was asked to give a call new TwiML (count)."""
        return sum(
            1
            for entry in self.sandbox.request_log.requests("POST", f"/Calls/{call.sid}")
            if entry.get("Twiml") and entry.applied
        )

    # ---- the end -------------------------------------------------------------------------------------------------

    async def everyone_is_gone(
        self, session: str, reason: str, *, debugger: frozenset[int] = frozenset()
    ) -> dict[str, str]:
        """The session has ended for that reason, and nothing is left of it: no call, no timer, no effect.

        Args:
            session: Its id.
            reason: `end_reason`.
            debugger: Codes of the entries in Twilio's debugger that a fault has caused; without a fault there are none.
        """
        ended = await self.until(session, state="ended")
        assert ended["end_reason"] == reason, ended
        await self.settled()
        entries = self.sandbox.request_log.debugger
        # A party who joins by our TwiML, because no one is added before the start, may join right after the end.
        may_come_late = {CONFERENCE_OVER} if self.sandbox.model.behavior.add_before_start == "refused" else set()
        assert {entry.code for entry in entries} - may_come_late == debugger - may_come_late, entries
        return ended

    async def ended_by_command(self, session: str, *, debugger: frozenset[int] = frozenset()) -> None:
        """Lets everyone go."""
        await self.done("end", session)
        await self.everyone_is_gone(session, "command", debugger=debugger)

    async def ended_by_hang_up(
        self, call: CallHandle, session: str, reason: str, *, debugger: frozenset[int] = frozenset()
    ) -> dict[str, str]:
        """Someone hangs up, once the worker has done what it had begun, and with that everyone is gone."""
        until_s = self.clock.monotonic_s() + 1
        while await self.under_way() and self.clock.monotonic_s() < until_s:  # a fault may keep it from that
            await asyncio.sleep(0.01)
        call.hang_up()
        return await self.everyone_is_gone(session, reason, debugger=debugger)
