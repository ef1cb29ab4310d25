"""A desk whose server is scripted: the real pages and files, and answers that a test chooses."""

import asyncio
import re
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

import msgspec
from aiohttp import web
from playwright.async_api import BrowserContext, Page, expect

from conferral.runtime.web.server import run_server
from conferral.webhooks.desk.pages import DeskPages
from tests.browser.windows import WIDE, Windows
from tests.support import service_settings
from tests.support.people import ALICE, CUSTOMER, NUMBER

PHONE = Path(__file__).parent / "scripted_phone.js"
#: Of the session that rings here.
SESSION, LEG = "CA" + "1" * 32, "CA" + "2" * 32
TOKEN = "desk-token"
IDENTITY = ALICE.removeprefix("client:")

#: As the server's: a page opens a stream again that is silent for longer.
COMMENT_EVERY_S = 15.0
#: Why each of these is not possible while no transfer runs.
REFUSED = dict.fromkeys(("cancel", "complete", "swap", "merge"), "no transfer is under way")


def iso(ago_s: float = 0.0) -> str:
    """A time, as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - ago_s))


def party(address: str, status: str = "connected", **changes: Any) -> dict[str, Any]:
    """A party in JSON; its label is made from its address."""
    given = {"address": address, "status": status, "label": f"{address}-1", "call_sid": "CA" + "9" * 32}
    return given | {"since": iso(30), "held": False, "muted": False, "left_reason": None} | changes


def session(own: str = "connected", leg: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A session in JSON: a customer and Alice, whose leg has the status `own`, and in addition `leg`."""
    about = {"call_sid": LEG, "brief": None, "params": None, "from_agent": None, "is_lost": False} | (leg or {})
    parties = {"customer": party(CUSTOMER), "agent": party(ALICE, own, **about)}
    given = {"id": SESSION, "state": "bridged", "phase": "connected", "version": 3, "direction": "inbound"}
    given |= {"created_at": iso(90), "updated_at": iso(30), "ended_at": None, "end_reason": None, "ref": None}
    return (
        given
        | {"number": NUMBER, "by": None, "parties": parties, "transfer": None, "recording": None, "refused": REFUSED}
        | changes
    )


