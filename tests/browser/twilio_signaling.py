"""A stand-in for Twilio's signaling, on loopback: Twilio's own SDK in a page registers and takes calls with it.

It answers as Twilio does, as far as the SDK's sources and its maintainers say; it can be lost, say nothing, and refuse
tokens. Calls have signaling but no sound. Source: @twilio/voice-sdk 2.18.5, `pstream.ts`, `device.ts`.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast

from aiohttp import WSMsgType, web
from playwright.async_api import Page, expect

from conferral.runtime.web.pages import SHARED_FOLDER
from conferral.runtime.web.server import run_server
from tests.support.people import CUSTOMER

#: How long the longest recovery may take: 40 s, a new device, and a busy machine (ms).
PATIENCE_MS = 75_000
_SDK = SHARED_FOLDER / "vendor" / "twilio-voice-sdk.js"
#: The SDK takes 15 s without a message for a loss.
_HEARTBEAT_S = 5.0
#: How long Twilio keeps the leg of a browser that is gone without a word.
KEPT_S = 30.0
#: How long Twilio checks a token; a `register` in this time is refused. Source: twilio-voice.js, issue 110.
_CHECK_S = 0.05
#: Errors about tokens. Source: Twilio docs, errors 31202 and 31204.
SIGNATURE_INVALID, TOKEN_INVALID = 31202, 31204
OFFER = "\r\n".join(
    (
        "v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 127.0.0.1",
        "a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwx", f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}",
        "a=setup:actpass", "a=mid:0", "a=sendrecv", "a=rtcp-mux", "a=rtpmap:0 PCMU/8000", "",
    )
)  # fmt: skip
#: Leads the SDK's sockets here, and gives it a microphone.
_PREPARE = """
window.WebSocket = class extends WebSocket {
  constructor(url) { super("SIGNALING?host=" + new URL(url).host); }
};
navigator.mediaDevices.getUserMedia = async () => new AudioContext().createMediaStreamDestination().stream;
"""


@dataclass(eq=False)
class Socket:
    """One connection of an SDK."""

    host: str
    opened_s: float
    ws: web.WebSocketResponse
    transport: asyncio.Transport
    is_silent: bool
    #: Types of the messages that came, and tokens.
    heard: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    #: Checks of tokens that are under way, and whether the last one was accepted.
    checks: int = 0
    is_accepted: bool = False
    is_registered: bool = False


class TwilioSignaling:
    """Twilio, as the SDK in a page sees it."""

    def __init__(self) -> None:
        self.state: Literal["up", "down", "silent"] = "up"
        #: How many tokens are refused from now on, by which error, and whether the connection is closed then, too.
        self.refusals = 0
        self.refusal = TOKEN_INVALID
        self.closes = False
        #: Lifetime of a token, for the SDK.
        self.ttl_s = 3600.0
        self.sockets: list[Socket] = []
        #: When an SDK was registered (True), and no more (False), by the loop's clock.
        self.changes: list[tuple[float, bool]] = []
        #: How many times `register` came before the token was checked.
        self.early = 0
        #: Calls that an SDK rejected, and those that have ended.
        self.rejected: list[str] = []
        self._ended: set[str] = set()
        #: Legs that were answered, each with its connection.
        self.legs: dict[str, Socket] = {}
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/signal", self._connect)
        # Where the desk looks for a local Twilio: its policy then allows this origin.
        app.router.add_get("/sandbox/voice-sdk.js", self._sdk)
        port = await self._stack.enter_async_context(run_server(app, "127.0.0.1", 0, shutdown_s=0.1))
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        self._drop()
        await self._stack.aclose()

    @property
    def script(self) -> str:
        """Run it in a page before anything else."""
        return _PREPARE.replace("SIGNALING", f"{self.url.replace('http', 'ws')}/signal")

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def is_registered(self) -> bool:
        return any(one.is_registered for one in self.sockets)

    def lose(self, state: Literal["up", "down", "silent"] = "up", for_s: float = 0.0) -> None:
        """Lose all connections; new ones are as `state` says, for so long."""
        self.state = state
        self._drop()
        if for_s:
            asyncio.get_running_loop().call_later(for_s, self.restore)

    def restore(self) -> None:
        """Be there again; connections that were opened in a silence stay silent."""
        self.state = "up"

    def invite(self, call_sid: str) -> None:
        """Let a call ring in each registered SDK."""
        about = {"CallSid": call_sid, "From": CUSTOMER, "To": "client:alice"}
        for one in self.sockets:
            if one.is_registered:
                self._send(one, "invite", callsid=call_sid, sdp=OFFER, reconnect="reconnect", parameters=about)

    def hang_up(self, call_sid: str) -> None:
        """End a call from the other side; an SDK that is away hears it when it comes back with the call."""
        self._ended.add(call_sid)
        for one in self.sockets:
            self._send(one, "hangup", callsid=call_sid)

    def cancel(self, call_sid: str) -> None:
        """Let a caller hang up while the call rings."""
        for one in self.sockets:
            self._send(one, "cancel", callsid=call_sid)

    def end_leg(self, call_sid: str) -> None:
        """End a leg, also one that was kept."""
        self.legs.pop(call_sid, None)

    def was_registered(self, at_s: float, within_s: float) -> bool:
        """Whether an SDK was registered at a time, or up to so long before."""
        is_registered, lost_s = False, float("-inf")
        for when_s, now in (change for change in self.changes if change[0] <= at_s):
            is_registered, lost_s = now, (lost_s if now else when_s)
        return is_registered or at_s - lost_s <= within_s

    def _drop(self) -> None:
        for one in self.sockets:
            self._note(one, is_registered=False)
            one.transport.abort()

    def _note(self, one: Socket, *, is_registered: bool) -> None:
        if one.is_registered is not is_registered:
            one.is_registered = is_registered
            self.changes.append((self.now_s, is_registered))

    async def _sdk(self, _request: web.Request) -> web.FileResponse:
        return web.FileResponse(_SDK)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if self.state == "down":
            raise web.HTTPServiceUnavailable
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        transport = cast("asyncio.Transport", request.transport)
        one = Socket(request.query["host"], self.now_s, ws, transport, self.state == "silent")
        self.sockets.append(one)
        beat = asyncio.create_task(self._beat(one))
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT and message.data != "\n" and not one.is_silent:
                    self._receive(one, json.loads(message.data))
        finally:
            beat.cancel()
            self._note(one, is_registered=False)
            for call_sid in [sid for sid, socket in self.legs.items() if socket is one]:
                asyncio.get_running_loop().call_later(KEPT_S, self.end_leg, call_sid)
        return ws

    async def _beat(self, one: Socket) -> None:
        while not one.is_silent:
            await asyncio.sleep(_HEARTBEAT_S)
            await one.ws.send_str("\n")

    def _send(self, one: Socket, kind: str, **payload: Any) -> None:
        if not one.ws.closed:
            task = asyncio.create_task(one.ws.send_json({"type": kind, "payload": payload}))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _receive(self, one: Socket, message: dict[str, Any]) -> None:
        kind, payload = message["type"], message["payload"]
        one.heard.append(kind)
        if kind == "listen":
            one.tokens.append(payload["token"])
            one.checks += 1
            asyncio.get_running_loop().call_later(_CHECK_S, self._check, one)
        elif kind == "register" and payload["media"]["audio"]:
            self._register(one)
        elif kind == "register":
            self._note(one, is_registered=False)
            self._send(one, "offline")
        elif kind == "answer":
            self.legs[payload["callsid"]] = one
        elif kind == "hangup":
            self.end_leg(payload["callsid"])
        elif kind == "invite":  # an answered call comes back
            call_sid = payload["callsid"]
            self._send(one, "hangup" if call_sid in self._ended else "answer", callsid=call_sid)
        elif kind == "reject":
            self.rejected.append(payload["callsid"])

    def _check(self, one: Socket) -> None:
        one.checks -= 1
        one.is_accepted = self.refusals == 0
        if one.is_accepted:
            self._send(one, "connected", token={"identity": "alice", "ttl": self.ttl_s}, region="US_EAST_VIRGINIA")
            return
        self.refusals -= 1
        self._send(one, "error", error={"code": self.refusal, "message": "invalid token"})
        if self.closes:
            self._send(one, "close")

    def _register(self, one: Socket) -> None:
        if one.checks or not one.is_accepted:
            self.early += 1
            self._send(one, "error", error={"code": TOKEN_INVALID, "message": "cannot register"})
            return
        self._note(one, is_registered=True)
        self._send(one, "ready")


# ---- what tests do with a desk whose phone registers here ------------------------------------------------------------


async def go_ready(page: Page) -> None:
    await page.get_by_role("button", name="Go ready").click()


async def says(page: Page, state: str) -> None:
    await expect(page.get_by_role("status").first).to_have_text(state, timeout=PATIENCE_MS)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while not condition():
            await asyncio.sleep(0.02)
