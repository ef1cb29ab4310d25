"""What both task queues do: the same events and commands as the measured worker, without any of its guarantees.

An event's handler reads the session, applies a table, and writes the session; a command's handler sends one request.
There is no log, deduplication, fencing, timer, or order within a session.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson

from benchmarks.support.usage import Usage

usage = Usage()
_STATES = {"initiated": "ringing", "ringing": "ringing", "in-progress": "connected", "completed": "ended"}
_STATUSES = ("received", "initiated", "ringing", "in-progress", "completed", "dial-ended", "completed")
_CALLS_AT_ONCE = 1_000


def bodies(count: int) -> list[bytes]:
    """Return events of ordinary calls, as JSON with 25 parameters as Twilio sends them."""
    found = []
    for number in range(count):
        group, place = divmod(number, _CALLS_AT_ONCE * len(_STATUSES))
        step, call = divmod(place, _CALLS_AT_ONCE)
        sid = f"CA{group * _CALLS_AT_ONCE + call:032x}"
        form = {f"Parameter{index}": "SAN FRANCISCO" for index in range(21)}
        form |= {"CallSid": sid, "CallStatus": _STATUSES[step], "SequenceNumber": str(step), "From": "+14155550123"}
        found.append(orjson.dumps(form))
    return found


async def handle_event(redis: Any, body: bytes) -> None:
    """Decide one event."""
    usage.note_read()
    form = orjson.loads(body)
    key = f"session:{form['CallSid']}"
    stored = await redis.get(key)
    session = orjson.loads(stored) if stored else {"id": form["CallSid"], "version": 0, "parties": {}}
    session["state"] = _STATES.get(form["CallStatus"], session.get("state", "ringing"))
    session["version"] += 1
    session["parties"]["customer"] = {"status": form["CallStatus"], "address": form["From"]}
    await redis.set(key, orjson.dumps(session))
    usage.note_result()


async def handle_command(session: aiohttp.ClientSession, api_url: str, call_sid: str) -> None:
    """Send a command's request."""
    async with session.post(f"{api_url}/{call_sid}", data={"Twiml": "<Response/>"}) as response:
        await response.read()


class Publisher:
    """Publishes a command on each `publish` request, and reports when it began to."""

    def __init__(self, publish: Callable[[], Awaitable[object]]) -> None:
        self._publish = publish
        self._running: set[asyncio.Future[object]] = set()
        usage.handle("publish", self._start)

    def _start(self, _value: float) -> None:
        usage.counters["published_at_s"] = time.monotonic()
        task = asyncio.ensure_future(self._publish())
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def main(kinds: dict[str, Callable[[asyncio.Event, dict[str, Any]], Awaitable[None]]]) -> None:
    """Run one kind until end of file on standard input."""
    kind, order = sys.argv[1], json.loads(sys.argv[2])

    async def run() -> None:
        await kinds[kind](asyncio.Event(), order)

    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(run())
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())
