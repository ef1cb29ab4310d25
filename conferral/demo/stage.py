"""Sets the stage: a private Redis, the sandbox, webhooks, two workers, and the console, with settings of its own."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from conferral import output
from conferral.access import make_store_client
from conferral.checks.workers import alive, check_workers
from conferral.demo import cast, ports, programs
from conferral.demo.children import Child, Children
from conferral.demo.ports import Ports
from conferral.demo.waiting import until
from conferral.errors import NotDoneError
from conferral.operations.reader import Reader
from conferral.runtime.errors import StoreError
from conferral.runtime.settings import ServiceSettings
from conferral.storage.connection import store_errors
from conferral.storage.keys import Keys

#: How long everything may take to start, seconds; usually it takes one or two.
START_S = 30.0
#: How often other ports are tried when somebody is quicker (count).
ATTEMPTS = 5
SHIFTS = 500
#: What our processes say when they can't listen.
PORT_TAKEN = ("can't be had",)
Look = Callable[[], Awaitable[bool]]

#: An account that can't exist, and its token: the same in each demo.
ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "token-of-the-demo"  # noqa: S105  # of no account
#: Of the control API, fixed so that it can be printed: the demo listens on loopback only.
API_TOKEN = "api-token-of-the-demo"  # noqa: S105  # opens nothing but a demo
APP_SID = "AP" + "0" * 32
PREFIX = "conferral"
PARTITIONS = 16
#: Two, so that one takes over when the other is killed.
WORKERS = ("worker-1", "worker-2")


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is."""

    folder: Path
    redis_url: str
    redis_socket: Path
    webhooks_url: str
    sandbox_url: str
    console_url: str
    reader: Reader

    @property
    def console_signed_in(self) -> str:
        """The console's URL with the token, which the page takes out of the address bar and nobody is sent."""
        return f"{self.console_url}/#token={API_TOKEN}"


def choose_ports(shift: int = 0) -> Ports:
    """Ports of webhooks, sandbox and console; says so when they are not the usual ones.

    Args:
        shift: How far above the usual ones is looked first (count).

    Raises:
        NotDoneError: no port is free.
    """
    usual = asdict(Ports())
    chosen: dict[str, int] = {}
    for name, wanted in usual.items():
        # The usual ports are left to those whose they are, so that one taken port does not move the others.
        others = frozenset(usual.values()) - {wanted}
        port = ports.choose(wanted + shift, taken=others | frozenset(chosen.values()))
        if not port:
            raise NotDoneError(f"port {wanted} is taken, and so are the {ports.TRIED_MAX} above it")
        if port != wanted:
            output.note(f"port {wanted} is taken; using {port}")
        chosen[name] = port
    return Ports(**chosen)


def directory_of(survey_url: str) -> str:
    """The demo's directory: what holds for each of its numbers.

    Args:
        survey_url: With what customers of the survey's line go on.
    """
    return f"""
[inbound."{cast.WAITING_LINE}"]
agents = ["{cast.ALICE}", "{cast.BOB}"]
greeting = "{cast.GREETING}"

[inbound."{cast.RECORDED_LINE}"]
record = true

[inbound."{cast.SURVEY_LINE}"]
after = "{survey_url}"
"""


