"""Tells pages what changes, over a WebSocket each: what has changed since what that page was told, never a queue.

While a page is slow to take what it is sent, changes gather into the next message. A WebSocket and not server-sent
events, of which browsers open six for a host at most, over all tabs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from conferral.sandbox.ledger import DeliveryEntry, Kept, RestEntry
from conferral.sandbox.switchboard import Switchboard
from conferral.sandbox.views import phones, rooms, traffic
from conferral.sandbox.views.times import iso

COALESCE_S = 0.05
"""Real seconds in which changes gather after something was sent."""
TICK_S = 2.0
"""Real seconds after which a page is told the time though nothing has changed."""
MESSAGE_MAX = 4096
"""Bytes of a message from a page, which has nothing to say here."""


class Viewer:
    """What one page was told, and what it has to be told next."""

    def __init__(self, sandbox: Switchboard) -> None:
        self._sandbox = sandbox
        self._told: dict[str, bytes] = {}
        self._run = -1
        self._kinds: dict[str, dict[int, object]] = {}

    def news(self) -> Iterator[bytes]:
        """Messages about what has changed since the last time; at least the time."""
        if self._run != self._sandbox.run:
            self._run = self._sandbox.run
            self._told.clear()
            self._kinds.clear()
        yield orjson.dumps({"about": "tick", "now": iso(self._sandbox.now_s)})
        for about, content in self._wholes():
            message = orjson.dumps({"about": about, **content})
            if self._told.get(about) != message:
                self._told[about] = message
                yield message
        ledger = self._sandbox.ledger
        yield from self._lists("deliveries", ledger.deliveries, _state_of_delivery, traffic.delivery)
        yield from self._lists("requests", ledger.rest, _state_of_request, traffic.rest)
        yield from self._lists("debugger", ledger.debugger, lambda _entry: True, traffic.debugger)

    def _wholes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is sent as a whole whenever anything about it is different."""
        sandbox = self._sandbox
        yield (
            "hello",
            {
                "account": sandbox.account_sid,
                "url": sandbox.url,
                "console_url": sandbox.console_url,
                "command_line": sandbox.command_line,
                "speed": sandbox.speed,
                "run": sandbox.run,
                "keeps": str(sandbox.keeper.keeps or ""),
            },
        )
        shown, more = phones.phones(sandbox)
        yield "phones", {"phones": shown, "more": more, "everybody": phones.everybody(sandbox)}
        yield "numbers", {"numbers": rooms.numbers(sandbox)}
        yield "rooms", {"rooms": rooms.rooms(sandbox)}
        yield "faults", rooms.faults(sandbox)
        yield "alone", rooms.alone(sandbox)
        yield "notice", {"text": sandbox.ledger.notice}

    def _lists(
        self,
        about: str,
        entries: Kept[Any],
        state_of: Callable[[Any], object],
        view: Callable[[Switchboard, int, Any], dict[str, Any]],
    ) -> Iterator[bytes]:
        """The newest entries that are new or have changed; `first` is the oldest one to keep."""
        first = max(entries.gone, entries.made - traffic.NEWEST_MAX)
        is_whole = about not in self._kinds
        known = self._kinds.setdefault(about, {})
        for number in [it for it in known if it < first]:
            del known[number]
        changed = []
        for number, entry in enumerate(islice(entries, first - entries.gone, None), first):
            state = state_of(entry)
            if known.get(number) != state:
                known[number] = state
                changed.append(view(self._sandbox, number, entry))
        if changed or is_whole:
            yield orjson.dumps({"about": about, "whole": is_whole, "first": first, "entries": changed})


def _state_of_delivery(entry: DeliveryEntry) -> object:
    return len(entry.attempts), entry.fault, entry.answer


def _state_of_request(entry: RestEntry) -> object:
    return entry.status, entry.code, entry.applied, entry.fault, entry.duration_ms


class Live:
    """The sockets of all pages."""

    def __init__(self, sandbox: Switchboard) -> None:
        self._sandbox = sandbox
        self._sockets: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Tells one page what changes, until it goes."""
        socket = web.WebSocketResponse(heartbeat=20.0, compress=False, max_msg_size=MESSAGE_MAX)
        await socket.prepare(request)
        self._sockets.add(socket)
        teller = asyncio.create_task(self._tell(socket))
        try:
            async for _message in socket:
                pass  # reading is what notices that it has gone
        finally:
            self._sockets.discard(socket)
            teller.cancel()
            with suppress(asyncio.CancelledError):
                await teller
        return socket

    async def close(self, _app: web.Application) -> None:
        """Let all pages go; they try again by themselves."""
        goodbye = aiohttp.WSCloseCode.GOING_AWAY
        await asyncio.gather(*(socket.close(code=goodbye) for socket in list(self._sockets)))

    async def _tell(self, socket: web.WebSocketResponse) -> None:
        viewer = Viewer(self._sandbox)
        with suppress(ConnectionResetError):  # the page has gone, which its reader notices as well
            while True:
                changed = self._sandbox.changed  # before looking, so that nothing slips through in between
                for message in list(viewer.news()):
                    await socket.send_str(message.decode())
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await changed.wait()
                await asyncio.sleep(COALESCE_S)
