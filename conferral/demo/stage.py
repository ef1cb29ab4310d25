"""Sets the stage: a private Redis, the sandbox, the webhooks and a worker, with settings that are nobody's."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from conferral import output
from conferral.access import Reader, make_store_client
from conferral.checks.workers import check_workers
from conferral.demo import ports, programs
from conferral.demo.children import Children
from conferral.demo.waiting import until
from conferral.errors import NotDoneError
from runtime.errors import StoreError
from runtime.settings import ServiceSettings
from streams.connection import store_errors
from streams.keys import Keys

#: How long everything may take to start, seconds; usually it takes one or two.
START_S = 30.0

#: An account that can't exist, and its token: the same in each demo.
ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "token-of-the-demo"  # noqa: S105  # of no account
#: Numbers reserved for fiction. Source: North American Numbering Plan, 555-0100 to 555-0199.
BUSINESS = "+14155550100"
CUSTOMER = "+14155550123"
OTHER_CUSTOMER = "+14155550142"
AGENT = "client:alice"
PREFIX = "conferral"
PARTITIONS = 16


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is."""

    folder: Path
    redis_url: str
    redis_socket: Path
    webhooks_url: str
    sandbox_url: str
    reader: Reader


def choose_ports() -> tuple[int, int]:
    """Ports of webhooks and sandbox; says so when they are not the usual ones.

    Raises:
        NotDoneError: no port is free.
    """
    chosen: list[int] = []
    usual = (ports.WEBHOOKS_PORT, ports.SANDBOX_PORT)
    for wanted in usual:
        # The usual ports are left to those whose they are, so that one taken port does not move the other.
        others = frozenset(usual) - {wanted}
        port = ports.choose(wanted, taken=others | frozenset(chosen))
        if not port:
            raise NotDoneError(f"port {wanted} is taken, and so are the {ports.TRIED_MAX} above it")
        if port != wanted:
            output.note(f"port {wanted} is taken; using {port}")
        chosen.append(port)
    return chosen[0], chosen[1]


def settings_of(redis_url: str, webhooks_url: str, sandbox_url: str) -> dict[str, str]:
    """Every setting that a process of the demo reads; those not needed are empty, which counts as not set."""
    variables = {str(field.validation_alias): "" for field in ServiceSettings.model_fields.values()}
    variables |= {
        "REDIS_URL": redis_url,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_NUMBER": BUSINESS,
        "TWILIO_API_URL": sandbox_url,
        "CONFERRAL_PUBLIC_URL": webhooks_url,
        "CONFERRAL_AGENT": AGENT,
        "CONFERRAL_PREFIX": PREFIX,
        "CONFERRAL_PARTITIONS": str(PARTITIONS),
        "CONFERRAL_LOG_FORMAT": "console",
    }
    return variables


async def set_up(children: Children, http: aiohttp.ClientSession) -> Stage:
    """Starts everything and waits until it is ready.

    Raises:
        NotDoneError: there is no Redis, or something did not get ready in time.
    """
    server = programs.find_redis_server()
    webhooks_port, sandbox_port = choose_ports()
    output.note("starting Redis, a local Twilio, the webhooks and a worker ...")
    socket = children.folder / "redis.sock"
    children.start("redis", _redis_command(server, socket, children.folder), {})
    client = make_store_client(f"unix://{socket}")
    stage = Stage(
        folder=children.folder,
        redis_url=f"unix://{socket}",
        redis_socket=socket,
        webhooks_url=f"http://{ports.HOST}:{webhooks_port}",
        sandbox_url=f"http://{ports.HOST}:{sandbox_port}",
        reader=Reader(client, Keys(PREFIX, PARTITIONS)),
    )
    await _until("Redis", lambda: _answers(stage))
    variables = settings_of(stage.redis_url, stage.webhooks_url, stage.sandbox_url)
    program = (sys.executable, "-P", "-m", "conferral")
    children.start("sandbox", (*program, "sandbox", "--port", str(sandbox_port)), variables)
    children.start("webhooks", (*program, "webhooks", "--port", str(webhooks_port)), variables)
    children.start("worker", (*program, "worker"), variables)
    await asyncio.gather(
        _until("sandbox", lambda: _serves(http, f"{stage.sandbox_url}/sandbox/calls")),
        _until("webhooks", lambda: _serves(http, f"{stage.webhooks_url}/readyz")),
        _until("worker", lambda: _is_driven(stage)),
    )
    return stage


def _redis_command(server: Path, socket: Path, folder: Path) -> list[str | Path]:
    return [
        server, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", folder,
        "--appendonly", "yes", "--save", "", "--loglevel", "notice",
    ]  # fmt: skip


async def _until(name: str, is_ready: Callable[[], Awaitable[bool]]) -> None:
    if not await until(is_ready, START_S):
        raise NotDoneError(f"{name} was not ready within {START_S:g} s")


async def _answers(stage: Stage) -> bool:
    try:
        with store_errors():
            return bool(await stage.reader.client.ping())
    except StoreError:
        return False


async def _serves(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def _is_driven(stage: Stage) -> bool:
    try:
        lines = await check_workers(stage.reader.client, stage.reader.keys)
    except StoreError:
        return False
    return all(line.status == "ok" for line in lines)