def settings_of(
    redis_url: str, webhooks_url: str, sandbox_url: str, changes: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Every setting that a process of the demo reads; those not needed are empty, which counts as not set.

    Args:
        redis_url: Where Redis is.
        webhooks_url: Where the webhooks are.
        sandbox_url: Where the local Twilio is.
        changes: What is set otherwise than usual.
    """
    variables = {str(field.validation_alias): "" for field in ServiceSettings.model_fields.values()}
    variables |= {
        "REDIS_URL": redis_url,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_NUMBER": cast.BUSINESS,
        "TWILIO_TWIML_APP_SID": APP_SID,
        "TWILIO_API_URL": sandbox_url,
        "CONFERRAL_PUBLIC_URL": webhooks_url,
        "CONFERRAL_AGENT": cast.ALICE,
        "CONFERRAL_API_TOKEN": API_TOKEN,
        "CONFERRAL_PREFIX": PREFIX,
        "CONFERRAL_PARTITIONS": str(PARTITIONS),
        "CONFERRAL_LOG_FORMAT": "console",
    }
    return variables | dict(changes or {})


async def set_up(children: Children, survey_url: str, changes: Mapping[str, str]) -> Stage:
    """Starts everything and waits until it is ready.

    Args:
        children: Where the processes live.
        survey_url: With what customers of the survey's line go on.
        changes: Settings that the story wants otherwise than usual.

    Raises:
        NotDoneError: there is no Redis, or something did not get ready in time, or died.
    """
    server = programs.find_redis_server()
    socket = children.folder / "redis.sock"
    url = f"unix://{socket}"
    directory = children.folder / "directory.toml"
    directory.write_text(directory_of(survey_url), "utf-8")
    changes = {"CONFERRAL_DIRECTORY": str(directory), **changes}
    output.note("starting Redis, a local Twilio, webhooks, two workers, and the console ...")
    redis = children.start("redis", _redis_command(server, socket, children.folder), {})
    reader = Reader(make_store_client(url), Keys(PREFIX, PARTITIONS))
    await _ready([redis], {"Redis": lambda: _answers(reader)})
    for attempt in range(1, ATTEMPTS + 1):
        # Two demos that take each other's ports away must not do so again and again: each goes its own way then.
        chosen = choose_ports(0 if attempt == 1 else attempt + os.getpid() % SHIFTS)
        stage = Stage(
            folder=children.folder,
            redis_url=url,
            redis_socket=socket,
            webhooks_url=f"http://{ports.HOST}:{chosen.webhooks}",
            sandbox_url=f"http://{ports.HOST}:{chosen.sandbox}",
            console_url=f"http://{ports.HOST}:{chosen.console}",
            reader=reader,
        )
        started = _start(children, stage, chosen, changes)
        try:
            await _ready(list(started.values()), _signs(started, reader))
        except NotDoneError:
            # Somebody else was quicker to listen, such as another demo: there are more ports.
            was_slow = any(child.has_said(words) for child in started.values() for words in PORT_TAKEN)
            if not was_slow or attempt == ATTEMPTS:
                raise
            await children.dismiss(list(started.values()))
        else:
            break
    return stage


def _start(children: Children, stage: Stage, chosen: Ports, changes: Mapping[str, str]) -> dict[str, Child]:
    variables = settings_of(stage.redis_url, stage.webhooks_url, stage.sandbox_url, changes)
    # By the interpreter and not by the program's file: `-P` keeps the folder that they run in out of Python's path.
    program = (sys.executable, "-P", "-m", "conferral")
    typed = ("--command-line", programs.command_line(stage.redis_url))
    commands = {
        "sandbox": ("sandbox", "--port", str(chosen.sandbox), "--console-url", stage.console_signed_in, *typed),
        "webhooks": ("webhooks", "--port", str(chosen.webhooks)),
        **dict.fromkeys(WORKERS, ("worker",)),
        "console": ("console", "--port", str(chosen.console), "--token-in-lines", *typed),
    }
    started = {name: children.start(name, (*program, *command), variables) for name, command in commands.items()}
    for name in WORKERS:
        started[name].is_kept = True
    return started


def _signs(started: Mapping[str, Child], reader: Reader) -> dict[str, Look]:
    """How each is seen to be ready. By its own log: on a port somebody else may answer."""

    def has_said(name: str, words: str) -> Look:
        async def look() -> bool:
            return started[name].has_said(words)

        return look

    return {
        "the sandbox": has_said("sandbox", "sandbox_started"),
        "the webhooks": has_said("webhooks", "webhooks_listening"),
        "the console": has_said("console", "console_started"),
        "the workers": lambda: _is_driven(reader),
    }


async def _ready(started: Sequence[Child], signs: Mapping[str, Look]) -> None:
    """Waits until all are ready; from then on their end is nobody's wish.

    Raises:
        NotDoneError: one has died, or they take too long.
    """
    waiting = dict(signs)

    async def settled() -> bool:
        for name, is_ready in list(waiting.items()):
            if await is_ready():
                del waiting[name]
        return not waiting or any(child.has_ended for child in started)

    in_time = await until(settled, START_S)
    for child in started:
        if child.has_ended:
            raise child.obituary()
    if not in_time:
        raise NotDoneError(f"{', '.join(waiting)} did not get ready within {START_S:g} s")
    for child in started:
        child.on_trial = False


def _redis_command(server: Path, socket: Path, folder: Path) -> list[str | Path]:
    return [
        server, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", folder,
        "--appendonly", "yes", "--save", "", "--loglevel", "notice",
    ]  # fmt: skip


async def _answers(reader: Reader) -> bool:
    try:
        with store_errors():
            return bool(await reader.client.ping())
    except StoreError:
        return False


async def _is_driven(reader: Reader) -> bool:
    try:
        lines = await check_workers(reader.client, reader.keys)
    except StoreError:
        return False
    # Each has its share from the start: a kill in the first seconds is taken over, too.
    return all(line.status == "ok" for line in lines) and len(await alive(reader.client, reader.keys)) == len(WORKERS)
