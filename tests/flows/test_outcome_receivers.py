"""The receiver of outcomes hangs while people talk: no call waits for it, and each outcome arrives later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from conferral.worker import outcomes as sender
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import LocalSystem

pytestmark = pytest.mark.redis
SECRET = f"whsec_{'A' * 32}"
#: More sessions than requests at a time.
WAITING = 3 * sender.REQUESTS_MAX
#: What a transfer may take longer than usual, seconds: far less than the 10 s of a request.
SLACK_S = 2.0


class HungReceiver:
    """Accepts connections and reads, but never answers."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.held = self.held_max = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._hold, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.held += 1
        self.held_max = max(self.held, self.held_max)
        while await reader.read(65536):
            pass
        self.held -= 1
        writer.close()


@asynccontextmanager
async def working_receiver(port: int, arrived: list[str]) -> AsyncIterator[None]:
    async def receive(request: web.Request) -> web.Response:
        arrived.append(request.headers["webhook-id"])
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/outcomes", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def transfer_duration_s(system: LocalSystem) -> float:
    """How long a completed consult takes, with its conversion."""
    customer, _agent = await system.talking()
    started_s = system.clock.monotonic_s()
    await system.done("transfer", customer.sid, to=TARGET, mode="consult")
    await system.done("complete", customer.sid)
    duration_s = system.clock.monotonic_s() - started_s
    await system.ended_by_command(customer.sid)
    return duration_s


async def test_no_call_waits_for_a_receiver_that_never_answers(redis_server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "RETRY_DELAYS_S", (0.2,) * 50)
    receiver, arrived = HungReceiver(), []
    async with receiver.serving() as port:
        url = {"CONFERRAL_OUTCOMES_URL": f"http://127.0.0.1:{port}/outcomes", "CONFERRAL_OUTCOMES_SECRET": SECRET}
        async with LocalSystem(redis_server.url, **url) as system:
            system.answered_by(TARGET)
            usual_s = await transfer_duration_s(system)
            for number in range(WAITING):
                fields = {"id": f"o{number}", "session": f"CS{number:032x}", "kind": "session", "result": "ended"}
                await system.client.xadd(system.keys.outcomes, fields)
            await system.eventually(lambda: receiver.held == sender.REQUESTS_MAX, "all requests wait")
            assert await transfer_duration_s(system) < usual_s + SLACK_S
            assert receiver.held_max == sender.REQUESTS_MAX
            written = {entry["id"] for entry in await system.outcomes()}
            assert len(written) == WAITING + 4
    async with working_receiver(port, arrived), LocalSystem(redis_server.url, **url) as system:
        await system.eventually(lambda: written <= {*arrived}, "every outcome arrives")
