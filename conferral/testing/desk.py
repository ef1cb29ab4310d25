"""A desk without a browser: it answers, holds, transfers, and is busy.

It uses the HTTP API of the agent's page, and does what that page does by itself. Its phone is the sandbox's.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import ClientSession, ClientTimeout

from conferral.operations.errors import CommandFailed, CommandRejected
from conferral.runtime.json_decoding import decode_json
from conferral.runtime.lifecycle import wait_at_most
from offhook import CallHandle
from offhook.testing import TwilioSandbox
from offhook.testing.served import LoopThread

T = TypeVar("T")
#: How long a wait takes at most by default, real seconds.
WAIT_S = 10.0
#: For what the sandbox doesn't tell this thread.
_RECHECK_S = 0.05
#: As the page renews its agent's presence, seconds.
RENEW_EVERY_S = 9.0
#: Phases of a session in which an agent who has the call, or asked for it, is rung.
_OWN_PHASES = frozenset({"recall", "retrieve"})
_LEFT = "left"


class Desk:
    """An agent's desk, without a browser.

    Its methods wait: `desk.answer()`, in a coroutine with `await`. They raise TimeoutError with what happened last, and
    `conferral.CommandRejected` or `conferral.CommandFailed` with the reason.
    """

    def __init__(self, identity: str, url: str, sandbox: TwilioSandbox, thread: LoopThread) -> None:
        self.identity = identity  #: The agent's, as in `client:IDENTITY`.
        self.phone = sandbox.phones[f"client:{identity}"]  #: The agent's phone, in the sandbox.
        self._url = url
        self._sandbox = sandbox
        self._thread = thread
        self._id = f"test-{secrets.token_hex(8)}"
        self._status, self._wanted = "away", "ready"
        self._sessions: dict[str, dict[str, Any]] = {}
        #: The last event of each command.
        self._results: dict[str, dict[str, Any]] = {}
        self._is_connected = False
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Desk {self.identity}: {self.status}>"

    @property
    def status(self) -> str:
        """The agent's presence: `ready`, `busy`, or `away`."""
        return self._status

    @property
    def call(self) -> CallHandle:
        """The call that the agent has; LookupError without one.

        Its `hang_up` is the crash of a browser: the agent is rung again, and the desk answers by itself.
        """
        if (call := self._answered()) is None:
            raise LookupError(f"{self.identity} has no call")
        return call

    @property
    def session(self) -> Mapping[str, Any]:
        """The session of that call, as the desk's stream shows it."""
        if (session := self._session_of(self.call)) is None:
            raise LookupError(f"{self.identity} sees no session of this call")
        return session

    def go_ready(self) -> Awaitable[None]:
        """Say that the agent takes calls; a new desk has said it."""
        return self._thread.finish(self._renew("ready", is_click=True))

    def go_away(self) -> Awaitable[None]:
        """Say that the agent takes no calls."""
        return self._thread.finish(self._renew("away"))

    def answer(self, timeout_s: float = WAIT_S) -> Awaitable[None]:
        """Wait for a ring, answer it, and wait until the agent takes part."""
        return self._thread.finish(self._answer(timeout_s))

    def decline(self, timeout_s: float = WAIT_S) -> Awaitable[None]:
        """Wait for a ring, and decline it."""
        return self._thread.finish(self._decline(timeout_s))

    def hang_up(self) -> Awaitable[None]:
        """Leave the call, as the page does: it removes the agent first."""
        return self._thread.finish(self._hang_up())

    def hold(self, party: str = "customer") -> Awaitable[None]:
        """Put a party on hold, and wait until it is."""
        return self.send("hold", party=party)

    def unhold(self, party: str = "customer") -> Awaitable[None]:
        """Take a party off hold, and wait until it is."""
        return self.send("unhold", party=party)

    def transfer(self, to: str, mode: str, **fields: Any) -> Awaitable[None]:
        """Start a transfer; it waits only until it is accepted.

        The target's desk or phone is to answer next.
        """
        return self._thread.finish(self._send("transfer", {"to": to, "mode": mode, **fields}, until_done=False))

    def complete(self) -> Awaitable[None]:
        """Complete a transfer: the agent leaves, the others go on."""
        return self.send("complete")

    def cancel(self) -> Awaitable[None]:
        """Cancel a transfer: the target leaves."""
        return self.send("cancel")

    def swap(self) -> Awaitable[None]:
        """In a consult, talk to the other one."""
        return self.send("swap")

    def merge(self) -> Awaitable[None]:
        """In a consult, let all three talk."""
        return self.send("merge")

    def park(self) -> Awaitable[None]:
        """Park the call."""
        return self.send("park")

    def send(self, command: str, **fields: Any) -> Awaitable[None]:
        """Send the call any other command, and wait until it is done."""
        return self._thread.finish(self._send(command, fields))

    # In the thread of webhooks and worker.

    async def sign_in(self, api_token: str) -> None:
        """Get a desk token; ValueError if the identity can't have one."""
        headers = {"Authorization": f"Bearer {api_token}"}
        async with (
            ClientSession(self._url) as http,
            http.post("/desk/tokens", json={"identity": self.identity}, headers=headers) as response,
        ):
            answer = await response.json()
        if "token" not in answer:
            raise ValueError(answer["error"]["reason"])
        self._http = ClientSession(self._url, headers={"Authorization": f"Bearer {answer['token']}"})

    async def connect(self) -> None:
        """Follow the agent's calls, and go ready."""
        self._tasks = [asyncio.create_task(self._follow())]
        await self._until(lambda: self._is_connected, "connected", WAIT_S)
        await self._renew("ready")
        self._tasks.append(asyncio.create_task(self._tend()))

    async def disconnect(self) -> None:
        """Go, without a word to the others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    async def _ask(self, method: str, path: str, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        async with self._http.request(method, path, json=fields) as response:
            text = await response.read()
            return response.status, decode_json(text) if text else {}

    async def _follow(self) -> None:
        """Read the agent's stream. Source: HTML Standard, 9.2.6."""
        headers = {"Accept": "text/event-stream"}
        options: dict[str, Any] = {"headers": headers, "timeout": ClientTimeout(total=None)}
        async with self._http.get(f"/desk/events?desk={self._id}", **options) as response:
            kind = ""
            async for line in response.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    self._hear(kind, decode_json(value))
        raise ConnectionError(f"the stream of {self.identity} has ended")

    def _hear(self, kind: str, data: dict[str, Any]) -> None:
        match kind:
            case "session":
                others = {name: one for name, one in self._sessions.items() if name != data["id"]}
                is_own = data["state"] != "ended" and self._legs(data)
                self._sessions = others | ({data["id"]: data} if is_own else {})
            case "command":
                self._results[data["command"]] = data
            case "presence":
                self._status = data["status"]
            case "ready":
                self._is_connected = True
        self._changed.set()

    async def _renew(self, wanted: str, *, is_click: bool = False) -> None:
        """Say what the agent wants; a missed offer needs a click."""
        self._wanted = wanted
        click = {"click": True} if is_click else {}
        _, answer = await self._ask("PUT", "/desk/presence", {"status": wanted, "desk": self._id, **click})
        self._status = answer["status"]
        self._renewed_s = asyncio.get_running_loop().time()

    async def _tend(self) -> None:
        """Do what the page does by itself."""
        while True:
            rings = self._rings()
            for ring in rings:
                if self._is_lost(ring) and self._answered() is None:
                    with suppress(ValueError):  # the ring is over
                        ring.answer()
                elif self._is_busy(ring, rings):
                    await self._ask("POST", f"/desk/rings/{ring.sid}", {"result": "busy"})
                    with suppress(ValueError):
                        ring.reject()
            if asyncio.get_running_loop().time() - self._renewed_s >= RENEW_EVERY_S:
                await self._renew(self._wanted)
            await wait_at_most(self._changed, _RECHECK_S)
            self._changed.clear()

    async def _answer(self, timeout_s: float) -> None:
        ring = await self._ring(timeout_s)
        ring.answer()

        def takes_part() -> bool:
            session = self._session_of(ring)
            return session is not None and self._leg_of(session, ring)["status"] == "connected"

        await self._until(takes_part, "in the call", timeout_s)

    async def _decline(self, timeout_s: float) -> None:
        (await self._ring(timeout_s)).reject()

    async def _ring(self, timeout_s: float) -> CallHandle:
        """Wait for a ring that the agent sees. Who is free sees each at once."""

        def shown() -> CallHandle | None:
            if self._answered() is not None:
                return None
            rings = self._rings()
            return next((ring for ring in rings if not self._is_busy(ring, rings)), None)

        return await self._until(shown, "rung", timeout_s)

    async def _hang_up(self) -> None:
        call = self.call
        with suppress(CommandRejected, CommandFailed, LookupError):
            await self._send("remove", {"party": call.sid}, until_done=False)
        with suppress(ValueError):  # Conferral was faster
            call.hang_up()

    async def _send(self, kind: str, fields: Mapping[str, Any], *, until_done: bool = True) -> None:
        session, command = self.session["id"], f"desk-{secrets.token_hex(8)}"
        status, answer = await self._ask(
            "POST", f"/desk/sessions/{session}/commands", {"type": kind, "id": command, **fields}
        )
        if status != HTTPStatus.ACCEPTED:
            raise CommandRejected(kind, answer["error"]["reason"], command_id=command, session=session)

        def result() -> dict[str, Any] | None:
            found = self._results.get(command)
            return None if found and until_done and found["status"] == "accepted" else found

        found = await self._until(result, f"informed of the result of {kind}", WAIT_S)
        if found["status"] in ("rejected", "failed"):
            error_type = CommandRejected if found["status"] == "rejected" else CommandFailed
            raise error_type(kind, found["reason"] or "", command_id=command, session=session, code=found["code"])

    async def _until(self, condition: Callable[[], T | None], what: str, timeout_s: float) -> T:
        """Wait until it holds, and return its value."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while not (found := condition()):
            for task in self._tasks:
                if task.done():
                    task.result()
            if loop.time() >= until_s:
                story = self._sandbox.story()
                raise TimeoutError(f"{self.identity} was not {what} within {timeout_s:g} s\n{story}")
            await asyncio.sleep(_RECHECK_S / 5)
        return found

    def _calls(self, status: str) -> list[CallHandle]:
        return self._sandbox.run(lambda _: [call for call in self.phone.calls if call.status == status])

    def _rings(self) -> list[CallHandle]:
        return [call for call in self._calls("ringing") if call.direction != "inbound"]

    def _answered(self) -> CallHandle | None:
        return next(iter(self._calls("in-progress")), None)

    def _legs(self, session: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the agent's parties of a session, those that have not left."""
        own = (party for party in session["parties"].values() if party["address"] == self.phone.address)
        return [party for party in own if party["status"] != _LEFT]

    def _session_of(self, call: CallHandle) -> dict[str, Any] | None:
        sessions = self._sessions.values()
        return next((one for one in sessions if any(leg["call_sid"] == call.sid for leg in self._legs(one))), None)

    def _leg_of(self, session: Mapping[str, Any], call: CallHandle) -> dict[str, Any]:
        return next(leg for leg in self._legs(session) if leg["call_sid"] == call.sid)

    def _is_lost(self, ring: CallHandle) -> bool:
        """Whether the agent's line was lost, and is rung again."""
        session = self._session_of(ring)
        return session is not None and bool(self._leg_of(session, ring)["is_lost"])

    def _is_busy(self, ring: CallHandle, rings: list[CallHandle]) -> bool:
        """Whether the desk rejects a ring by itself: the agent has another."""
        session = self._session_of(ring)
        if session is None or session["phase"] in _OWN_PHASES or len(self._legs(session)) > 1:
            return False
        if call := self._answered():
            own = self._session_of(call)
            return own is None or own["parties"]["customer"]["status"] != _LEFT
        return ring != rings[0]


class Desks:
    """The desks of a test, by identity."""

    def __init__(self, url: str, api_token: str, sandbox: TwilioSandbox, thread: LoopThread) -> None:
        self._url, self._api_token = url, api_token
        self._sandbox, self._thread = sandbox, thread
        self._desks: dict[str, Desk] = {}

    def open(self, identity: str) -> Desk:
        """Return an agent's desk, ready; ValueError for a bad identity."""
        if identity not in self._desks:
            desk = Desk(identity, self._url, self._sandbox, self._thread)
            self._thread.wait(desk.sign_in(self._api_token))
            self._desks[identity] = desk
            self._thread.wait(desk.connect())
        return self._desks[identity]

    def close(self) -> None:
        """Close all."""
        for desk in self._desks.values():
            self._thread.wait(desk.disconnect())
