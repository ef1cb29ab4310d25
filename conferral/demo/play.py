"""What can happen in a story: people call, command and hang up; and what everybody hears is seen to be so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from conferral.demo import cast
from conferral.demo.narrator import Narrator, narrated
from conferral.demo.phones import Does, Phones
from conferral.demo.stage import Stage
from conferral.demo.waiting import until
from conferral.errors import NotDoneError
from conferral.operations import words
from conferral.operations.following import Follower
from conferral.operations.reader import Fields
from conferral.storage import commands

#: How long one step may take, seconds.
STEP_S = 15.0
#: How long they talk, so that a reader can follow, seconds.
TALK_S = 1.5
RING_AFTER_S = 0.3
ANSWER_AFTER_S = 1.0
#: When somebody answers whose ringing is to be told of.
ANSWER_LATE_S = 3.0
#: Longest line of what everyone hears; what is longer gets a line for each (characters).
HEARD_WIDTH = 68
#: What somebody hears who may hear any tune or sentence, but not silence.
SOMETHING = "something"


@dataclass(frozen=True, slots=True)
class Theatre:
    """Where stories are played, and how fast."""

    stage: Stage
    phones: Phones
    #: So many times shorter are pauses and ringing than usual.
    pace: float = 1.0

    async def set_phones(self) -> None:
        """Everybody's phone is picked up when it rings, and 1 is pressed where a key is asked for."""
        for address in cast.ANSWERING:
            await self.phones.call_it(address, cast.name(address).removeprefix("the "))
            await self.phone(address, answer_after_s=ANSWER_AFTER_S, keys=["1"])

    async def hand_phones_over(self) -> None:
        """From here on some phones ring until somebody picks them up, so that they can be played by hand."""
        for address in cast.BY_HAND:
            await self.phones.give_to_a_person(address)

    async def set_lines(self) -> None:
        """All numbers are answered by the webhooks, and have names."""
        for number, name in cast.LINES.items():
            route = "/voice/conference" if number == cast.WAITING_LINE else "/voice/inbound"
            await self.phones.set_number(number, name, self.stage.webhooks_url, route)

    async def phone(self, address: str, **does: Does) -> None:
        """Tells a phone what it does when it rings; seconds at the usual pace."""
        timed = {"ring_after_s": RING_AFTER_S, **does}
        script = {name: at / self.pace if isinstance(at, float) else at for name, at in timed.items()}
        await self.phones.script(address, **script)

    @asynccontextmanager
    async def call_in(self, line: str = cast.BUSINESS) -> AsyncIterator["Play"]:
        """A customer calls, and alice answers."""
        async with self._told(await self.phones.call(cast.CUSTOMER, line), line) as play:
            await play.until_answered()
            yield play

    @asynccontextmanager
    async def call_to_wait(self) -> AsyncIterator["Play"]:
        """A customer calls the line on which callers wait."""
        async with self._told(await self.phones.call(cast.CUSTOMER, cast.WAITING_LINE), cast.WAITING_LINE) as play:
            yield play

    @asynccontextmanager
    async def call_from_browser(self, session_id: str) -> AsyncIterator["Play"]:
        """Alice calls the customer from a browser."""
        async with self._told(session_id) as play:
            await self.phones.browser_call(cast.ALICE.removeprefix("client:"), cast.CUSTOMER, SessionID=session_id)
            yield play

    @asynccontextmanager
    async def call_out(self, session_id: str, **fields: str) -> AsyncIterator["Play"]:
        """Alice is called, then the customer."""
        async with self._told(session_id) as play:
            options = "".join(f" --{name} {value}" for name, value in fields.items())
            await play.narrator.act(
                f"somebody types: call --agent {cast.ALICE} --customer {words.address(cast.CUSTOMER)}{options}"
            )
            await play.ask("call", agent=cast.ALICE, customer=cast.CUSTOMER, **fields)
            yield play

    async def bridged(self, caller: str) -> str:
        """Brings a call up of which nothing is told; returns its session's id.

        Raises:
            NotDoneError: it did not come up.
        """
        session_id = await self.phones.call(caller, cast.BUSINESS)
        await Play(self, session_id, Narrator(Follower(self.stage.reader, session_id))).until_answered()
        return session_id

    @asynccontextmanager
    async def _told(self, session_id: str, line: str = cast.BUSINESS) -> AsyncIterator["Play"]:
        async with narrated(Follower(self.stage.reader, session_id), line) as narrator:
            yield Play(self, session_id, narrator)

    async def until_silent(self) -> None:
        """Waits until no call is left.

        Raises:
            NotDoneError: some are.
        """

        async def are_over() -> bool:
            return not await self.phones.live_calls()

        if not await until(are_over, STEP_S):
            raise NotDoneError("the session has ended, but calls are left")


