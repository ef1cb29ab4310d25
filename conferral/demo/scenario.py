"""Building blocks of the demo's stories: people call, talk, hang up.

Each raises `CommandNotDoneError` if what it expects does not happen in time.
"""

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
from conferral.operations.command_submission import CommandSubmitter, SubmittedCommand
from conferral.operations.history.change_feed import ChangeFeed
from conferral.statemachine.states import PartyStatus, Phase
from conferral.storage.codecs.session_view import PartyView, SessionView
from conferral.storage.commands.command_stream import CommandOutcome

STEP_S = 15.0
#: Length of a conversation, in seconds, so that a reader can follow.
TALK_S = 1.5
RING_AFTER_S = 0.3
ANSWER_AFTER_S = 1.0
#: How long a phone rings whose ringing the story narrates, in seconds.
LATE_ANSWER_AFTER_S = 3.0
#: Maximum length of a line about what everyone hears; a longer one is split (characters).
HEARD_WIDTH = 68
#: Matches any music or announcement, but not silence.
ANYTHING = "something"


@dataclass(frozen=True, slots=True)
class ScenarioRunner:
    """Plays scenarios at a given pace."""

    environment: DemoEnvironment
    phones: DemoPhones
    #: Factor by which pauses and ringing are shortened.
    pace: float = 1.0

    async def script_all_phones(self) -> None:
        """Name every phone, and let it answer and press 1 at the first prompt."""
        for address in characters.ANSWERING:
            await self.phones.script(address, name=characters.name(address).removeprefix("the "))
            await self.phone(address, answer_after_s=ANSWER_AFTER_S, keys=["1"])

    async def set_phones_manual(self) -> None:
        """From here on, let some phones ring until the user answers them."""
        for address in characters.MANUAL_PHONES:
            await self.phones.script(address, by_hand=True)

    async def set_lines(self) -> None:
        """Point all numbers to the webhooks, and name them."""
        for number, name in characters.LINE_NAMES.items():
            route = "/voice/conference" if number == characters.WAITING_LINE else "/voice/inbound"
            await self.phones.set_number(number, name, self.environment.webhooks_url, route)

    async def phone(self, address: str, **does: ScriptValue) -> None:
        """Script a phone; floats are times in seconds at normal pace."""
        timed = {"ring_after_s": RING_AFTER_S, **does}
        script = {name: at / self.pace if isinstance(at, float) else at for name, at in timed.items()}
        await self.phones.script(address, **script)

    @asynccontextmanager
    async def call_in(self, line: str = characters.BUSINESS) -> AsyncIterator["Scenario"]:
        """Let a customer call, and alice answer, except on the waiting line."""
        async with self._narrated_scenario(await self.phones.call(characters.CUSTOMER, line), line) as play:
            if line != characters.WAITING_LINE:
                await play.wait_until_answered()
            yield play

    @asynccontextmanager
    async def call_from_browser(self, session_id: str) -> AsyncIterator["Scenario"]:
        """Let alice call the customer from a browser."""
        async with self._narrated_scenario(session_id) as play:
            identity = characters.ALICE.removeprefix("client:")
            await self.phones.browser_call(identity, characters.CUSTOMER, SessionID=session_id)
            yield play

    @asynccontextmanager
    async def call_out(self, session_id: str, **fields: str) -> AsyncIterator["Scenario"]:
        """Call alice, then the customer."""
        async with self._narrated_scenario(session_id) as play:
            options = "".join(f" --{name} {value}" for name, value in fields.items())
            await play.narrator.announce(
                f"command: call --agent {characters.ALICE} "
                f"--customer {wording.display_address(characters.CUSTOMER)}{options}"
            )
            await play.submit("call", agent=characters.ALICE, customer=characters.CUSTOMER, **fields)
            yield play

    async def start_bridged_call(self, caller: str) -> str:
        """Start a call without narrating it; return its session's id."""
        session_id = await self.phones.call(caller, characters.BUSINESS)
        narrator = Narrator(ChangeFeed(self.environment.reader, session_id))
        await Scenario(self, session_id, narrator).wait_until_answered()
        return session_id

    @asynccontextmanager
    async def _narrated_scenario(self, session_id: str, line: str = characters.BUSINESS) -> AsyncIterator["Scenario"]:
        async with narrating(ChangeFeed(self.environment.reader, session_id), line) as narrator:
            yield Scenario(self, session_id, narrator)

    async def wait_until_idle(self) -> None:
        """Wait until no call is left."""

        async def all_calls_ended() -> bool:
            return not await self.phones.live_calls()

        if not await poll_until(all_calls_ended, STEP_S):
            raise CommandNotDoneError("the session has ended, but calls are left")


