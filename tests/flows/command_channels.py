"""The four ways of sending a command: redis-cli, HTTP, the command line and the Python client."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, Protocol

import aiohttp
from aiohttp import web

from conferral import Client
from conferral.operations.errors import CommandError
from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events.commands import COMMANDS
from conferral.statemachine.ids import ID_PATTERN
from conferral.storage.connection.client import make_client
from conferral.webhooks.api.app import CONCURRENT_MAX, add_api
from tests.support.command_line import CommandLine
from tests.support.command_results import wait_for_result
from tests.support.local_system import DEADLINE_S, LocalSystem
from tests.support.redis_server import BUNDLED
from tests.webhooks.api.api_helpers import BEARER
from tests.webhooks.api.api_helpers import TOKEN as TOKEN

Fields = Mapping[str, str]
REDIS_CLI = shutil.which("redis-cli") or str(BUNDLED.with_name("redis-cli"))
#: Commands that begin a session.
OPENING = {command.name for command in COMMANDS if command.opens_session}


class ReportedOutcome(NamedTuple):
    """The final outcome of a command, as its sender sees it."""

    status: str
    reason: str


class CommandChannel(Protocol):
    """One way of sending a command."""

    async def give(self, fields: Fields) -> ReportedOutcome:
        """Gives a command, fields as the stream has them, and waits for its final status."""
        ...

    async def publish(self, fields: Fields) -> None:
        """Gives a command that is in order, and waits for nothing."""
        ...


async def redis_cli(system: LocalSystem, *arguments: str) -> list[str]:
    """Lines that the real redis-cli prints."""
    socket = system.redis_url.removeprefix("unix://")
    process = await asyncio.create_subprocess_exec(
        REDIS_CLI, "-s", socket, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode().splitlines()


class RedisChannel:
    """`redis-cli XADD`, then `HGETALL` of the command's hash."""

    def __init__(self, system: LocalSystem) -> None:
        self._world = system

    async def give(self, fields: Fields) -> ReportedOutcome:
        entry_id = await self._add(fields)
        named = fields.get("id", "")
        command_id = named if ID_PATTERN.fullmatch(named) else entry_id
        outcome = await wait_for_result(self._world.client, self._world.keys, command_id, DEADLINE_S)
        return ReportedOutcome(outcome.status, outcome.reason)

    async def publish(self, fields: Fields) -> None:
        await self._add(fields)

    async def _add(self, fields: Fields) -> str:
        words = [word for pair in fields.items() for word in pair]
        return (await redis_cli(self._world, "XADD", self._world.keys.commands, "*", *words))[0]