@dataclass(slots=True)
class Play:
    """One session's story."""

    theatre: Theatre
    session_id: str
    narrator: Narrator

    async def act(self, sentence: str) -> None:
        """Tells what somebody does next, a moment after what went before."""
        await self.talk()
        await self.narrator.act(sentence)

    async def talk(self) -> None:
        """They talk for a moment."""
        await asyncio.sleep(TALK_S / self.theatre.pace)

    async def ask(self, kind: str, expected: str = "done", **fields: str) -> None:
        """Gives the session a command and waits for its outcome.

        Raises:
            NotDoneError: it is another one than expected, `done` or the reason of its failure.
        """
        outcome = await self.outcome(await self.begin(kind, **fields))
        came = outcome.status if outcome.status == "done" else outcome.reason
        if came != expected:
            raise NotDoneError(f"{kind} {outcome.status or 'was not taken up'}: {outcome.reason}")
        await self.narrator.catch_up()

    async def begin(self, kind: str, **fields: str) -> str:
        """Gives the session a command; returns its id."""
        reader = self.theatre.stage.reader
        return await commands.publish(reader.client, reader.keys, {"type": kind, "session": self.session_id, **fields})

    async def outcome(self, command_id: str) -> commands.CommandOutcome:
        """What came of a command."""
        reader = self.theatre.stage.reader
        return await commands.wait_for_outcome(reader.client, reader.keys, command_id, STEP_S)

    async def now(self, **people: str) -> None:
        """From here on the parties are these people; told is what went before."""
        await self.narrator.catch_up()
        self.narrator.people |= people

    async def hear(self, **heard: str) -> None:
        """Waits until people hear this and tells it.

        Args:
            heard: By name, with `customer` for `the customer`: who or what they hear.

        Raises:
            NotDoneError: they do not.
        """
        expected = {("the customer" if name == "customer" else name): what for name, what in heard.items()}
        hears: dict[str, str] = {}

        async def so_it_is() -> bool:
            people = await self._people_by_call()
            hears.clear()
            hears.update(await self.theatre.phones.heard_now(people))
            return hears.keys() == expected.keys() and all(_is(what, expected[name]) for name, what in hears.items())

        if not await until(so_it_is, STEP_S):
            raise NotDoneError(f"they should hear {expected}; they hear {hears}")
        told = [f"{name} hears {hears[name]}" for name in expected]
        whole = "; ".join(told)
        for line in [whole] if len(whole) <= HEARD_WIDTH else told:
            await self.narrator.add(line)

    async def press(self, party: str, key: str) -> None:
        """Somebody presses a key."""
        await self.theatre.phones.press((await self._session())[f"party.{party}.call_sid"], key)

    async def answer(self, party: str) -> None:
        """Somebody picks up."""
        await self.theatre.phones.answer((await self._session())[f"party.{party}.call_sid"])

    async def leave(self, party: str) -> None:
        """Somebody hangs up."""
        fields = await self._session()
        await self.theatre.phones.hang_up(fields[f"party.{party}.call_sid"])

    async def hang_up(self, party: str) -> None:
        """Somebody hangs up, and with that the call is over."""
        await self.leave(party)
        await self.is_over()

    async def is_over(self) -> None:
        """Waits until the session has ended and nobody is on the line any more."""
        await self.until("the end", lambda it: it.get("state") == "ended")
        await self.theatre.until_silent()
        await self.narrator.add(f"calls left at the local Twilio: {await self.theatre.phones.live_calls()}")

    async def until_answered(self) -> None:
        """Waits until the agent has answered.

        Raises:
            NotDoneError: she did not.
        """
        await self.until("the agent's answer", lambda it: it.get("phase") == "connected")

    async def until(self, what: str, holds: Callable[[Fields], bool]) -> Fields:
        """Waits until something is true of the session.

        Raises:
            NotDoneError: it did not become so.
        """

        async def came() -> bool:
            return holds(await self._session())

        if not await until(came, STEP_S):
            state = (await self._session()).get("state", "unknown")
            raise NotDoneError(f"{what} did not come within {STEP_S:g} s; the session is {state}")
        return await self._session()

    async def lonely(self, party: str, since_s: float) -> str:
        """For how long a party has heard nobody since then, in words."""
        fields, phones = await self._session(), self.theatre.phones
        lonely_s = await phones.lonely_s(fields[f"party.{party}.call_sid"], since_s, await phones.now_s())
        return f"{lonely_s * 1000:.0f} ms"

    async def recorded(self, since_s: float) -> dict[str, float]:
        """For how many seconds since then each voice went onto a recording, by name."""
        return await self.theatre.phones.recorded_s(await self._people_by_call(), since_s)

    async def _session(self) -> Fields:
        return await self.theatre.stage.reader.session(self.session_id)

    async def _people_by_call(self) -> dict[str, str]:
        fields = await self._session()
        return {
            fields[f"party.{party}.call_sid"]: cast.name(fields[f"party.{party}.address"])
            for party in words.parties(fields)
            if fields.get(f"party.{party}.call_sid")
        }


def _is(what: str, expected: str) -> bool:
    return what == expected or (expected == SOMETHING and what != "silence")