@dataclass(slots=True)
class Scenario:
    """One session's story."""

    runner: ScenarioRunner
    session_id: str
    narrator: Narrator

    async def announce(self, sentence: str) -> None:
        """Announce a person's next action after a short pause."""
        await self.talk()
        await self.narrator.announce(sentence)

    async def talk(self) -> None:
        """Let them talk for a moment."""
        await asyncio.sleep(TALK_S / self.runner.pace)

    async def submit(self, kind: str, expected: str = "done", **fields: str) -> None:
        """Submit a command; wait for `done`, or for the `expected` failure."""
        outcome = await self.read_outcome(await self.submit_without_waiting(kind, **fields))
        if (outcome.status if outcome.status == "done" else outcome.reason) != expected:
            raise CommandNotDoneError(f"{kind} {outcome.status or 'was not processed'}: {outcome.reason}")
        await self.narrator.narrate_new()

    @property
    def _submitter(self) -> CommandSubmitter:
        return CommandSubmitter(self.runner.environment.reader)

    async def submit_without_waiting(self, kind: str, **fields: str) -> SubmittedCommand:
        """Submit a command to the session; don't wait for its outcome."""
        return await self._submitter.submit({"type": kind, "session": self.session_id, **fields})

    async def read_outcome(self, command: SubmittedCommand) -> CommandOutcome:
        """Return a command's outcome."""
        return await self._submitter.wait_for_outcome(command, STEP_S)

    async def set_people(self, **people: str) -> None:
        """Narrate what came before, then rename the parties."""
        await self.narrator.narrate_new()
        self.narrator.people |= people

    async def expect_heard(self, **heard: str) -> None:
        """Wait until people hear what is expected, and narrate it.

        `heard` has what each connected person hears, by name, with `customer` for `the customer`.
        """
        expected = {("the customer" if name == "customer" else name): what for name, what in heard.items()}
        hears: dict[str, str] = {}

        async def all_hear_as_expected() -> bool:
            people = await self._people_by_call()
            hears.clear()
            hears.update(await self.runner.phones.heard_now(people))
            return hears.keys() == expected.keys() and all(
                _is_as_expected(what, expected[name]) for name, what in hears.items()
            )

        if not await poll_until(all_hear_as_expected, STEP_S):
            raise CommandNotDoneError(f"they should hear {expected}; they hear {hears}")
        lines = [f"{name} hears {hears[name]}" for name in expected]
        whole = "; ".join(lines)
        for line in [whole] if len(whole) <= HEARD_WIDTH else lines:
            await self.narrator.add_observation(line)

    async def press(self, party: str, key: str) -> None:
        """Press a key on a party's phone."""
        await self.runner.phones.press((await self._session()).parties[party].call_sid, key)

    async def answer(self, party: str) -> None:
        """Answer a party's phone."""
        await self.runner.phones.answer((await self._session()).parties[party].call_sid)

    async def leave(self, party: str) -> None:
        """Hang up a party's phone; the call continues."""
        await self.runner.phones.hang_up((await self._session()).parties[party].call_sid)

    async def hang_up(self, party: str, sentence: str) -> None:
        """Announce this, and hang up a party's phone, which ends the call."""
        await self.announce(sentence)
        await self.leave(party)
        await self.wait_until_ended()

    async def wait_until_ended(self) -> None:
        """Wait until the session has ended and every call is over."""
        await self.wait_until("the end", lambda it: it.is_ended)
        await self.runner.wait_until_idle()
        await self.narrator.add_observation(f"calls left at the local Twilio: {await self.runner.phones.live_calls()}")

    async def wait_until_answered(self) -> None:
        """Wait until the agent has answered."""
        await self.wait_until("the agent's answer", lambda it: it.phase == Phase.CONNECTED)

    async def wait_until_party_is(self, party: str, status: PartyStatus) -> None:
        """Wait until a party has a status."""
        await self.wait_until(f"{party} {status}", lambda it: it.parties.get(party, PartyView()).status == status)

    async def wait_until(self, what: str, holds: Callable[[SessionView], bool]) -> None:
        """Wait until a condition holds for the session."""

        async def is_reached() -> bool:
            return holds(await self._session())

        if not await poll_until(is_reached, STEP_S):
            state = (await self._session()).state or "unknown"
            raise CommandNotDoneError(f"{what} did not come within {STEP_S:g} s; the session is {state}")

    async def heard_no_one_text(self, party: str, since_s: float) -> str:
        """Return how long a party has heard no one, in ms with the unit."""
        session, phones = await self._session(), self.runner.phones
        heard_no_one_s = await phones.heard_no_one_s(session.parties[party].call_sid, since_s, await phones.now_s())
        return f"{heard_no_one_s * 1000:.0f} ms"

    async def recorded(self, since_s: float) -> dict[str, float]:
        """Return how many seconds of each voice were recorded since then, by name."""
        return await self.runner.phones.recorded_s(await self._people_by_call(), since_s)

    async def _session(self) -> SessionView:
        return await self.runner.environment.reader.view(self.session_id)

    async def _people_by_call(self) -> dict[str, str]:
        parties = (await self._session()).parties.values()
        return {party.call_sid: characters.name(party.address) for party in parties if party.call_sid}


def _is_as_expected(what: str, expected: str) -> bool:
    return what == expected or (expected == ANYTHING and what != "silence")
