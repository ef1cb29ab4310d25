"""The measured processes: Conferral's, and for each a floor that does the minimum.

Run as `python -m benchmarks.support.processes KIND ORDER`; `usage.py` answers the lines on standard input.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.support.settings import ACCOUNT_SID, ENVIRON, KEYS
from benchmarks.support.usage import Usage
from conferral.runtime import lifecycle, log
from conferral.runtime.clock import SystemClock
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings, load
from conferral.storage import config
from conferral.storage.connection.client import BLOCK_MS, make_client
from conferral.storage.ingest.writer import BatchingIngest
from conferral.webhooks.app import make_app
from conferral.webhooks.server import serve
from conferral.worker.consumer.partition_consumer import BATCH_MAX
from conferral.worker.environment import Environment
from conferral.worker.process import Worker

_usage = Usage()
Work = Callable[[asyncio.Event, dict[str, Any]], Awaitable[int]]


class SteppedClock(SystemClock):
    """The machine's clocks, with a wall clock that the benchmark can step."""

    def __init__(self) -> None:
        self._ahead_ms = 0
        _usage.handle("step", self._step)

    def _step(self, by_s: float) -> None:
        self._ahead_ms += round(by_s * 1000)

    def wall_ms(self) -> int:
        """Return Unix milliseconds of a clock that was stepped."""
        return super().wall_ms() + self._ahead_ms


class NobodyAsks:
    """A stub: the benchmark's callbacks need no reads from Twilio."""

    async def child_status(self, parent_call_sid: str, child_call_sid: str = "") -> str | None:
        """See `telephony.twilio_queries.TwilioQueries`."""
        raise AssertionError(parent_call_sid, child_call_sid)

    async def is_alone(self, conference_sid: str, call_sid: str) -> bool:
        """See `telephony.twilio_queries.TwilioQueries`."""
        raise AssertionError(conference_sid, call_sid)


# ---- webhooks ----------------------------------------------------------------------------------------------------


async def webhooks(stop: asyncio.Event, order: dict[str, Any]) -> int:
    """Run the webhooks as in production, with Redis."""
    settings = load(ServiceSettings, ENVIRON | order.get("settings", {}))
    clock, metrics = SystemClock(), Metrics()
    client = make_client(order["redis_url"])
    publisher = BatchingIngest(client, KEYS, clock, metrics=metrics)
    # As if Redis had been up for more than a minute; before that, every callback rewrites the call index.
    await publisher._server._check()
    publisher._server._changed_at_s = None
    watching = asyncio.ensure_future(publisher.watch_server(stop))
    app = make_app(settings, publisher, NobodyAsks(), metrics, clock)
    serving = asyncio.ensure_future(serve(app, "127.0.0.1", order["port"], stop, metrics))
    await _accepts(order["port"])
    _usage.serve(stop)
    await serving
    await publisher.close()
    await watching
    await client.aclose()
    return 0


async def _accepts(port: int) -> None:
    """Wait until a port accepts connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


async def bare(stop: asyncio.Event, order: dict[str, Any]) -> int:
    """An aiohttp handler that does nothing."""

    async def nothing(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/callbacks/call", nothing)
    return await _serve(app, order["port"], stop)


async def _serve(app: web.Application, port: int, stop: asyncio.Event) -> int:
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75.0, auto_decompress=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    _usage.serve(stop)
    await stop.wait()
    await runner.cleanup()
    return 0


# ---- worker ------------------------------------------------------------------------------------------------------


async def worker(stop: asyncio.Event, order: dict[str, Any]) -> int:
    """Run one worker as in production; records when its first batch started and its last batch ended."""

    async def note(point: str, _partition: int) -> None:
        if point == "after_read":
            _usage.note_read()
        elif point == "after_commit":
            _usage.note_result()

    values = ENVIRON | {"REDIS_URL": order["redis_url"], "TWILIO_API_URL": order["api_url"]} | order.get("settings", {})
    made = Worker(load(ServiceSettings, values), environment=Environment(checkpoint=note, clock=SteppedClock()))
    _usage.serve(stop)
    return await made.run(stop)


async def reader(stop: asyncio.Event, order: dict[str, Any]) -> int:
    """The worker's floor: reads the same entries in the same batches and removes them, without processing."""
    client, blocking = make_client(order["redis_url"]), make_client(order["redis_url"], blocking=True)

    async def empty(stream: str) -> None:
        while answer := await blocking.xread({stream: "0"}, count=BATCH_MAX):
            entries = answer[0][1]
            _usage.note_read()
            await client.xdel(stream, *(entry_id for entry_id, _ in entries))
            _usage.note_result()

    _usage.serve(stop)
    await asyncio.gather(*(empty(KEYS.events(partition)) for partition in range(KEYS.partitions)))
    await stop.wait()
    await client.aclose()
    await blocking.aclose()
    return 0


async def relay(stop: asyncio.Event, order: dict[str, Any]) -> int:
    """The latency's floor: takes a command off its stream and sends a request at once, without any guarantees."""
    blocking = make_client(order["redis_url"], blocking=True)
    await config.ensure(blocking, KEYS.prefix, KEYS.partitions, account_sid=ACCOUNT_SID)

    async def work() -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            while not stop.is_set():  # Python 3.11's wait_for may swallow a cancellation
                answer = await blocking.xread({KEYS.commands: "0"}, count=100, block=BLOCK_MS)
                for entry_id, fields in answer[0][1] if answer else []:
                    url = f"{order['api_url']}/{fields[b'session'].decode()}"
                    async with session.post(url, data={"Twiml": "<Response/>"}) as response:
                        await response.read()
                    await blocking.xdel(KEYS.commands, entry_id)

    working = asyncio.ensure_future(work())
    _usage.serve(stop)
    await stop.wait()
    working.cancel()
    await asyncio.wait([working])
    await blocking.aclose()
    return 0


KINDS: dict[str, Work] = {"webhooks": webhooks, "bare": bare, "worker": worker, "reader": reader, "relay": relay}


def main() -> int:
    """Run one kind until end of file on standard input."""
    kind, order = sys.argv[1], json.loads(sys.argv[2])
    log.configure("json", level=order.get("log_level", "info"), process=kind)

    async def run(stop: asyncio.Event) -> int:
        return await KINDS[kind](stop, order)

    return lifecycle.run(run)


if __name__ == "__main__":
    sys.exit(main())
