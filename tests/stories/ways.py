"""The four ways of giving a command: redis-cli, HTTP, the command line and the Python client."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, Protocol

import aiohttp
from aiohttp import web

from conferral import Client
from conferral.operations.errors import CommandError
from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.storage import commands
from conferral.storage.commands import ID_PATTERN
from conferral.storage.connection import make_client
from conferral.webhooks.api.api import add_api
from conferral.webhooks.api.turns import TURNS
from tests.api.kit import BEARER
from tests.api.kit import TOKEN as TOKEN
from tests.stories.test_redis_cli import redis_cli
from tests.support.command_line import CommandLine
from tests.support.world import DEADLINE_S, World

Fields = Mapping[str, str]


class Told(NamedTuple):
    """What whoever gave a command is told of it in the end."""

    status: str
    reason: str


class Way(Protocol):
    """One way of giving a command."""

    async def give(self, fields: Fields) -> Told:
        """Gives a command, fields as the stream has them, and waits until nothing more will come of it."""
        ...

    async def publish(self, fields: Fields) -> None:
        """Gives a command that is in order, and waits for nothing."""
        ...


class ByRedis:
    """`redis-cli XADD`, and a look at the hash."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def give(self, fields: Fields) -> Told:
        entry_id = await self._add(fields)
        named = fields.get("id", "")
        command_id = named if ID_PATTERN.fullmatch(named) else entry_id
        outcome = await commands.wait_for_outcome(self._world.client, self._world.keys, command_id, DEADLINE_S)
        return Told(outcome.status, outcome.reason)

    async def publish(self, fields: Fields) -> None:
        await self._add(fields)

    async def _add(self, fields: Fields) -> str:
        words = [word for pair in fields.items() for word in pair]
        return (await redis_cli(self._world, "XADD", self._world.keys.commands, "*", *words))[0]


class ByHttp:
    """The control API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """One request; returns status and JSON."""
        async with self.session.request(method, path, **options) as response:
            return response.status, await response.json()

    async def give(self, fields: Fields) -> Told:
        status, told = await self._post(fields, wait_s=DEADLINE_S)
        if status >= 400:
            assert status in (404, 409, 422), told
            return Told("rejected", told["error"]["reason"])
        return await self.outcome(told["command"]) if status == 202 else Told(told["status"], told["reason"])

    async def outcome(self, command_id: str) -> Told:
        """Asks until nothing more will come of it."""
        while True:
            _, told = await self.ask("GET", f"/commands/{command_id}")
            if told["status"] in ("done", "failed", "rejected"):
                return Told(told["status"], told["reason"])

    async def publish(self, fields: Fields) -> None:
        status, told = await self._post(fields)
        assert status == 202, told

    async def _post(self, fields: Fields, wait_s: float = 0) -> tuple[int, Any]:
        body = dict(fields)
        if fields["type"] == "call":
            del body["type"]
            return await self.ask("POST", "/sessions", json=body)
        session = body.pop("session")
        return await self.ask("POST", f"/sessions/{session}/commands?wait={wait_s}", json=body)


class ByCommandLine:
    """`conferral COMMAND SESSION --field value`."""

    def __init__(self, line: CommandLine) -> None:
        self._line = line

    async def give(self, fields: Fields) -> Told:
        code, out, err = await self._line.type(*typed(fields), "--json", "--wait", str(DEADLINE_S))
        if code == 0:
            told = json.loads(out)
            return Told(told["status"], told["reason"])
        error = json.loads(err)["error"]
        if code == 1:
            return Told(error["status"], error["reason"])
        # What is wrong with one argument is told behind the name that it has on the command line.
        found = re.fullmatch(r"Invalid value(?: for '(?:--)?(\w+)')?: (.*)", error["reason"], re.DOTALL)
        assert found is not None, error
        return Told("rejected", f"{found[1].lower()} {found[2]}" if found[1] else found[2])

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
    if kind != "call" and "session" in rest:
        arguments.append(rest.pop("session"))
    if rest.get("confirm") in ("true", "false"):
        arguments += ["--confirm"] if rest.pop("confirm") == "true" else []
    if kind in ("end", "remove"):
        arguments.append("--yes")
    for name, text in rest.items():
        arguments += ["--" + name.replace("_", "-"), text]
    return arguments


class ByClient:
    """The Python client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def give(self, fields: Fields) -> Told:
        try:
            command = await self._call(fields, timeout_s=DEADLINE_S)
        except CommandError as error:
            # A keyword that is called otherwise than its field is named in front.
            return Told(error.word, re.sub(r"^[a-z_]+: (?=timeout )", "", error.reason))
        return Told(command.status, command.reason)

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
        session = () if kind == "call" else (rest.pop("session"),)
        return await getattr(self._client, kind)(*session, **rest, **how)


WAYS = ("redis", "http", "line", "client")


@asynccontextmanager
async def api_of(world: World) -> AsyncIterator[ByHttp]:
    """The control API of a world."""
    store = make_client(world.redis_url, max_connections=TURNS)
    app = web.Application()
    add_api(app, world.settings, store, world.keys, Metrics(), SystemClock())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}", headers=BEARER) as session:
            yield ByHttp(session)
    finally:
        await runner.cleanup()
        await store.aclose()


@asynccontextmanager
async def every_way(world: World, *names: str) -> AsyncIterator[dict[str, Way]]:
    """These ways, or all, into a world that was given `TOKEN` as `CONFERRAL_API_TOKEN`."""
    wanted = names or WAYS
    found: dict[str, Way] = {"redis": ByRedis(world)}
    async with AsyncExitStack() as stack:
        if "http" in wanted:
            found["http"] = await stack.enter_async_context(api_of(world))
        if "line" in wanted:
            line = CommandLine(REDIS_URL=world.redis_url, CONFERRAL_PREFIX=world.keys.prefix)
            found["line"] = ByCommandLine(await stack.enter_async_context(line))
        if "client" in wanted:
            found["client"] = ByClient(await stack.enter_async_context(Client(world.redis_url, world.keys.prefix)))
        yield {name: found[name] for name in wanted}
