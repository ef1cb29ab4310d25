"""Start the demo's Redis, webhooks, workers, and console.

The sandbox runs in the demo's own process, so that stories play its phones directly.
"""

import shlex
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from conferral.check.workers import check_workers
from conferral.cli import output
from conferral.cli.command_line import own_command
from conferral.demo import characters
from conferral.operations.errors import CommandNotDoneError
from conferral.processes.common import require_free_port
from conferral.processes.redis_server import start_redis
from conferral.processes.subprocesses import HOST, START_S, Subprocess, Subprocesses, poll_until
from conferral.runtime import log
from conferral.runtime.errors import SettingsError, StoreError
from conferral.runtime.settings import ServiceSettings
from conferral.storage.connection.client import as_store_errors, make_client
from conferral.storage.keys import Keys
from conferral.storage.queries.live_workers import live_workers
from conferral.storage.queries.session_reader import SessionReader
from offhook import Retention, Sandbox

WEBHOOKS_PORT, SANDBOX_PORT, CONSOLE_PORT = PORTS = (8080, 8081, 8082)
PORT_ATTEMPTS_MAX = 100

#: An account SID that can't exist, and its token; the same in every demo.
ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "token-of-the-demo"  # noqa: S105  # no real account
API_KEY = "SK" + "0" * 32
API_SECRET = "secret-of-the-demo"  # noqa: S105  # no real account
#: The control API's token, fixed so that it can be printed: the demo listens on loopback only.
API_TOKEN = "api-token-of-the-demo"  # noqa: S105  # opens only a demo
APP_SID = "AP" + "0" * 32
PREFIX = "conferral"
PARTITIONS = 16
#: Two, so that one takes over when the other is killed.
WORKERS = ("worker-1", "worker-2")
#: What each process logs once it listens: another program might answer on its port.
READY = {"webhooks": "webhooks_listening", "console": "console_started"}
#: The demo's CONFERRAL_DIRECTORY.
DIRECTORY = f"""\
[destinations]
alice = "{characters.ALICE}"
bob = "{characters.BOB}"
carol = "{characters.CAROL}"
dave = "{characters.DAVE}"
"""


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """The demo's URLs, paths, and keys."""

    folder: Path
    redis_url: str
    webhooks_url: str
    sandbox_url: str
    console_url: str
    reader: SessionReader
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def console_sign_in_url(self) -> str:
        """The console's URL; browsers don't send the token in its fragment."""
        return f"{self.console_url}/#token={API_TOKEN}"


def choose_ports() -> tuple[int, ...]:
    """Return the default ports, or the next free ones, or raise."""
    chosen: list[int] = []
    for wanted in PORTS:
        # Reserve the default ports for their own services, so that one taken port doesn't shift the others.
        others = {*PORTS, *chosen} - {wanted}
        candidates = (port for port in range(wanted, wanted + PORT_ATTEMPTS_MAX) if port not in others)
        port = next(filter(is_free, candidates), 0)
        if not port:
            raise CommandNotDoneError(f"port {wanted} is taken, and so are the {PORT_ATTEMPTS_MAX} above it")
        if port != wanted:
            output.print_note(f"port {wanted} is taken; using {port}")
        chosen.append(port)
    return tuple(chosen)


