"""The whole of it in one process: a sandbox, the webhooks on a port, a worker, a real Redis."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from aiohttp import web

from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings, load
from conferral.sandbox.call_handle import CallHandle
from conferral.sandbox.model.behavior import Behavior
from conferral.sandbox.service import Sandbox
from conferral.storage.codecs.session_hash import all_fields
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_stream import CommandOutcome
from conferral.storage.connection.client import make_client, store_errors
from conferral.storage.ingest.writer import BatchingIngest
from conferral.storage.keys import Keys
from conferral.telephony.directory.model import DirectoryFile
from conferral.telephony.http_client import http_client, rest_client
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.webhooks.app import make_app
from conferral.worker.environment import Environment
from conferral.worker.process import Worker, make_policy
from tests.support import process_reports
from tests.support.fair_time import LoopClock, LoopSandbox, steady_partition_time
from tests.support.heard_timeline import HeardTimeline
from tests.support.outcomes import wait_for_outcome

NUMBER = "+14155550100"
CUSTOMER = "+14155550123"
AGENT = "client:alice"
#: Waits of the machine in tests: short where nothing depends on their length.
FAST = {
    "leave_check_ms": 300,
    "repair_timeout_ms": 700,
    "settle_ms": 200,
    "reread_interval_ms": 300,
    "ring_slack_ms": 200,
    "confirm_ms": 300,
    "confirm_interval_ms": 300,
    "hold_timeout_ms": 1_000,
    "ringback_timeout_ms": 700,
    "arrive_timeout_ms": 1_000,
    "leave_timeout_ms": 300,
    "dial_unknown_wait_ms": 400,
    "dial_slack_ms": 500,
    "dial_read_wait_ms": 300,
    "recall_pause_ms": 200,
}
#: How long a test waits for what has to happen, seconds: only a test that fails waits for so long, so a busy machine
#: gets its time.
DEADLINE_S = 45.0
#: How Twilio behaves where its documentation is silent: changes of `Rules`. Stories set it.
READING: Mapping[str, Any] = {}


def behavior_of(reading: Mapping[str, Any], rules: Behavior | None) -> Behavior:
    """The rules in that reading; what a test has chosen itself stays."""
    base, default = rules or Behavior(), Behavior()
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


async def _holds(condition: Any) -> bool:
    """Whether a condition is met; while Redis is out of reach or takes nothing it is not."""
    try:
        with store_errors():
            return bool(await condition())
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
        rules: Behavior | None = None,
        **settings: Any,
    ) -> None:
        self.redis_url = redis_url
        self.sandbox = LoopSandbox(speed=speed, behavior=behavior_of(READING, rules))
        self.clock = LoopClock()
        self.workers: list[Worker] = []
        self._worker_count = workers
        self._lease_ms = lease_ms
        self._policy_changes = {**FAST, **(policy or {})}
        self._changes = settings
        self._stops: list[asyncio.Event] = []
        self._running: list[asyncio.Task[int]] = []
        self._stop_webhooks = asyncio.Event()
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
        self.client = make_client(self.redis_url)
        self.metrics = Metrics()
        self.publisher = BatchingIngest(self.client, self.keys, self.clock, metrics=self.metrics)
        self._http = http_client(self.settings, clock=self.clock, metrics=self.metrics)
        lookup = TwilioQueries(rest_client(self.settings, self._http), self.settings.number)
        self._directory = DirectoryFile(self.settings)
        app = make_app(self.settings, self.publisher, lookup, self.metrics, self.clock, self._directory)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        self._watch = asyncio.create_task(self.publisher.watch_server(self._stop_webhooks))
        self.sandbox.add_number(
            NUMBER,
            voice_url=f"{self.public_url}/voice/inbound",
            voice_fallback_url=f"{self.public_url}/voice/fallback",
            status_callback=f"{self.public_url}/voice/status",
        )
        self.agent_phone = self.sandbox.phone(AGENT).script(answer_after_s=0.02)
        for _ in range(self._worker_count):
            self.start_worker()
        await self.eventually(self._partitions_are_held, "every partition has a holder")
        self.sandbox.catch_up()

    async def __aexit__(self, *_exc: object) -> None:
        with self._steady_time:
            await self._stop()

    async def _stop(self) -> None:
        for stop in self._stops:
            stop.set()
        await asyncio.gather(*self._running)
        # Before the webhooks: what the sandbox still delivers would meet a server that is closing.
        await self.sandbox.stop()
        self._stop_webhooks.set()
        await self._watch
        await self._runner.cleanup()
        await self.publisher.close()
        await self._http.close()
        await self.client.aclose()

    def start_worker(self) -> Worker:
        policy = replace(make_policy(self.settings), **self._policy_changes)
        options: dict[str, Any] = {"clock": self.clock} | self.worker_options
        environment = Environment(lease_ms=self._lease_ms, policy=policy, **options)
        worker = Worker(self.settings, environment=environment)
        stop = asyncio.Event()
        self.workers.append(worker)
        self._stops.append(stop)
        self._running.append(asyncio.create_task(worker.run(stop)))
        return worker

    def hang_up_signal(self) -> None:
        """SIGHUP to webhooks and workers: they read the directory again."""
        self._directory.reload()
        for worker in self.workers:
            worker._directory.reload()

    async def stop_worker(self, index: int = 0) -> int:
        """Stops a worker as SIGTERM does; returns its exit code."""
        self._stops[index].set()
        return await self._running[index]

    async def _partitions_are_held(self) -> bool:
        return not self._worker_count or await self.all_held(commands=False)

    async def all_held(self, *, commands: bool = True) -> bool:
        """Whether every partition has a holder, and the router's task as well."""
        async with self.client.pipeline(transaction=False) as requests:
            for partition in range(self.keys.partitions):
                requests.hexists(self.keys.lease(partition), "holder")
            if commands:
                requests.hexists(self.keys.commands_lease, "holder")
            return all(await requests.execute())

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

    async def command(self, kind: str, session: str, timeout_s: float = DEADLINE_S, **fields: str) -> CommandOutcome:
        entry_id = await command_stream.publish(self.client, self.keys, {"type": kind, "session": session, **fields})
        command_id = fields.get("id", entry_id)
        async with asyncio.timeout(timeout_s):
            while True:
                # Some faults restart Redis meanwhile: the outcome is read from the one that is there then.
                with contextlib.suppress(StoreUnreachableError):
                    return await wait_for_outcome(self.client, self.keys, command_id, timeout_s)
                await asyncio.sleep(0.01)

    async def converted(self) -> tuple[CallHandle, CallHandle]:
        customer, agent = await self.talking()
        outcome = await self.command("convert", customer.sid)
        assert outcome.status == "done", outcome
        return customer, agent

    # ---- what is to be seen --------------------------------------------------------------------------------------

    async def session(self, session_id: str) -> dict[str, str]:
        stored = await self.client.hgetall(self.keys.session(session_id))
        if self._read.get(session_id, ({},))[0] != stored:  # tests poll: it is decoded once it has changed
            self._read[session_id] = stored, all_fields(stored)
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

    async def eventually(self, condition: Any, what: str, timeout_s: float = DEADLINE_S) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not await _holds(condition):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s} s: {what}\n{await self.report()}") from None

    async def report(self) -> str:
        """The world as it is, for failed tests."""
        lines = [repr(call) for call in self.sandbox.live_calls()]
        for partition in range(self.keys.partitions):
            live = await self.client.smembers(self.keys.live(partition))
            ended = await self.client.zrange(self.keys.ended(partition), 0, -1)
            for name in sorted({*live, *ended}):
                lines.append(str(await self.session(name.decode())))
                lines += [f"  {entry}" for entry in await self.log(name.decode())]
        lines += [
            f"{entry.method} {entry.path} {entry.status} {entry.fault}" for entry in self.sandbox.request_log.rest
        ]
        return "\n".join([*lines, process_reports.described()])

    async def sandbox_conference(self) -> Any:
        """The one conference that is live at the sandbox."""
        (conference,) = [
            conference
            for conference in self.sandbox.model.state.conferences.values()
            if conference.status != "completed"
        ]
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
        async with self.client.pipeline(transaction=False) as requests:
            requests.xlen(self.keys.commands)
            for partition in range(self.keys.partitions):
                requests.xlen(self.keys.events(partition))
                requests.hlen(self.keys.outbox(partition))
                if live:
                    requests.zcard(self.keys.timers(partition))
                    requests.scard(self.keys.live(partition))
            return sum(await requests.execute())

    def redirects_of(self, call: CallHandle) -> int:
        """How often Twilio was asked to give a call new TwiML (count)."""
        return sum(
            1
            for entry in self.sandbox.request_log.requests("POST", f"/Calls/{call.sid}")
            if entry.get("Twiml") and entry.applied
        )
