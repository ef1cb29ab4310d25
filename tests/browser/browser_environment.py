"""Everything that pages are pages of, in one process: a world with a console before it, and phones to be played."""

import asyncio
from pathlib import Path
from typing import Self

from conferral.console.app import ConsoleOptions, make_app
from conferral.runtime.clock import SystemClock
from conferral.runtime.settings import ConsoleSettings, load
from conferral.runtime.web.server import run_server
from conferral.statemachine.policy import Policy
from conferral.storage.connection.client import make_client
from conferral.telephony.token_file import TokenFile
from tests.support.local_system import AGENT, CUSTOMER, FAST, LocalSystem
from tests.support.people import DAVE
from tests.support.ports import free_port

#: With letters that mean something else in forms.
TOKEN = "token+of/the-browser-tests=="
#: As in production: a person plays, and the machine is busy with a browser. Nothing here waits for them.
UNHURRIED = {name: int(getattr(Policy(), name)) for name in FAST}


class Console:
    """A console on a port of its own, that can be stopped and started again there."""

    def __init__(
        self, redis_url: str, *, prefix: str = "conferral", read_only: bool = False, token_file: Path | None = None
    ) -> None:
        values = {"REDIS_URL": redis_url, "CONFERRAL_PREFIX": prefix, "CONFERRAL_API_TOKEN": TOKEN}
        self._settings = load(ConsoleSettings, values | ({"CONFERRAL_TOKENS": str(token_file)} if token_file else {}))
        self.tokens = TokenFile(self._settings.tokens, self._settings.api_token, dict)
        self._read_only = read_only
        self.port = free_port()
        self._serving: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def url(self) -> str:
        """With the token, as the command prints it."""
        return f"{self.address}#token={TOKEN}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._stop = asyncio.Event()
        opened = asyncio.Event()
        self._serving = asyncio.create_task(self._serve(opened))
        waiting = asyncio.create_task(opened.wait())
        await asyncio.wait({self._serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._serving.done():
            self._serving.result()

    async def _serve(self, opened: asyncio.Event) -> None:
        client = make_client(self._settings.redis_url)
        try:
            options = ConsoleOptions(read_only=self._read_only)
            app = make_app(self._settings, self.tokens, client, SystemClock(), options)
            async with run_server(app, "127.0.0.1", self.port, shutdown_s=3):
                opened.set()
                await self._stop.wait()
        finally:
            await client.aclose()

    async def stop(self) -> None:
        """Stops as SIGTERM does."""
        self._stop.set()
        if self._serving is not None:
            await self._serving
            self._serving = None


class BrowserEnvironment(LocalSystem):
    """A world whose phones are in people's hands, and a console."""

    def __init__(self, redis_url: str, *, read_only: bool = False, **settings: str) -> None:
        usual = {"CONFERRAL_CONVERT_TIMEOUT": 5, "CONFERRAL_LONE_GRACE": 2}
        super().__init__(redis_url, policy=UNHURRIED, **(usual | settings))
        self.console = Console(redis_url, read_only=read_only)
        self.sandbox.command_line = "conferral"

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        for address, name in ((CUSTOMER, "customer"), (AGENT, "alice"), (DAVE, "dave")):
            phone = self.sandbox.phone(address).script()  # rings until someone picks up
            phone.name = name
        await self.console.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.console.stop()
        await super().__aexit__(*error)

    @property
    def phones_url(self) -> str:
        return f"{self.sandbox.url}/"
