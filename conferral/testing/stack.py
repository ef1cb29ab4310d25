"""Redis, the sandbox, webhooks, and one worker, for one test at a time.

Redis and a thread live as long as the tests; webhooks and worker are started in it for each, with keys of their own.
"""

import asyncio
import base64
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from conferral.processes.redis_server import start_redis
from conferral.processes.services import run_webhooks
from conferral.processes.subprocesses import HOST, START_S, Subprocesses, poll_until
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import Draining
from conferral.runtime.settings import ServiceSettings, load
from conferral.storage.connection.client import as_store_errors, make_client, run_or_raise
from conferral.storage.coordinator import ROUTER, read_owners
from conferral.storage.keys import Keys
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.token_file import TokenFile
from conferral.testing.app_server import AppAddress, free_port
from conferral.testing.desk import Desk, Desks
from conferral.testing.outcomes import DeliveredOutcomes
from conferral.worker.process import Worker
from offhook import NUMBER, CallHandle
from offhook.testing import TwilioSandbox
from offhook.testing.app_server import App
from offhook.testing.served import LoopThread

API_TOKEN = "api-token-of-the-tests"  # noqa: S105  # opens only a test
AGENT = "client:alice"
CALLER = "+12025550123"
STOP_S = 15.0


@dataclass(frozen=True, slots=True)
class ConferralStack:
    """All of Conferral on this machine, for one test."""

    url: str  #: Of the webhooks and the control API: `url + "/voice/handoff"`.
    redis_url: str  #: For `conferral.Client`.
    prefix: str  #: `CONFERRAL_PREFIX`, also for `conferral.Client`.
    api_token: str  #: Of the control API.
    sandbox: TwilioSandbox  #: The same as `twilio_sandbox`.
    outcomes: DeliveredOutcomes  #: Those delivered so far.
    _app: AppAddress = field(repr=False)
    _desks: Desks = field(repr=False)
    number: str = NUMBER  #: Whose calls arrive at the webhooks, unless `call` gets another URL.
    agent: str = AGENT  #: `CONFERRAL_AGENT`.

    @property
    def app_url(self) -> str:
        """Your app's URL, on a free port; callers may return to it."""
        return self._app.url

    def serve(self, app: App) -> None:
        """Serve your app (WSGI or ASGI) at `app_url` until the test ends."""
        self._app.serve(app)

    def call(self, path: str = "", *, from_: str = CALLER) -> CallHandle:
        """Call the number; with a path, your app answers there."""
        return self.sandbox.phones[from_].call(self.number, url=self.app_url + path if path else "")

    def desk(self, identity: str) -> Desk:
        """Return the desk of an agent, `client:IDENTITY`, who is ready."""
        return self._desks.open(identity)