class HttpChannel:
    """The control API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """One request; returns status and JSON."""
        async with self.session.request(method, path, **options) as response:
            return response.status, await response.json()

    async def give(self, fields: Fields) -> ReportedOutcome:
        status, answer = await self._post(fields, wait_s=DEADLINE_S)
        if status >= 400:
            assert status in (404, 409, 422), answer
            return ReportedOutcome("rejected", answer["error"]["reason"])
        return (
            await self.outcome(answer["command"])
            if status == 202
            else ReportedOutcome(answer["status"], answer["reason"])
        )

    async def outcome(self, command_id: str) -> ReportedOutcome:
        """Polls until the status is final."""
        while True:
            _, reported = await self.ask("GET", f"/commands/{command_id}")
            if reported["status"] in ("done", "failed", "rejected"):
                return ReportedOutcome(reported["status"], reported["reason"])

    async def publish(self, fields: Fields) -> None:
        status, body = await self._post(fields)
        assert status == 202, body

    async def _post(self, fields: Fields, wait_s: float = 0) -> tuple[int, Any]:
        body = dict(fields)
        if fields["type"] in OPENING:
            if fields["type"] == "call":
                del body["type"]  # the default
            return await self.ask("POST", "/sessions", json=body)
        session = body.pop("session")
        return await self.ask("POST", f"/sessions/{session}/commands?wait={wait_s}", json=body)


class CliChannel:
    """`conferral COMMAND SESSION --field value`."""

    def __init__(self, line: CommandLine) -> None:
        self._line = line

    async def give(self, fields: Fields) -> ReportedOutcome:
        code, out, err = await self._line.type(*typed(fields), "--json", "--wait", str(DEADLINE_S))
        if code == 0:
            shown = json.loads(out)
            return ReportedOutcome(shown["status"], shown["reason"])
        error = json.loads(err)["error"]
        if code == 1:
            return ReportedOutcome(error["status"], error["reason"])
        # An error in one argument is reported under its name on the command line.
        found = re.fullmatch(r"Invalid value(?: for '(?:--)?(\w+)')?: (.*)", error["reason"], re.DOTALL)
        assert found is not None, error
        return ReportedOutcome("rejected", f"{found[1].lower()} {found[2]}" if found[1] else found[2])

    async def publish(self, fields: Fields) -> None:
        code, _, err = await self.type(*typed(fields), "--no-wait")
        assert code == 0, err

    async def type(self, *arguments: str) -> tuple[int, str, str]:
        """What is typed as it stands; returns exit code, output and errors."""
        return await self._line.type(*arguments)


def typed(fields: Fields) -> list[str]:
    """A command as it is typed."""
    rest = dict(fields)
    kind = rest.pop("type")
    arguments = [kind]
    if kind not in OPENING and "session" in rest:
        arguments.append(rest.pop("session"))
    if kind in ("end", "remove"):
        arguments.append("--yes")
    for name, text in rest.items():
        arguments += ["--" + name.replace("_", "-"), text]
    return arguments


class ClientChannel:
    """The Python client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def give(self, fields: Fields) -> ReportedOutcome:
        try:
            command = await self._call(fields, timeout_s=DEADLINE_S)
        except CommandError as error:
            # A keyword that is called otherwise than its field is named in front.
            return ReportedOutcome(error.outcome_word, re.sub(r"^[a-z_]+: (?=timeout )", "", error.reason))
        return ReportedOutcome(command.status, command.reason)

    async def publish(self, fields: Fields) -> None:
        await self._call(fields, wait=False)

    async def _call(self, fields: Fields, **how: Any) -> Any:
        rest: dict[str, Any] = dict(fields)
        kind = rest.pop("type")
        if "confirm" in rest:
            rest["confirm"] = {"true": True, "false": False}.get(rest["confirm"], rest["confirm"])
        if "timeout" in rest:
            timeout = rest.pop("timeout")
            rest["ring_timeout_s"] = int(timeout) if timeout.isdecimal() else timeout
        session = () if kind in OPENING else (rest.pop("session"),)
        return await getattr(self._client, kind)(*session, **rest, **how)


WAYS = ("redis", "http", "line", "client")


@asynccontextmanager
async def api_of(system: LocalSystem, headers: Mapping[str, str] = BEARER) -> AsyncIterator[HttpChannel]:
    """The control API of a world, asked with these headers."""
    store = make_client(system.redis_url, max_connections=2 * CONCURRENT_MAX)
    app = web.Application()
    add_api(app, system.settings, store, system.keys, Metrics(), SystemClock())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}", headers=headers) as session:
            yield HttpChannel(session)
    finally:
        await runner.cleanup()
        await store.aclose()


@asynccontextmanager
async def every_channel(system: LocalSystem, *names: str) -> AsyncIterator[dict[str, CommandChannel]]:
    """These ways, or all, into a world that was given `TOKEN` as `CONFERRAL_API_TOKEN`."""
    wanted = names or WAYS
    found: dict[str, CommandChannel] = {"redis": RedisChannel(system)}
    async with AsyncExitStack() as stack:
        if "http" in wanted:
            found["http"] = await stack.enter_async_context(api_of(system))
        if "line" in wanted:
            line = CommandLine(REDIS_URL=system.redis_url, CONFERRAL_PREFIX=system.keys.prefix)
            found["line"] = CliChannel(await stack.enter_async_context(line))
        if "client" in wanted:
            found["client"] = ClientChannel(
                await stack.enter_async_context(Client(system.redis_url, system.keys.prefix))
            )
        yield {name: found[name] for name in wanted}
