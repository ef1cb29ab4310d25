"""Conferences from the start: one party waits there, however they came, while someone else is dialed into it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from conferral.commands.identity import session_id_of
from conferral.storage import command_stream
from conferral.storage.command_stream import CommandResult
from offhook import CallHandle
from tests.support.local_system import AGENT, CUSTOMER, DEADLINE_S, NUMBER, LocalSystem

BROWSER = "bea"
#: The TwiML application through which browsers call.
APP = "AP" + "1" * 32


class StartChannel(NamedTuple):
    """How such a conference is opened."""

    #: The party that waits.
    waiter: str
    #: The party that is dialed, and its phone.
    awaited: str
    phone: str
    wait_audio: str


WAYS = {
    "waiting": StartChannel("customer", "agent", AGENT, "music"),
    "client": StartChannel("agent", "customer", CUSTOMER, "ringback"),
    "call": StartChannel("agent", "customer", CUSTOMER, "ringback"),
}


def some(examples: Iterable[Any], *usual: Any) -> list[Any]:
    """Examples of a story, of which these are played in every run and the others in the long one."""
    return [pytest.param(example, marks=[] if example in usual else [pytest.mark.soak]) for example in examples]


def by_way(*usual: str) -> pytest.MarkDecorator:
    """A story that is played by every way into a conference, by these in every run."""
    return pytest.mark.parametrize("way", some(WAYS, *usual))


@dataclass
class ConferenceStart:
    """A conference that was opened."""

    system: LocalSystem
    way: StartChannel
    #: The session's id.
    id: str
    waiter: CallHandle
    #: Id of the `call` command, where it was one.
    command_id: str = ""

    @property
    def rung(self) -> CallHandle | None:
        """The call to the phone that is dialed, once it was."""
        return next(iter(self.system.sandbox.calls_of(self.way.phone)), None)

    async def session(self) -> dict[str, str]:
        return await self.system.session(self.id)

    async def until(self, **fields: str) -> dict[str, str]:
        return await self.system.until(self.id, **fields)

    async def rings(self) -> CallHandle:
        """Waits until the other one's phone rings, and the session shows it."""
        leg = await self.system.dialed(self.way.phone)
        await self.until(**{f"party.{self.way.awaited}.status": "ringing"})
        return leg

    async def talks(self) -> CallHandle:
        """Waits until the two talk, and the session is one like any other; returns the other one's leg."""
        await self.until(state="conferenced", phase="connected")
        leg = await self.system.leg(self.id, self.way.awaited)
        await self.system.until_talk(self.waiter, leg)
        self.system.listening.name(**{self.way.waiter: self.waiter, self.way.awaited: leg})
        return leg

    async def called(self) -> CommandResult | None:
        """What became of the `call`, where there was one."""
        return await self.system.result_of(self.command_id) if self.command_id else None

    async def ends(
        self, reason: str, *, debugger: frozenset[int] = frozenset(), conferences: int = 1
    ) -> dict[str, str]:
        """It is over for that reason: nothing is left, no one was dialed twice, and one outcome was published.

        Args:
            reason: `end_reason`.
            debugger: As in `everyone_is_gone`.
            conferences: How many conferences there may have been in sequence (count): a straight dial leads into one
                of them, so it is given up with it and placed again.
        """
        ended = await self.system.everyone_is_gone(self.id, reason, debugger=debugger)
        assert self.system.dials_to(self.way.phone) <= conferences
        assert len([leg for leg in self.system.sandbox.calls_of(self.way.phone) if leg.record.answered_at_s]) <= 1
        published = [entry for entry in await self.system.outcomes() if entry["kind"] == "session"]
        assert [(entry["session"], entry["reason"]) for entry in published] == [(self.id, reason)]
        return ended

    async def ended_by_hang_up(self, leg: CallHandle, reason: str, **expected: Any) -> None:
        """Someone hangs up, and with that it is over; `expected` goes to `ends`."""
        leg.hang_up()
        await self.ends(reason, **expected)

    async def ended_by_command(self, *, debugger: frozenset[int] = frozenset()) -> None:
        """Lets everyone go."""
        await self.system.done("end", self.id)
        await self.ends("command", debugger=debugger)

    async def fails(self, reason: str, *, debugger: frozenset[int] = frozenset()) -> None:
        """The other party was not reached: the waiting one hears why and is hung up; the command reports it."""
        await self.ends(reason, debugger=debugger)
        heard = self.system.listening.whats(self.waiter)
        assert heard[-1] == "said We are sorry, but we could not connect you. Please try again later. Goodbye.", heard
        called = await self.called()
        assert called is None or (called.status, called.reason) == ("failed", reason)

    async def is_a_conference(self) -> None:
        """The two talk, though something went wrong on the way; then one hangs up, and nothing is left."""
        leg = await self.talks()
        called = await self.called()
        assert called is None or called.status == "done"
        assert self.system.dials_to(self.way.phone) == 1
        leg.hang_up()
        await self.ends(f"{self.way.awaited}-left")


async def opened(system: LocalSystem, way: str, **params: str) -> ConferenceStart:
    """Someone calls, or is called, and is to wait; what the other one's phone does has been said before.

    Args:
        system: Where.
        way: One of `WAYS`.
        params: What a browser sends along, or more fields of `call`.
    """
    kind = WAYS[way]
    if way == "waiting":
        call = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{system.public_url}/voice/conference")
        return ConferenceStart(system, kind, call.sid, call)
    if way == "client":
        system.sandbox.add_application(
            APP, voice_url=f"{system.public_url}/voice/client", status_callback=f"{system.public_url}/voice/status"
        )
        call = await system.sandbox.call_from_browser(BROWSER, CUSTOMER, params)
        return ConferenceStart(system, kind, params.get("SessionID", call.sid), call)
    given = {"type": "call", "agent": AGENT, "customer": CUSTOMER, "mode": "conference", **params}
    command_id = await command_stream.publish(system.client, system.keys, given)
    session = params.get("session") or session_id_of(command_id)
    agent = await system.dialed(AGENT, timeout_s=DEADLINE_S)
    return ConferenceStart(system, kind, session, agent, command_id)


async def ringing(system: LocalSystem, way: str, **params: str) -> tuple[ConferenceStart, CallHandle]:
    """One waits, and the phone of the other one rings."""
    system.not_answered_by(WAYS[way].phone)
    opening = await opened(system, way, **params)
    return opening, await opening.rings()


async def in_conference(system: LocalSystem, way: str, **params: str) -> tuple[ConferenceStart, CallHandle]:
    """Two who talk in a conference that was there from the start."""
    system.answered_by(WAYS[way].phone)
    opening = await opened(system, way, **params)
    return opening, await opening.talks()


async def waits(opening: ConferenceStart) -> None:
    """Waits until the waiting party hears the wait audio."""
    await opening.system.eventually(
        lambda: opening.system.listening.hears(opening.waiter),
        f"who waits hears {opening.way.wait_audio}",
        equals=opening.way.wait_audio,
    )
