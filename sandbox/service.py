"""The complete sandbox: a runtime with an HTTP server on loopback."""

from __future__ import annotations

from contextlib import AsyncExitStack
from ipaddress import ip_address
from typing import Self

import structlog

from conferral.runtime.web.server import run_server
from conferral.sandbox.runtime import SandboxRuntime
from conferral.sandbox.server import make_app

log = structlog.get_logger()

#: How long requests in progress may take at shutdown, in seconds.
SHUTDOWN_S = 1.0


class Sandbox(SandboxRuntime):
    """A local Twilio on loopback; its arguments are those of `SandboxRuntime`.

    Use it as `async with Sandbox(...) as sandbox`.
    """

    _serving: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Afterwards, `port` and `url` are the actual ones.

        Raises:
            SettingsError: the port is taken.
            ValueError: the host isn't loopback; the control routes are unauthenticated.
        """
        if self.host != "localhost" and not ip_address(self.host).is_loopback:
            raise ValueError(f"the sandbox listens on loopback only, not on {self.host}")
        await self.open()
        self._serving = AsyncExitStack()
        self.port = await self._serving.enter_async_context(
            run_server(make_app(self), self.host, self.port, shutdown_s=SHUTDOWN_S)
        )
        log.info("sandbox_started", port=self.port)

    async def stop(self) -> None:
        """Stop listening, and drop pending deliveries."""
        await self.close()
        if self._serving is not None:
            await self._serving.aclose()
        log.info("sandbox_stopped", port=self.port)
