"""The phones' page: its files and its WebSocket."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web

from offhook import views
from offhook.access import PAGE
from offhook.request_log import DeliveryEntry, NumberedLog, RestEntry
from offhook.rest_routes import is_twilios
from offhook.runtime import SandboxRuntime, shown_token
from offhook.sockets import Sockets
from offhook.views import iso, pick
from offhook.web import json_text
from offhook.web.pages import add_headers, page, static_routes

STATIC = Path(__file__).parent / "static"


def add_page_routes(app: web.Application, sandbox: SandboxRuntime) -> None:
    """Serve the page."""
    live = PageSockets(sandbox)
    document = page("Offhook", styles=("shared/colors.css", "shared/tokens.css", "phones.css"), modules=("main.js",))

    async def front(_request: web.Request) -> web.Response:
        return web.Response(text=document, content_type="text/html", headers={hdrs.CACHE_CONTROL: "no-cache"})

    app.router.add_get(PAGE, front)
    app.router.add_get("/sandbox/live", live.serve_page)
    app.router.add_routes(static_routes(STATIC))
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(live.close)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    if not is_twilios(request):  # Twilio's responses have none of these headers
        await add_headers(request, response)


COALESCE_FOR_S = 0.05  #: Real seconds in which changes coalesce after a message.
TICK_S = 2.0  #: Real seconds between time updates when nothing changes.
MESSAGE_MAX = 4096  #: Bytes of a page's message; pages have nothing to send.


class PageState:
    """What one page has received, and what to send it next."""

    def __init__(self, sandbox: SandboxRuntime) -> None:
        self._sandbox = sandbox
        self._sent: dict[str, bytes] = {}
        self._reset_count = -1
        self._known_entries: dict[str, dict[int, object]] = {}

    def new_messages(self) -> Iterator[bytes]:
        """Yield messages about changes since the last call, and the time."""
        if self._reset_count != self._sandbox.reset_count:
            self._reset_count = self._sandbox.reset_count
            self._sent.clear()
            self._known_entries.clear()
        yield json_text.dumps({"about": "tick", "now": iso(self._sandbox.now_s)})
        for about, content in self._whole_messages():
            message = json_text.dumps({"about": about, **content})
            if self._sent.get(about) != message:
                self._sent[about] = message
                yield message
        request_log = self._sandbox.request_log
        yield from self._list_messages("deliveries", request_log.deliveries, _fields_of_delivery, views.delivery_view)
        yield from self._list_messages("requests", request_log.rest, _fields_of_request, views.rest_view)
        yield from self._list_messages("debugger", request_log.debugger, lambda _entry: True, views.debugger_view)

    def _whole_messages(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the messages that are sent in full if any part changes."""
        sandbox = self._sandbox
        run = {"account": sandbox.account_sid, "run": sandbox.reset_count, "keeps": str(sandbox.retention or "")}
        given = pick(sandbox, "url", "console_url", "command_line", "speed")
        yield "hello", {**run, **given, "token": shown_token(sandbox)}
        shown, more = views.phone_views(sandbox)
        yield "phones", {"phones": shown, "more": more, "sentences": views.sound_sentences(sandbox)}
        yield "numbers", {"numbers": views.number_views(sandbox)}
        yield "rooms", {"rooms": views.conference_views(sandbox)}
        yield "messages", views.message_view(sandbox)
        yield "faults", views.fault_view(sandbox)

    def _list_messages(
        self,
        about: str,
        entries: NumberedLog[Any],
        fields_of: Callable[[Any], object],
        view: Callable[[SandboxRuntime, int, Any], dict[str, Any]],
    ) -> Iterator[bytes]:
        """Yield new and changed entries; the page drops those before `first`."""
        first = max(entries.dropped, entries.total - views.NEWEST_MAX)
        is_whole = about not in self._known_entries
        known = self._known_entries.setdefault(about, {})
        for number in [it for it in known if it < first]:
            del known[number]
        changed = []
        for number, entry in enumerate(islice(entries, first - entries.dropped, None), first):
            fields = fields_of(entry)
            if known.get(number) != fields:
                known[number] = fields
                changed.append(view(self._sandbox, number, entry))
        if changed or is_whole:
            yield json_text.dumps({"about": about, "whole": is_whole, "first": first, "entries": changed})


def _fields_of_delivery(entry: DeliveryEntry) -> object:  # those that change after it was logged
    return len(entry.attempts), entry.fault, entry.answer


def _fields_of_request(entry: RestEntry) -> object:  # those that change after it was logged
    return entry.status, entry.code, entry.applied, entry.fault, entry.duration_ms


class PageSockets(Sockets):
    """All pages' WebSockets."""

    def __init__(self, sandbox: SandboxRuntime) -> None:
        super().__init__(sandbox.pace)
        self._sandbox = sandbox

    async def serve_page(self, request: web.Request) -> web.WebSocketResponse:
        """Send changes to one page until it disconnects."""
        return await self.serve(request, self._send_changes, lambda _message: None, MESSAGE_MAX)

    async def _send_changes(self, socket: web.WebSocketResponse) -> None:
        page = PageState(self._sandbox)
        while True:
            changed = self._sandbox.pace.changed  # before reading the state, so that no change is missed
            for message in list(page.new_messages()):
                await socket.send_str(message.decode())
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await changed.wait()
            await asyncio.sleep(COALESCE_FOR_S)
