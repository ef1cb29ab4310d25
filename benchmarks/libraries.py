"""How much more CPU time would the libraries need where the hot path has code of its own?"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.support import backlog, load
from benchmarks.support.children import Child
from benchmarks.support.figures import Figures
from benchmarks.support.redis_load import pinned_client
from benchmarks.webhooks import CONNECTIONS, requests
from conferral.statemachine import dispatch, machine
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Event
from conferral.statemachine.session import Session
from conferral.storage.connection.client import make_client, run_all
from conferral.storage.connection.pipelining_client import over_one_connection
from tests.support.ports import free_port


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    calls: int
    pipelines: int
    callbacks_s: float


SIZES = {
    "full": Size(rounds=5, calls=300, pipelines=5_000, callbacks_s=2.0),
    "quick": Size(rounds=2, calls=50, pipelines=500, callbacks_s=0.5),
    "tiny": Size(rounds=1, calls=2, pipelines=20, callbacks_s=0.1),
}

TakeRow = Callable[[Draft, Event], Any]


def _transitions() -> TakeRow:
    """Return the trigger of the machine that the rows are compiled from."""
    rows = dispatch.build_machine().events

    def take_row(draft: Draft, event: Event) -> object:
        return draft.state.name in rows[event.name].transitions and rows[event.name].trigger(draft, draft, event)

    return take_row


def _decide(calls: Sequence[Sequence[Event]], take_row: TakeRow) -> float:
    """Decide calls of seven events; return the CPU microseconds for each event."""
    compiled, machine.take_row = machine.take_row, take_row
    try:
        _decide_call(calls[0])  # the first one fills caches
        began_s = time.process_time()
        for events in calls:
            _decide_call(events)
        return (time.process_time() - began_s) / sum(map(len, calls)) * 1e6
    finally:
        machine.take_row = compiled


def _decide_call(events: Sequence[Event]) -> None:
    session = Session(events[0].session_id)
    for now_ms, event in enumerate(events):
        session = machine.step(session, event, now_ms).session


async def _pipeline(url: str, count: int, *, pipelining: bool) -> float:
    """Send pipelines of two commands, one after another; return the CPU microseconds of this process for each."""
    client = over_one_connection(make_client(url)) if pipelining else make_client(url)
    commands = [("HSET", "hash", "field", "value"), ("HGET", "hash", "field")]
    await run_all(client, commands)
    began_s = time.process_time()
    for _ in range(count):
        await run_all(client, commands)
    spent_s = time.process_time() - began_s
    await client.aclose()
    return spent_s / count * 1e6


async def _callbacks(child: Child, port: int, callbacks: Sequence[bytes], duration_s: float) -> float:
    """Send callbacks as fast as they are answered; return the process's CPU microseconds for each."""
    before = await child.used()
    sent, _ = await load.send(port, callbacks, connections=CONNECTIONS, duration_s=duration_s)
    return float((await child.used())["cpu_s"] - before["cpu_s"]) / len(sent.latencies_s) * 1e6


async def measure(size: Size, _chance: Random) -> Figures:
    """Alternate between our own code and the library, for each of the three."""
    figures = Figures()
    calls, callbacks = [backlog.whole(number) for number in range(size.calls)], requests(size.calls)
    ports = {kind: free_port() for kind in ("direct", "aiohttp")}
    async with (
        pinned_client() as (redis_url, client),
        Child("webhooks", port=ports["direct"], redis_url=redis_url) as direct,
        Child("webhooks", port=ports["aiohttp"], redis_url=redis_url, direct=False) as aiohttp,
    ):
        measured: dict[str, Callable[[], Awaitable[float]]] = {
            "direct.callback_us": lambda: _callbacks(direct, ports["direct"], callbacks, size.callbacks_s),
            "aiohttp.callback_us": lambda: _callbacks(aiohttp, ports["aiohttp"], callbacks, size.callbacks_s),
            "pipelining.pipeline_us": lambda: _pipeline(redis_url, size.pipelines, pipelining=True),
            "redis_py.pipeline_us": lambda: _pipeline(redis_url, size.pipelines, pipelining=False),
        }
        for _ in range(size.rounds):
            for name, run in measured.items():
                await client.flushall()
                figures.add(name, await run())
            figures.add("compiled.step_us", _decide(calls, dispatch.take_row))
            figures.add("transitions.step_us", _decide(calls, _transitions()))
    return figures