def is_free(port: int) -> bool:
    """Whether this process can listen on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex((HOST, port)) == 0:
            return False
    try:
        require_free_port(HOST, port)
    except SettingsError:
        return False
    return True


def process_variables(redis_url: str, webhooks_url: str, sandbox_url: str) -> dict[str, str]:
    """Return every setting of a demo process; empty counts as unset."""
    variables = {str(field.validation_alias): "" for field in ServiceSettings.model_fields.values()}
    return variables | {
        "REDIS_URL": redis_url,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_API_KEY": API_KEY,
        "TWILIO_API_SECRET": API_SECRET,
        "TWILIO_NUMBER": characters.BUSINESS,
        "TWILIO_TWIML_APP_SID": APP_SID,
        "TWILIO_API_URL": sandbox_url,
        "CONFERRAL_PUBLIC_URL": webhooks_url,
        "CONFERRAL_AGENT": characters.ALICE,
        "CONFERRAL_DRAIN": "0",
        "CONFERRAL_API_TOKEN": API_TOKEN,
        "CONFERRAL_PREFIX": PREFIX,
        "CONFERRAL_PARTITIONS": str(PARTITIONS),
        "CONFERRAL_LOG_FORMAT": "console",
    }


async def start(children: Subprocesses, stack: AsyncExitStack) -> tuple[DemoEnvironment, Sandbox]:
    """Start everything; raise CommandNotDoneError if it isn't ready in time.

    Args:
        stack: Stops the sandbox; to be closed after the processes, which still use it.
    """
    ports = choose_ports()
    webhooks_url, sandbox_url, console_url = (f"http://{HOST}:{port}" for port in ports)
    output.print_note("starting Redis, a local Twilio, webhooks, two workers, and the console ...")
    redis, url = start_redis(children)
    reader = SessionReader(make_client(url), Keys(PREFIX, PARTITIONS))
    await _wait_until_ready([redis], {"Redis": lambda: _redis_answers(reader)})
    directory = children.folder / "directory.toml"
    directory.write_text(DIRECTORY)
    settings = process_variables(url, webhooks_url, sandbox_url) | {"CONFERRAL_DIRECTORY": str(directory)}
    stage = DemoEnvironment(children.folder, url, webhooks_url, sandbox_url, console_url, reader, settings)
    command_line = f"REDIS_URL={shlex.quote(url)} {own_command()}"  # for commands that the pages offer to copy
    log.configure("console", stack.enter_context((children.folder / "sandbox.log").open("a")), process="sandbox")
    sandbox = Sandbox(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        api_keys={API_KEY: API_SECRET},
        host=HOST,
        port=ports[1],
        console_url=stage.console_sign_in_url,
        command_line=command_line,
        retention=Retention(),
    )
    add_numbers(sandbox, webhooks_url)
    await stack.enter_async_context(sandbox)
    webhooks = _program("webhooks", "--port", str(ports[0]))
    console = _program("console", "--port", str(ports[2]), "--token-in-lines", "--command-line", command_line)
    started = [children.start("webhooks", webhooks, settings), children.start("console", console, settings)]
    checks = {child.name: partial(child.has_logged, READY[child.name]) for child in started}
    started += [children.start(name, _program("worker"), settings, is_restarted=True) for name in WORKERS]
    await _wait_until_ready(started, {**checks, "the workers": lambda: _all_workers_run(reader)})
    return stage, sandbox


def add_numbers(sandbox: Sandbox, webhooks_url: str) -> None:
    """Let calls to the business, and from browsers, reach the webhooks."""
    urls = {"voice_fallback_url": f"{webhooks_url}/voice/fallback", "status_callback": f"{webhooks_url}/voice/status"}
    sandbox.add_number(characters.BUSINESS, name="alice", voice_url=f"{webhooks_url}/voice/inbound", **urls)
    sandbox.add_application(APP_SID, voice_url=f"{webhooks_url}/voice/client", **urls)


def _program(*arguments: str) -> list[str]:
    # Run the interpreter, not the program's file: `-P` keeps the working directory out of Python's path.
    return [sys.executable, "-P", "-m", "conferral", *arguments]


async def _wait_until_ready(started: list[Subprocess], checks: Mapping[str, Callable[[], Awaitable[bool]]]) -> None:
    """Wait until all are ready, or raise CommandNotDoneError."""
    waiting = dict(checks)

    async def settled() -> bool:
        for name, is_ready in list(waiting.items()):
            if await is_ready():
                del waiting[name]
        return not waiting or any(child.has_ended for child in started)

    in_time = await poll_until(settled, START_S)
    for child in started:
        if child.has_ended:
            raise child.death_report()
    if not in_time:
        raise CommandNotDoneError(f"{', '.join(waiting)} did not get ready within {START_S:g} s")


async def _redis_answers(reader: SessionReader) -> bool:
    try:
        with as_store_errors():
            return bool(await reader.client.ping())
    except StoreError:
        return False


async def _all_workers_run(reader: SessionReader) -> bool:
    try:
        lines = await check_workers(reader)
    except StoreError:
        return False
    # Require balanced partitions, so that a worker killed in the first seconds is taken over, too.
    workers = await live_workers(reader.client, reader.keys)
    return all(line.status == "ok" for line in lines) and len(workers) == len(WORKERS)
