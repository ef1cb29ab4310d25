"""What can happen in a story: people call, command and hang up; and what everybody hears is seen to be so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from conferral.demo import characters
from conferral.demo.environment import DemoEnvironment
from conferral.demo.narrator import Narrator, narrating
from conferral.demo.phones import DemoPhones, ScriptValue
from conferral.demo.polling import poll_until
from conferral.errors import CommandNotDoneError
from conferral.operations import wording
from conferral.operations.history.change_feed import ChangeFeed
from conferral.operations.session_queries import Fields
from conferral.storage.commands import command_stream

#: How long one step may take, seconds.
STEP_S = 15.0
#: How long they talk, so that a reader can follow, seconds.
TALK_S = 1.5
RING_AFTER_S = 0.3
ANSWER_AFTER_S = 1.0
#: When somebody answers whose ringing is to be told of.
LATE_ANSWER_AFTER_S = 3.0
#: Longest line of what everyone hears; what is longer gets a line for each (characters).
HEARD_WIDTH = 68
#: What somebody hears who may hear any tune or sentence, but not silence.
ANYTHING = "something"


@dataclass(frozen=True, slots=True)
class ScenarioRunner:
    """Where stories are played, and how fast."""

    environment: DemoEnvironment
    phones: DemoPhones
    #: So many times shorter are pauses and ringing than usual.
    pace: float = 1.0

    async def set_phones(self) -> None:
        """Everybody's phone is picked up when it rings, and 1 is pressed where a key is asked for."""
        for address in characters.ANSWERING:
            await self.phones.set_name(address, characters.name(address).removeprefix("the "))
            await self.phone(address, answer_after_s=ANSWER_AFTER_S, keys=["1"])

    async def set_phones_manual(self) -> None:
        """From here on some phones ring until somebody picks them up, so that they can be played by hand."""
        for address in characters.MANUAL_PHONES:
            await self.phones.set_manual(address)

    async def set_lines(self) -> None:
        """All numbers are answered by the webhooks, and have names."""
        for number, name in characters.LINE_NAMES.items():
            route = "/voice/conference" if number == characters.WAITING_LINE else "/voice/inbound"
            await self.phones.set_number(number, name, self.environment.webhooks_url, route)

    async def phone(self, address: str, **does: ScriptValue) -> None:
        """Tells a phone what it does when it rings; seconds at the usual pace."""
        timed = {"ring_after_s": RING_AFTER_S, **does}
        script = {name: at / self.pace if isinstance(at, float) else at for name, at in timed.items()}
        await self.phones.script(address, **script)

    @asynccontextmanager
    async def call_in(self, line: str = characters.BUSINESS) -> AsyncIterator["Scenario"]:
        """A customer calls, and alice answers."""
        async with self._narrated_scenario(await self.phones.call(characters.CUSTOMER, line), line) as play:
            await play.wait_until_answered()
            yield play

    @asynccontextmanager
    async def call_to_wait(self) -> AsyncIterator["Scenario"]:
        """A customer calls the line on which callers wait."""
        async with self._narrated_scenario(
            await self.phones.call(characters.CUSTOMER, characters.WAITING_LINE), characters.WAITING_LINE
        ) as play:
            yield play

    @asynccontextmanager
    async def call_from_browser(self, session_id: str) -> AsyncIterator["Scenario"]:
        """Alice calls the customer from a browser."""
        async with self._narrated_scenario(session_id) as play:
            await self.phones.browser_call(
                characters.ALICE.removeprefix("client:"), characters.CUSTOMER, SessionID=session_id
            )
            yield play

    @asynccontextmanager
    async def call_out(self, session_id: str, **fields: str) -> AsyncIterator["Scenario"]:
        """Alice is called, then the customer."""
        async with self._narrated_scenario(session_id) as play:
            options = "".join(f" --{name} {value}" for name, value in fields.items())
            await play.narrator.announce(
                f"somebody types: call --agent {characters.ALICE} "
                f"--customer {wording.display_address(characters.CUSTOMER)}{options}"
            )
            await play.submit("call", agent=characters.ALICE, customer=characters.CUSTOMER, **fields)
            yield play

    async def start_bridged_call(self, caller: str) -> str:
        """Brings a call up of which nothing is told; returns its session's id.

        Raises:
            NotDoneError: it did not come up.
        """
        session_id = await self.phones.call(caller, characters.BUSINESS)
        await Scenario(
            self, session_id, Narrator(ChangeFeed(self.environment.reader, session_id))
        ).wait_until_answered()
        return session_id

    @asynccontextmanager
    async def _narrated_scenario(self, session_id: str, line: str = characters.BUSINESS) -> AsyncIterator["Scenario"]:
        async with narrating(ChangeFeed(self.environment.reader, session_id), line) as narrator:
            yield Scenario(self, session_id, narrator)

    async def wait_until_idle(self) -> None:
        """Waits until no call is left.

        Raises:
            NotDoneError: some are.
        """

        async def are_over() -> bool:
            return not await self.phones.live_calls()

        if not await poll_until(are_over, STEP_S):
            raise CommandNotDoneError("the session has ended, but calls are left")


