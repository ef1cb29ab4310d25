"""Calls as a contact centre has them: people who call, talk, are transferred in every way, and hang up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from conferral.runtime.errors import StoreError
from conferral.storage import command_stream
from conferral.storage.command_stream import CommandResult
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from offhook import CallHandle, Sandbox
from tests.support.local_system import NUMBER

#: Whom is transferred to, and how often one is busy.
BUSY = "client:busy"
BUSY_SHARE = 0.1
#: How often a party is checked, seconds.
CHECK_EVERY_S = 0.25
#: The same while they only talk, seconds.
TALK_CHECK_S = 0.9
#: Within how long everyone comes to an end once no one calls any more, seconds.
CLOSING_S = 20.0
#: How long a caller waits for someone to talk to, seconds.
PATIENCE_S = 40.0
#: How long an operator waits for the outcome of a command, seconds.
OUTCOME_S = 45.0
#: Flows by how often each is played.
FLOWS = {"bridged": 4, "converted": 2, "warm": 2, "consult": 2, "swapped": 1, "cancelled": 1, "blind": 3, "parked": 1}


class Traffic:
    """Lets people call at a steady rate, each for about the same time.

    Args:
        sandbox: Where.
        client: For commands, as an operator gives them.
        keys: Redis's.
        chance: Decides who does what.
        per_second: Calls that begin a second (count).
        lasts_s: How long each lasts, about (seconds).
    """

    def __init__(
        self, sandbox: Sandbox, client: Client, keys: Keys, chance: Random, *, per_second: float, lasts_s: float
    ) -> None:
        #: Calls that have begun (count).
        self.calls = 0
        #: Commands whose outcome was never known.
        self.without_outcome: list[str] = []
        #: Callers who gave up before they talked to anyone.
        self.never_talked: list[str] = []
        self._sandbox = sandbox
        self._client = client
        self._keys = keys
        self._chance = chance
        self._per_second = per_second
        self._lasts_s = lasts_s
        self._running: set[asyncio.Task[None]] = set()
        self._given = 0
        self._calling: asyncio.Task[None] | None = None
        self.is_over = False
        self._flow_names = [name for name, share in FLOWS.items() for _ in range(share)]
        sandbox.phone(BUSY).script(outcome="busy")

    def start(self) -> None:
        """Lets calls begin until `is_over` is set; then `drained` waits for those that go on."""
        self._calling = asyncio.create_task(self._call())

    async def _call(self) -> None:
        next_s = time.monotonic()
        while not self.is_over:
            task = asyncio.create_task(self._one(self.calls))
            self.calls += 1
            self._running.add(task)
            task.add_done_callback(self._ended)
            # By the clock: a machine that is busy for a moment makes up for it.
            next_s += self._chance.expovariate(self._per_second)
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    async def drained(self) -> None:
        """Waits until everyone has hung up."""
        if self._calling is not None:
            await self._calling
        while self._running:
            await asyncio.wait(self._running)
            await asyncio.sleep(0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.result()

    # ---- one call ------------------------------------------------------------------------------------------------

    async def _one(self, number: int) -> None:
        chance = Random(f"{self._chance.random()}/{number}")
        flow = chance.choice(self._flow_names)
        ends_s = time.monotonic() + self._lasts_s * chance.uniform(0.8, 1.2)
        customer = await self._sandbox.call_in(f"+1415555{number % 10_000:04}", NUMBER)
        if not await self._comes(lambda: self._talks(customer), PATIENCE_S) or customer.record.is_final:
            self.never_talked.append(customer.sid)
            if not customer.record.is_final:
                customer.hang_up()
            return
        plays: dict[str, Callable[[CallHandle, Random], Awaitable[None]]] = {
            "converted": self._convert, "warm": self._warm, "consult": self._consult, "swapped": self._swap,
            "cancelled": self._cancel, "blind": self._blind, "parked": self._park,
        }  # fmt: skip
        await self._talk(customer, chance.uniform(1.0, self._lasts_s * 0.8), chance)
        if flow in plays:
            await plays[flow](customer, chance)
        await self._talk(customer, ends_s - time.monotonic(), chance)
        await self._ends(customer, chance)

    async def _talk(self, customer: CallHandle, lasts_s: float, chance: Random) -> None:
        """They talk for so long; at closing time everyone comes to an end."""
        until_s = time.monotonic() + lasts_s
        while time.monotonic() < until_s and not customer.record.is_final:
            if self.is_over:
                until_s = min(until_s, time.monotonic() + chance.uniform(0.0, CLOSING_S))
                await self._comes(lambda: customer.record.is_final, until_s - time.monotonic())
                return
            await asyncio.sleep(TALK_CHECK_S)

    async def _ends(self, customer: CallHandle, chance: Random) -> None:
        way = chance.choice(["customer", "customer", "other", "command"])
        heard = customer.hears_now
        if way == "command" and not customer.record.is_final:
            await self._give("end", customer)
        elif way == "other" and heard is not None and heard.parties:
            self._sandbox.call(min(heard.parties)).hang_up()
            await self._comes(lambda: customer.record.is_final, PATIENCE_S)
        if not customer.record.is_final:
            customer.hang_up()

    async def _convert(self, customer: CallHandle, _chance: Random) -> None:
        await self._give("convert", customer)

    async def _warm(self, customer: CallHandle, chance: Random) -> None:
        if (await self._transfer(customer, chance, "warm")).status == "done":
            await self._give("complete", customer)

    async def _consult(self, customer: CallHandle, chance: Random) -> None:
        if (await self._transfer(customer, chance, "consult")).status == "done":
            await self._give("complete", customer)

    async def _swap(self, customer: CallHandle, chance: Random) -> None:
        if (await self._transfer(customer, chance, "consult")).status == "done":
            await self._give("swap", customer)
            await self._give("merge", customer)
            await self._give("complete", customer)

    async def _cancel(self, customer: CallHandle, chance: Random) -> None:
        if (await self._transfer(customer, chance, "consult")).status == "done":
            await self._give("cancel", customer)

    async def _blind(self, customer: CallHandle, chance: Random) -> None:
        await self._transfer(customer, chance, "blind")

    async def _park(self, customer: CallHandle, chance: Random) -> None:
        if (await self._give("park", customer)).status == "done":
            await self._comes(lambda: customer.record.is_final, chance.uniform(1.0, 5.0))
            await self._give("retrieve", customer, to=self._a_party(chance))

    async def _transfer(self, customer: CallHandle, chance: Random, mode: str) -> CommandResult:
        return await self._give("transfer", customer, to=self._a_party(chance), mode=mode)

    def _a_party(self, chance: Random) -> str:
        return BUSY if chance.random() < BUSY_SHARE else f"client:colleague_{chance.randrange(50)}"

    async def _give(self, kind: str, customer: CallHandle, **fields: str) -> CommandResult:
        """Gives a command under an id of its own, as often as it takes, and waits for its outcome."""
        self._given += 1
        command_id = f"c{self._given}"
        given = {"type": kind, "session": customer.sid, "id": command_id, **fields}
        began_s = time.monotonic()
        outcome = CommandResult(command_id, "", "", customer.sid)
        is_given = False
        while not outcome.is_final and time.monotonic() < began_s + OUTCOME_S:
            with suppress(StoreError):
                if not is_given:
                    await command_stream.publish(self._client, self._keys, given)
                    is_given = True
                outcome = await command_stream.read_result(self._client, self._keys, command_id)
            await asyncio.sleep(0.1)
        if not outcome.status:
            self.without_outcome.append(f"{kind} {fields.get('mode', '')} of {customer.sid}")
        return outcome

    @staticmethod
    def _talks(customer: CallHandle) -> bool:
        heard = customer.hears_now
        return customer.record.is_final or (heard is not None and bool(heard.parties))

    @staticmethod
    async def _comes(holds: Callable[[], bool], timeout_s: float) -> bool:
        until_s = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > until_s:
                return False
            await asyncio.sleep(CHECK_EVERY_S)
        return True


def talking(sandbox: Sandbox) -> int:
    """Callers who are on the line (count)."""
    return sum(call.record.direction == "inbound" for call in sandbox.live_calls())