class StackServer:
    """Redis, and the thread of webhooks and workers."""

    def __init__(self) -> None:
        """Start Redis; raise CommandNotDoneError if there is none."""
        with ExitStack() as until_ready:
            children = until_ready.enter_context(Subprocesses())
            redis, self.redis_url = start_redis(children)
            self._thread = LoopThread("conferral")
            until_ready.callback(self._thread.end)
            self._thread.wait(self._redis_answers(redis.death_report), START_S)
            self._until_end = until_ready.pop_all()

    def end(self) -> None:
        """Stop them."""
        self._until_end.close()

    async def _redis_answers(self, death_report: Callable[[], Exception]) -> None:
        client = make_client(self.redis_url)

        async def answers() -> bool:
            try:
                with as_store_errors():
                    return bool(await client.ping())
            except StoreError:
                return False

        is_there = await poll_until(answers, START_S)
        await client.aclose()
        if not is_there:
            raise death_report()

    @contextmanager
    def stack(self, sandbox: TwilioSandbox, changes: Mapping[str, str]) -> Iterator[ConferralStack]:
        """Run webhooks and a worker; ValueError, SettingsError: it can't."""
        known = {str(it.validation_alias) for it in ServiceSettings.model_fields.values()}
        if unknown := changes.keys() - known:
            raise ValueError(f"no setting has the name {min(unknown)!r}")
        if sandbox.run(lambda it: it.clock) == "virtual":
            raise ValueError("the sandbox has clock='virtual', but Conferral acts on timers of its own, in real time")
        with AppAddress() as app, AppAddress() as receiver:
            port = free_port()
            url, prefix = f"http://{HOST}:{port}", f"test-{secrets.token_hex(4)}"
            values = {
                "TWILIO_ACCOUNT_SID": sandbox.account_sid,
                "TWILIO_AUTH_TOKEN": sandbox.auth_token,
                "TWILIO_API_URL": sandbox.url,
                "TWILIO_NUMBER": NUMBER,
                "CONFERRAL_PUBLIC_URL": url,
                "CONFERRAL_AGENT": AGENT,
                "CONFERRAL_API_TOKEN": API_TOKEN,
                "CONFERRAL_RETURN_URLS": app.url,
                "CONFERRAL_OUTCOMES_URL": receiver.url,
                "CONFERRAL_OUTCOMES_SECRET": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
                "CONFERRAL_PARTITIONS": "2",
                "CONFERRAL_PREFIX": prefix,
                "CONFERRAL_DRAIN": "0",
                "REDIS_URL": self.redis_url,
                **changes,
            }
            settings = load(ServiceSettings, values)
            outcomes = DeliveredOutcomes(values["CONFERRAL_OUTCOMES_SECRET"].partition(" ")[0])
            receiver.serve(outcomes.receive)
            sandbox.run(lambda it: it.set_clock("running"))  # workers have timers of their own
            others = {"voice_fallback_url": f"{url}/voice/fallback", "status_callback": f"{url}/voice/status"}
            sandbox.add_number(NUMBER, voice_url=f"{url}/voice/inbound", **others)
            services = _Services(settings, port)
            self._thread.wait(services.start(), START_S)
            desks = Desks(url, values["CONFERRAL_API_TOKEN"], sandbox, self._thread)
            try:
                yield ConferralStack(
                    url,
                    self.redis_url,
                    settings.prefix,
                    values["CONFERRAL_API_TOKEN"],
                    sandbox,
                    outcomes,
                    app,
                    desks,
                    agent=settings.agent or "",
                )
            finally:
                desks.close()
                self._thread.wait(services.stop(), STOP_S)


class _Services:
    """Webhooks and one worker, in one event loop."""

    def __init__(self, settings: ServiceSettings, port: int) -> None:
        self._settings = settings
        self._port = port
        self._stop = asyncio.Event()
        self._running: list[asyncio.Task[int]] = []

    async def start(self) -> None:
        """Start both, and wait until they are ready."""
        settings = self._settings
        directory = DirectoryFile(settings)
        tokens = TokenFile(settings.tokens, settings.api_token, lambda: directory.current.destinations)
        webhooks = run_webhooks(settings, directory, tokens, HOST, self._port, self._stop, Draining(0))
        self._running = [
            asyncio.create_task(it) for it in (webhooks, Worker(settings, directory=directory).run(self._stop))
        ]
        client, keys = make_client(settings.redis_url), Keys(settings.prefix, settings.partitions)
        leases = [("HEXISTS", keys.lease(partition), "holder") for partition in range(keys.partitions)]

        async def is_ready() -> bool:
            for task in self._running:
                if task.done():
                    task.result()
                    raise RuntimeError("webhooks or worker ended at once; see the log")
            is_held = all(await run_or_raise(client, *leases)) and (await read_owners(client, keys))[ROUTER].name
            return bool(is_held) and await _listens(self._port)

        is_in_time = await poll_until(is_ready, START_S)
        await client.aclose()
        if not is_in_time:
            raise TimeoutError(f"webhooks and worker did not get ready within {START_S:g} s")

    async def stop(self) -> None:
        """Stop both."""
        self._stop.set()
        await asyncio.gather(*self._running)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
