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

from conferral.sandbox.request_log import DeliveryEntry, NumberedLog, RestEntry
from conferral.sandbox.runtime import SandboxRuntime
from conferral.sandbox.views import conferences, phones, traffic
from conferral.sandbox.views.times import iso

COALESCE_FOR_S = 0.05
"""Real seconds in which changes gather after something was sent."""
TICK_S = 2.0
"""Real seconds after which a page is told the time though nothing has changed."""
MESSAGE_MAX = 4096
"""Bytes of a message from a page, which has nothing to say here."""


class PageState:
    """What one page was told, and what it has to be told next."""

    def __init__(self, sandbox: SandboxRuntime) -> None:
        self._sandbox = sandbox
        self._sent: dict[str, bytes] = {}
        self._run = -1
        self._lists_of: dict[str, dict[int, object]] = {}

    def new_messages(self) -> Iterator[bytes]:
        """Messages about what has changed since the last time; at least the time."""
        if self._run != self._sandbox.reset_count:
            self._run = self._sandbox.reset_count
            self._sent.clear()
            self._lists_of.clear()
        yield orjson.dumps({"about": "tick", "now": iso(self._sandbox.now_s)})
        for about, content in self._whole_messages():
            message = orjson.dumps({"about": about, **content})
            if self._sent.get(about) != message:
                self._sent[about] = message
                yield message
        request_log = self._sandbox.request_log
        yield from self._list_messages("deliveries", request_log.deliveries, _state_of_delivery, traffic.delivery_view)
        yield from self._list_messages("requests", request_log.rest, _state_of_request, traffic.rest_view)
        yield from self._list_messages("debugger", request_log.debugger, lambda _entry: True, traffic.debugger_view)

    def _whole_messages(self) -> Iterator[tuple[str, dict[str, Any]]]:
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
                "run": sandbox.reset_count,
                "keeps": str(sandbox.retention.retention or ""),
            },
        )
        shown, more = phones.phone_views(sandbox)
        yield "phones", {"phones": shown, "more": more, "everybody": phones.sound_sentences(sandbox)}
        yield "numbers", {"numbers": conferences.number_views(sandbox)}
        yield "rooms", {"rooms": conferences.conference_views(sandbox)}
        yield "faults", conferences.fault_view(sandbox)
        yield "alone", conferences.alone_time_view(sandbox)
        yield "notice", {"text": sandbox.request_log.notice}

    def _list_messages(
        self,
        about: str,
        entries: NumberedLog[Any],
        state_of: Callable[[Any], object],
        view: Callable[[SandboxRuntime, int, Any], dict[str, Any]],
    ) -> Iterator[bytes]:
        """The newest entries that are new or have changed; `first` is the oldest one to keep."""
        first = max(entries.dropped, entries.total - traffic.NEWEST_MAX)
        is_whole = about not in self._lists_of
        known = self._lists_of.setdefault(about, {})
        for number in [it for it in known if it < first]:
            del known[number]
        changed = []
        for number, entry in enumerate(islice(entries, first - entries.dropped, None), first):
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


class PageSockets:
    """The sockets of all pages."""

    def __init__(self, sandbox: SandboxRuntime) -> None:
        self._sandbox = sandbox
        self._sockets: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Tells one page what changes, until it goes."""
        socket = web.WebSocketResponse(heartbeat=20.0, compress=False, max_msg_size=MESSAGE_MAX)
        await socket.prepare(request)
        self._sockets.add(socket)
        sender = asyncio.create_task(self._send_changes(socket))
        try:
            async for _message in socket:
                pass  # reading is what notices that it has gone
        finally:
            self._sockets.discard(socket)
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender
        return socket

    async def close(self, _app: web.Application) -> None:
        """Let all pages go; they try again by themselves."""
        close_code = aiohttp.WSCloseCode.GOING_AWAY
        await asyncio.gather(*(socket.close(code=close_code) for socket in list(self._sockets)))

    async def _send_changes(self, socket: web.WebSocketResponse) -> None:
        viewer = PageState(self._sandbox)
        with suppress(ConnectionResetError):  # the page has gone, which its reader notices as well
            while True:
                changed = self._sandbox.change_event  # before looking, so that nothing slips through in between
                for message in list(viewer.new_messages()):
                    await socket.send_str(message.decode())
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await changed.wait()
                await asyncio.sleep(COALESCE_FOR_S)