class ScriptedDesk:
    """The server of one agent's desk."""

    def __init__(self, **settings: str) -> None:
        self.tokens = {TOKEN}
        self.is_down = False
        self.sessions: dict[str, dict[str, Any]] = {}
        self.parked: list[dict[str, Any]] = []
        self.names: list[dict[str, Any]] = []
        #: The agent's calls of the last day.
        self.calls: list[dict[str, Any]] = []
        #: Commands that were sent: path below `/desk`, and body.
        self.sent: list[tuple[str, dict[str, Any]]] = []
        #: What a command's event says after `accepted`; None for no event at all.
        self.end: dict[str, Any] | None = {"status": "done", "reason": None, "code": None}
        #: Their deadlines; whether no answer to them arrives; what is known of one that is asked about, and who asked.
        self.deadlines: list[str] = []
        self.is_answer_lost = False
        self.result: dict[str, Any] = {"status": "", "reason": None, "code": None}
        self.asked: list[str] = []
        #: Id of the desk that may be registered; empty for the one that asks.
        self.registered = ""
        self.answers_presence = asyncio.Event()
        self.answers_presence.set()
        #: Ids of the desks that sent their presence.
        self.desks: list[str] = []
        #: The presence that was sent, with its time by the loop's clock.
        self.presence: list[tuple[float, str]] = []
        #: Ids of the desks that said that their page is left.
        self.left: list[str] = []
        #: Why the agent is away until a click; empty for no such reason.
        self.reason = ""
        #: Access tokens that were issued, and the edge that comes with them.
        self.access_tokens: list[str] = []
        self.edge: str | None = None
        #: Calls whose ring is about to be rejected as busy, and whether the desk gets an answer.
        self.busy_rings: list[str] = []
        self.answers_rings = True
        #: Why streams are refused; empty if they aren't.
        self.refused_streams = ""
        self.streams_opened = 0
        self._streams: list[web.StreamResponse] = []
        self._followers = 0
        self._stack = AsyncExitStack()
        self._pages = DeskPages(service_settings.settings_with(**service_settings.ENVIRON | settings))
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/desk"

    @property
    def is_followed(self) -> bool:
        """Whether a page has its stream open."""
        return self._followers > 0

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guard])
        self._pages.add_to(app, "")
        app.on_response_prepare.append(self._pages.add_headers)
        router = app.router
        router.add_post("/desk/tokens", self._issue)
        router.add_post("/desk/access-token", self._access_token)
        router.add_get("/desk/events", self._events)
        router.add_put("/desk/presence", self._presence)
        router.add_get("/desk/commands/{id}", self._result)
        router.add_get("/desk/calls", self._calls)
        router.add_post("/desk/rings/{id}", self._ring)
        router.add_post("/desk/sessions/{id}/take-over", self._take_over)
        for path in ("/desk/sessions/{id}/commands", "/desk/calls", "/desk/parked/{id}/retrieve"):
            router.add_post(path, self._command)
            self._pages.allow_preflights(app, path)
        for path in ("access-token", "events", "presence"):
            self._pages.allow_preflights(app, f"/desk/{path}")
        self.port = await self._stack.enter_async_context(run_server(app, "127.0.0.1", 0, shutdown_s=0.1))
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.break_streams()
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    async def push(self, kind: str, data: dict[str, Any]) -> None:
        """Send an event to each page."""
        if kind == "session":
            self.sessions[data["id"]] = data
        for stream in self._streams:
            with suppress(ConnectionError):  # a page that has crashed
                await _send(stream, kind, data)

    async def break_streams(self) -> None:
        for stream in self._streams:
            with suppress(ConnectionError):
                await stream.write_eof()
        self._streams.clear()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Check the token of requests that need one."""
        is_free = request.path in ("/desk", "/desk/tokens") or request.path.endswith((".js", ".mjs", ".css", ".svg"))
        if is_free or request.method == "OPTIONS":
            return await handler(request)
        if self.is_down:
            return _refused(503, "unavailable", "Redis is not reachable")
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return _refused(401, "unauthorized", "the token has expired")
        return await handler(request)

    async def _issue(self, _request: web.Request) -> web.Response:
        return web.json_response({"token": TOKEN})

    async def _access_token(self, _request: web.Request) -> web.Response:
        self.access_tokens.append(f"access-token-{len(self.access_tokens)}")
        return web.json_response({"token": self.access_tokens[-1], "identity": IDENTITY, "edge": self.edge})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.refused_streams:
            return _refused(503, "too-many-streams", self.refused_streams)
        self.streams_opened += 1
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await _send(stream, "presence", {"identity": IDENTITY, "status": "away"})
        for one in self.sessions.values():
            await _send(stream, "session", one)
        for one in self.parked:
            await _send(stream, "parked", {"id": one["id"], "session": one})
        await _send(stream, "directory", {"names": self.names, "is_all": True})
        await _send(stream, "ready", {})
        self._streams.append(stream)
        said_s = time.monotonic()
        self._followers += 1
        while stream in self._streams and request.transport is not None:
            await asyncio.sleep(0.02)  # a delay: aiohttp does not report a reader that has gone
            if time.monotonic() - said_s > COMMENT_EVERY_S:
                said_s = time.monotonic()
                with suppress(ConnectionError):
                    await stream.write(b":\n\n")
        self._followers -= 1
        return stream

    async def _presence(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.desks.append(asked.get("desk", ""))
        if asked.get("left"):
            self.left.append(asked["desk"])
        self.presence.append((asyncio.get_running_loop().time(), asked["status"]))
        await self.answers_presence.wait()
        self.reason = "" if asked.get("click") else self.reason
        registered = self.registered or (asked["desk"] if asked["status"] == "ready" else "")
        answer = {"identity": IDENTITY, "status": asked["status"], "registered": registered}
        return web.json_response(answer | {"reason": self.reason or None})

    async def _ring(self, request: web.Request) -> web.Response:
        assert await request.json() == {"result": "busy"}
        self.busy_rings.append(request.match_info["id"])
        if not self.answers_rings:
            await asyncio.Event().wait()
        return web.Response(status=204)

    async def _command(self, request: web.Request) -> web.Response:
        body = await request.json()
        command = body.pop("id")
        self.deadlines.append(body.pop("deadline"))
        self.sent.append((request.path.removeprefix("/desk"), body))
        if self.is_answer_lost:
            request.transport.close()
        if self.end is not None:
            self._tasks.add(asyncio.create_task(self._finish(command, self.end)))
        return web.json_response({"command": command, "session": SESSION}, status=202)

    async def _calls(self, _request: web.Request) -> web.Response:
        return web.json_response({"calls": self.calls})

    async def _result(self, request: web.Request) -> web.Response:
        command = request.match_info["id"]
        self.asked.append(command)
        return web.json_response({"command": command, "session": SESSION} | self.result)

    async def _take_over(self, request: web.Request) -> web.Response:
        self.registered = (await request.json())["desk"]
        self.sent.append((request.path.removeprefix("/desk"), {}))
        return web.Response(status=204)

    async def sends(self, path: str) -> None:
        """Wait for a request."""
        async with asyncio.timeout(30):
            while path not in (sent for sent, _ in self.sent):
                await asyncio.sleep(0.02)  # a delay: the page sends it

    async def has_sent(self, *commands: tuple[str, dict[str, Any]]) -> None:
        """Wait for so many commands: a page shows a command as pending before it arrives here."""
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                while len(self.sent) < len(commands):
                    await asyncio.sleep(0.02)  # a delay: the page sends them
        assert self.sent == list(commands)

    async def says_that_it_is(self, *statuses: str) -> None:
        """Wait for changes of presence."""
        async with asyncio.timeout(60):
            while not " ".join(one for _, one in self.presence).endswith(" ".join(statuses)):
                await asyncio.sleep(0.02)  # a delay: the page sends them

    async def _finish(self, command: str, end: dict[str, Any]) -> None:
        for outcome in ({"status": "accepted", "reason": None, "code": None}, end):
            await self.push("command", {"command": command} | outcome)


async def _send(stream: web.StreamResponse, kind: str, data: dict[str, Any]) -> None:
    await stream.write(f"event: {kind}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n")


def _refused(status: int, kind: str, reason: str) -> web.Response:
    return web.json_response({"error": {"type": kind, "reason": reason, "allowed": []}}, status=status)


async def opened(
    windows: Windows, url: str, *, context: BrowserContext | None = None, size: dict[str, int] | None = None
) -> Page:
    """Open a page whose phone the test steers."""
    page = await (context or await windows.profile()).new_page()
    await page.set_viewport_size(size or WIDE)
    await page.add_init_script(path=PHONE)
    await page.goto(url)
    return page


async def ready(windows: Windows, desk: ScriptedDesk, **options: Any) -> Page:
    """Open the desk's own page, and go ready."""
    page = await opened(windows, f"{desk.url}#{TOKEN}", **options)
    await page.get_by_role("button", name="Go ready").click()
    await expect(page.get_by_role("status").first).to_have_text("Ready")
    return page


async def ring(page: Page, desk: ScriptedDesk, **changes: Any) -> None:
    """Have the customer's call ring, once there is a phone."""
    await page.wait_for_function("phone.device !== undefined")
    await desk.push("session", session("ringing", phase="ringing", **changes))
    await page.evaluate("([sid, from]) => phone.ring({ CallSid: sid, From: from })", [LEG, CUSTOMER])


async def talk(page: Page, desk: ScriptedDesk, **changes: Any) -> None:
    """Have the agent and the customer talk."""
    await ring(page, desk, **changes)
    await page.get_by_role("button", name="Answer").click()
    await desk.push("session", session(**changes))
    await expect(page.get_by_text(f"You talk to {CUSTOMER}")).to_be_visible()


async def has_done(page: Page, what: str, *, is_last: bool = False) -> None:
    """Wait until the desk has done something with its phone."""
    pattern = re.compile(f",{what},{'$' if is_last else ''}")
    await expect(page.locator("html")).to_have_attribute("data-phone", pattern)


async def done(page: Page) -> list[str]:
    """What the desk has done with its phone."""
    found: list[str] = await page.evaluate("phone.done")
    return found
