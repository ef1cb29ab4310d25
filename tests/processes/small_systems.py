"""Small worlds side by side on one Redis, in each of which one story is played with a fault.

Commands are given one after the other; who the customer talks to in the end, and what was published, is the outcome.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from conferral.sandbox import CallHandle
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_stream import CommandOutcome
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import AGENT, LocalSystem

#: Worlds that are played side by side (count).
AT_ONCE = 6
Command = tuple[str, dict[str, str]]
CONSULT: Sequence[Command] = (
    ("transfer", {"to": TARGET, "mode": "consult"}),
    ("swap", {}),
    ("merge", {}),
    ("complete", {}),
)
BLIND: Sequence[Command] = (("transfer", {"to": TARGET, "mode": "blind"}),)
_numbers = count()


@dataclass
class SmallSystem:
    """A story that is being played: its people, and the commands that were given."""

    system: LocalSystem
    customer: CallHandle
    agent: CallHandle
    #: Command ids with their kinds, in order.
    given: dict[str, str] = field(default_factory=dict)
    #: When a kind of command was given last, seconds of the sandbox's clock.
    given_at_s: dict[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.customer.sid

    @property
    def target(self) -> CallHandle | None:
        """The target's call, once it was dialed."""
        return next(iter(self.system.sandbox.calls_of(TARGET)), None)

    async def say(self, kind: str, **fields: str) -> str:
        """Gives a command; its answer is waited for later."""
        self.given_at_s[kind] = self.system.listening.now()
        given = {"type": kind, "session": self.id, **fields}
        command_id = await command_stream.publish(self.system.client, self.system.keys, given)
        self.given[fields.get("id", command_id)] = kind
        return fields.get("id", command_id)

    async def give(self, kind: str, **fields: str) -> CommandOutcome:
        """Gives a command and waits for its answer."""
        return await self.system.outcome_of(await self.say(kind, **fields))

    async def answers(self) -> dict[str, CommandOutcome]:
        """The answer to each command, by its kind; every one has a final one."""
        found = {kind: await self.system.outcome_of(command_id) for command_id, kind in [*self.given.items()]}
        assert all(outcome.is_final for outcome in found.values()), f"{found}\n{await self.system.report()}"
        return found

    def hang_up(self, *names: str) -> None:
        """People hang up, those who were dialed already."""
        for name in names:
            call = getattr(self, name)
            if call is not None:
                call.hang_up()

    async def ends(self, reason: str, *, debugger: frozenset[int] = frozenset()) -> list[dict[str, str]]:
        """It is over for that reason, and nothing is left; returns the transfer's published outcomes.

        No one was dialed twice, final statuses stayed the same, and each end was published once.
        """
        before = await self.answers()
        await self.system.everyone_is_gone(self.id, reason, debugger=debugger)
        assert await self.answers() == before
        assert self.system.dials_to(TARGET) <= 1
        published = await self.system.outcomes()
        assert len({entry["id"] for entry in published}) == len(published), published
        assert [entry["reason"] for entry in published if entry["kind"] == "session"] == [reason]
        return [entry for entry in published if entry["kind"] == "transfer"]

    async def company(self) -> str:
        """Waits until everything is idle; returns who talks with the customer then, and hangs the customer up.

        `agent` is who had the call at first, `target` whom the transfer dialed, `recalled` the agent rung again, and
        `no one` where it is all over.
        """

        async def has_ended() -> bool:
            return (await self.system.session(self.id))["state"] == "ended"

        async def at_rest() -> bool:
            return await has_ended() or (len(self._heard_by_customer()) == 1 and await self._transfer_is_over())

        await self.system.eventually(at_rest, "the call is over, or the customer has company")
        await self.is_quiet()
        if await has_ended():
            await self.ends((await self.system.session(self.id))["end_reason"])
            return "nobody"
        calls = {call.sid: "recalled" for call in self.system.sandbox.calls_of(AGENT)} | {self.agent.sid: "agent"}
        calls |= {call.sid: "target" for call in self.system.sandbox.calls_of(TARGET)}
        (other,) = self._heard_by_customer()
        await self.system.until_hears(CallHandle(self.system.sandbox, other), [self.customer])
        assert {call.sid for call in self.system.sandbox.live_calls()} == {other, self.customer.sid}
        self.customer.hang_up()
        await self.ends("customer-left")
        return calls[other]

    def _heard_by_customer(self) -> frozenset[str]:
        heard = self.system.listening.hears(self.customer)
        return heard if isinstance(heard, frozenset) else frozenset()

    async def _transfer_is_over(self) -> bool:
        return (await self.system.session(self.id)).get("transfer.stage") == "over"

    async def published(self) -> tuple[str, str]:
        """The published outcome of the only transfer: its result and reason."""
        (entry,) = [entry for entry in await self.system.outcomes() if entry["kind"] == "transfer"]
        return entry["result"], entry["reason"]

    async def is_quiet(self) -> None:
        """Waits until everything that has happened is decided, and all that was ordered is done."""
        keys, client = self.system.keys, self.system.client
        timers = {f"{timer}|{self.id}".encode() for timer in ("confirm", "stage", "lone")}

        async def quiet() -> bool:
            async with client.pipeline(transaction=False) as requests:
                for partition in range(keys.partitions):
                    requests.xlen(keys.events(partition))
                    requests.hlen(keys.outbox(partition))
                    requests.zrange(keys.timers(partition), 0, -1)
                left = await requests.execute()
            return not any(left[0::3]) and not any(left[1::3]) and not timers.intersection(*left[2::3])

        await self.system.sandbox.wait_until_idle()
        await self.system.eventually(quiet, "nothing is under way")

    def customer_never_heard_the_consult(self) -> bool:
        """Whether customer and target did not hear each other before someone wanted them to."""
        wanted_at_s = [self.given_at_s[kind] for kind in ("merge", "complete") if kind in self.given_at_s]
        until_s = min(wanted_at_s, default=None)
        ears = self.system.listening
        return self.target is None or (
            ears.never_heard(self.customer, self.target, until_s=until_s)
            and ears.never_heard(self.target, self.customer, until_s=until_s)
        )

    def recalls(self) -> int:
        """How often the agent was dialed again (count)."""
        return self.system.dials_to(AGENT)


def small_world(redis_url: str, **options: Any) -> LocalSystem:
    """A world of its own next to others on the same Redis."""
    return LocalSystem(redis_url, CONFERRAL_PREFIX=f"moment-{next(_numbers)}", CONFERRAL_PARTITIONS=1, **options)


async def side_by_side(stories: Iterable[Awaitable[Any]], at_once: int = AT_ONCE) -> list[Any]:
    """Plays so many stories at a time; returns what came of each of them, or its error."""
    places = asyncio.Semaphore(at_once)

    async def one(story: Awaitable[Any]) -> Any:
        async with places:
            return await story

    return await asyncio.gather(*map(one, stories), return_exceptions=True)