@dataclass(slots=True)
class Scenario:
    """One session's story."""

    runner: ScenarioRunner
    session_id: str
    narrator: Narrator

    async def announce(self, sentence: str) -> None:
        """Tells what somebody does next, a moment after what went before."""
        await self.talk()
        await self.narrator.announce(sentence)

    async def talk(self) -> None:
        """They talk for a moment."""
        await asyncio.sleep(TALK_S / self.runner.pace)

    async def submit(self, kind: str, expected: str = "done", **fields: str) -> None:
        """Gives the session a command and waits for its outcome.

        Raises:
            NotDoneError: it is another one than expected, `done` or the reason of its failure.
        """
        outcome = await self.read_outcome(await self.submit_without_waiting(kind, **fields))
        came = outcome.status if outcome.status == "done" else outcome.reason
        if came != expected:
            raise CommandNotDoneError(f"{kind} {outcome.status or 'was not taken up'}: {outcome.reason}")
        await self.narrator.narrate_new()

    async def submit_without_waiting(self, kind: str, **fields: str) -> str:
        """Gives the session a command; returns its id."""
        reader = self.runner.environment.reader
        return await command_stream.publish(
            reader.client, reader.keys, {"type": kind, "session": self.session_id, **fields}
        )

    async def read_outcome(self, command_id: str) -> command_stream.CommandOutcome:
        """What came of a command."""
        reader = self.runner.environment.reader
        return await command_stream.wait_for_outcome(reader.client, reader.keys, command_id, STEP_S)

    async def set_people(self, **people: str) -> None:
        """From here on the parties are these people; told is what went before."""
        await self.narrator.narrate_new()
        self.narrator.people |= people

    async def expect_heard(self, **heard: str) -> None:
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
            hears.update(await self.runner.phones.heard_now(people))
            return hears.keys() == expected.keys() and all(
                _check_equal(what, expected[name]) for name, what in hears.items()
            )

        if not await poll_until(so_it_is, STEP_S):
            raise CommandNotDoneError(f"they should hear {expected}; they hear {hears}")
        told = [f"{name} hears {hears[name]}" for name in expected]
        whole = "; ".join(told)
        for line in [whole] if len(whole) <= HEARD_WIDTH else told:
            await self.narrator.add_observation(line)

    async def press(self, party: str, key: str) -> None:
        """Somebody presses a key."""
        await self.runner.phones.press((await self._session())[f"party.{party}.call_sid"], key)

    async def answer(self, party: str) -> None:
        """Somebody picks up."""
        await self.runner.phones.answer((await self._session())[f"party.{party}.call_sid"])

    async def leave(self, party: str) -> None:
        """Somebody hangs up."""
        fields = await self._session()
        await self.runner.phones.hang_up(fields[f"party.{party}.call_sid"])

    async def hang_up(self, party: str) -> None:
        """Somebody hangs up, and with that the call is over."""
        await self.leave(party)
        await self.wait_until_ended()

    async def wait_until_ended(self) -> None:
        """Waits until the session has ended and nobody is on the line any more."""
        await self.wait_until("the end", lambda it: it.get("state") == "ended")
        await self.runner.wait_until_idle()
        await self.narrator.add_observation(f"calls left at the local Twilio: {await self.runner.phones.live_calls()}")

    async def wait_until_answered(self) -> None:
        """Waits until the agent has answered.

        Raises:
            NotDoneError: she did not.
        """
        await self.wait_until("the agent's answer", lambda it: it.get("phase") == "connected")

    async def wait_until(self, what: str, holds: Callable[[Fields], bool]) -> Fields:
        """Waits until something is true of the session.

        Raises:
            NotDoneError: it did not become so.
        """

        async def came() -> bool:
            return holds(await self._session())

        if not await poll_until(came, STEP_S):
            state = (await self._session()).get("state", "unknown")
            raise CommandNotDoneError(f"{what} did not come within {STEP_S:g} s; the session is {state}")
        return await self._session()

    async def heard_nobody_text(self, party: str, since_s: float) -> str:
        """For how long a party has heard nobody since then, in words."""
        fields, phones = await self._session(), self.runner.phones
        lonely_s = await phones.heard_nobody_s(fields[f"party.{party}.call_sid"], since_s, await phones.now_s())
        return f"{lonely_s * 1000:.0f} ms"

    async def recorded(self, since_s: float) -> dict[str, float]:
        """For how many seconds since then each voice went onto a recording, by name."""
        return await self.runner.phones.recorded_s(await self._people_by_call(), since_s)

    async def _session(self) -> Fields:
        return await self.runner.environment.reader.read_session(self.session_id)

    async def _people_by_call(self) -> dict[str, str]:
        fields = await self._session()
        return {
            fields[f"party.{party}.call_sid"]: characters.name(fields[f"party.{party}.address"])
            for party in wording.party_names(fields)
            if fields.get(f"party.{party}.call_sid")
        }


def _check_equal(what: str, expected: str) -> bool:
    return what == expected or (expected == ANYTHING and what != "silence")
