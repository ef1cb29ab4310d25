"""Start the demo's Redis, sandbox, webhooks, workers, and console."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from conferral import output
from conferral.check.workers import check_workers
from conferral.cli.redis_access import make_redis_client
from conferral.demo import characters, ports, programs
from conferral.demo.polling import poll_until
from conferral.demo.ports import Ports
from conferral.demo.subprocesses import Subprocess, Subprocesses
from conferral.errors import CommandNotDoneError
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.errors import StoreError
from conferral.runtime.settings import ServiceSettings
from conferral.storage.connection.client import store_errors
from conferral.storage.keys import Keys
from conferral.storage.queries.live_workers import live_workers

#: Timeout for the whole startup, which takes one or two seconds, a minute on a busy machine.
START_S = 90.0
ATTEMPTS = 5
PORT_SHIFTS = 500
#: What Conferral's processes log when they can't listen.
PORT_IN_USE = ("is unavailable",)
ReadyCheck = Callable[[], Awaitable[bool]]

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


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """The demo's URLs, paths, and keys."""

    folder: Path
    redis_url: str
    webhooks_url: str
    sandbox_url: str
    console_url: str
    reader: SessionQueries
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def console_signed_in(self) -> str:
        """The console's URL; browsers don't send the token in its fragment."""
        return f"{self.console_url}/#token={API_TOKEN}"


def choose_ports(shift: int = 0) -> Ports:
    """Choose free ports from the defaults plus `shift` on, or raise."""
    usual = asdict(Ports())
    chosen: dict[str, int] = {}
    for name, wanted in usual.items():
        # Reserve the default ports for their own services, so that one taken port doesn't shift the others.
        port = ports.choose(wanted + shift, taken=frozenset(usual.values()) - {wanted} | frozenset(chosen.values()))
        if not port:
            raise CommandNotDoneError(f"port {wanted} is taken, and so are the {ports.ATTEMPTS_MAX} above it")
        if port != wanted:
            output.print_note(f"port {wanted} is taken; using {port}")
        chosen[name] = port
    return Ports(**chosen)


def directory_of(survey_url: str) -> str:
    """Return the demo's directory: the configuration of each of its numbers."""
    return f"""
[inbound."{characters.WAITING_LINE}"]
agents = ["{characters.ALICE}", "{characters.BOB}"]
greeting = "{characters.GREETING}"

[inbound."{characters.RECORDED_LINE}"]
record = true

[inbound."{characters.AFTER_CALL_LINE}"]
after = "{survey_url}"
"""


def settings_of(
    redis_url: str, webhooks_url: str, sandbox_url: str, changes: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return every setting of a demo process; empty counts as unset."""
    variables = {str(field.validation_alias): "" for field in ServiceSettings.model_fields.values()}
    variables |= {
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
    return variables | dict(changes or {})


async def start(children: Subprocesses, survey_url: str, changes: Mapping[str, str]) -> DemoEnvironment:
    """Start everything; raise CommandNotDoneError if it isn't ready in time."""
    server = programs.find_redis_server()
    socket = children.folder / "redis.sock"
    url = f"unix://{socket}"
    directory = children.folder / "directory.toml"
    directory.write_text(directory_of(survey_url), "utf-8")
    changes = {"CONFERRAL_DIRECTORY": str(directory), **changes}
    output.print_note("starting Redis, a local Twilio, webhooks, two workers, and the console ...")
    redis = children.start("redis", _redis_command(server, socket, children.folder), {})
    reader = SessionQueries(make_redis_client(url), Keys(PREFIX, PARTITIONS))
    await _wait_until_ready([redis], {"Redis": lambda: _redis_answers(reader)})
    for attempt in range(1, ATTEMPTS + 1):
        # After a collision, two demos must not collide again: each continues at a different offset.
        chosen = choose_ports(0 if attempt == 1 else attempt + os.getpid() % PORT_SHIFTS)
        webhooks_url, sandbox_url = (f"http://{ports.HOST}:{port}" for port in (chosen.webhooks, chosen.sandbox))
        stage = DemoEnvironment(
            folder=children.folder,
            redis_url=url,
            webhooks_url=webhooks_url,
            sandbox_url=sandbox_url,
            console_url=f"http://{ports.HOST}:{chosen.console}",
            reader=reader,
            settings=settings_of(url, webhooks_url, sandbox_url, changes),
        )
        started = _start_processes(children, stage, chosen)
        try:
            await _wait_until_ready(list(started.values()), _ready_checks(started, reader))
        except CommandNotDoneError:
            # Another program, such as a second demo, took a port first: try other ports.
            is_port_taken = any(child.has_logged(words) for child in started.values() for words in PORT_IN_USE)
            if not is_port_taken or attempt == ATTEMPTS:
                raise
            await children.stop_some(list(started.values()))
        else:
            break
    return stage


def _start_processes(children: Subprocesses, stage: DemoEnvironment, chosen: Ports) -> dict[str, Subprocess]:
    variables = stage.settings
    # Run the interpreter, not the program's file: `-P` keeps the working directory out of Python's path.
    program = (sys.executable, "-P", "-m", "conferral")
    command_line = ("--command-line", programs.command_line(stage.redis_url))
    commands = {
        "sandbox": ("sandbox", "--port", str(chosen.sandbox), "--console-url", stage.console_signed_in, *command_line),
        "webhooks": ("webhooks", "--port", str(chosen.webhooks)),
        **dict.fromkeys(WORKERS, ("worker",)),
        "console": ("console", "--port", str(chosen.console), "--token-in-lines", *command_line),
    }
    started = {name: children.start(name, (*program, *command), variables) for name, command in commands.items()}
    for name in WORKERS:
        started[name].is_restarted = True
    return started


def _ready_checks(started: Mapping[str, Subprocess], reader: SessionQueries) -> dict[str, ReadyCheck]:
    """Return readiness checks that read the log: ports may be others'."""

    def log_contains(name: str, words: str) -> ReadyCheck:
        async def check() -> bool:
            return started[name].has_logged(words)

        return check

    return {
        "the sandbox": log_contains("sandbox", "sandbox_started"),
        "the webhooks": log_contains("webhooks", "webhooks_listening"),
        "the console": log_contains("console", "console_started"),
        "the workers": lambda: _all_workers_run(reader),
    }


async def _wait_until_ready(started: Sequence[Subprocess], checks: Mapping[str, ReadyCheck]) -> None:
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
    for child in started:
        child.is_starting = False


def _redis_command(server: Path, socket: Path, folder: Path) -> list[str | Path]:
    return [
        server, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", folder,
        "--appendonly", "yes", "--save", "", "--loglevel", "notice",
    ]  # fmt: skip


async def _redis_answers(reader: SessionQueries) -> bool:
    try:
        with store_errors():
            return bool(await reader.client.ping())
    except StoreError:
        return False


async def _all_workers_run(reader: SessionQueries) -> bool:
    try:
        lines = await check_workers(reader.client, reader.keys)
    except StoreError:
        return False
    # Require balanced partitions, so that a worker killed in the first seconds is taken over, too.
    workers = await live_workers(reader.client, reader.keys)
    return all(line.status == "ok" for line in lines) and len(workers) == len(WORKERS)
