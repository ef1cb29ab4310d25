"""Building blocks of the demo's story: people call, talk, hang up.

Each raises `CommandNotDoneError` if what it expects does not happen in time.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from conferral.cli import output
from conferral.commands.submission import CommandSubmitter, SubmittedCommand
from conferral.demo import characters
from conferral.demo.environment import DemoEnvironment
from conferral.demo.narrator import Narrator, narrating
from conferral.operations import catalog
from conferral.operations.errors import CommandNotDoneError
from conferral.processes.subprocesses import poll_until
from conferral.runtime.redaction import display_address, mask_address_numbers
from conferral.statemachine.session import Session
from conferral.statemachine.states import Phase
from conferral.storage.coordinator import read_owners
from offhook import CallHandle, Sandbox
from offhook.call_handle import heard_words
from offhook.views import UNKNOWN_PERSON

STEP_S = 15.0
#: Length of a conversation, in seconds, so that a reader can follow.
TALK_S = 1.5
RING_AFTER_S = 0.3
ANSWER_AFTER_S = 1.0
#: Maximum length of a line about what everyone hears; a longer one is split (characters).
HEARD_WIDTH = 68


@dataclass(frozen=True, slots=True)
class ScenarioRunner:
    """Plays scenarios at a given pace."""

    environment: DemoEnvironment
    sandbox: Sandbox
    #: Factor by which pauses and ringing are shortened.
    pace: float = 1.0
    #: The workers' processes, of which a story may kill one.
    worker_pids: Callable[[], Sequence[int]] = tuple

    def script_all_phones(self) -> None:
        """Name every phone, and let it answer and press 1 at the first prompt."""
        for address in characters.ALL_PHONES:
            self.sandbox.phone(address).name = characters.name(address).removeprefix("the ")
            self.phone(address, answer_after_s=ANSWER_AFTER_S, keys="1")

    def set_phones_manual(self) -> None:
        """From here on, let some phones ring until the user answers them."""
        for address in characters.MANUAL_PHONES:
            self.sandbox.set_manual(address, is_manual=True)

    def phone(self, address: str, **does: Any) -> None:
        """Script a phone; floats are times in seconds at normal pace."""
        timed = {"ring_after_s": RING_AFTER_S, **does}
        script: dict[str, Any] = {name: at / self.pace if isinstance(at, float) else at for name, at in timed.items()}
        self.sandbox.phone(address).script(**script)
        self.sandbox.notify()

    @asynccontextmanager
    async def call_in(self) -> AsyncIterator["Scenario"]:
        """Let a customer call, and alice answer."""
        caller, number = map(display_address, (characters.CUSTOMER, characters.BUSINESS))
        output.print_line(f"customer {caller} calls {number}; alice is dialed")
        call = await self.sandbox.call_in(characters.CUSTOMER, characters.BUSINESS)
        async with self.narrated(call.sid) as play:
            await play.wait_until_answered()
            yield play

    async def start_bridged_call(self) -> CallHandle:
        """Start a call without narrating it, and wait for the answer."""
        call = await self.sandbox.call_in(characters.CUSTOMER, characters.BUSINESS)
        await Scenario(self, call.sid, Narrator(self.environment.reader, call.sid)).wait_until_answered()
        return call

    @asynccontextmanager
    async def narrated(self, session_id: str) -> AsyncIterator["Scenario"]:
        """Narrate a session during the block."""
        async with narrating(self.environment.reader, session_id) as narrator:
            yield Scenario(self, session_id, narrator)

    async def wait_until_idle(self) -> None:
        """Wait until no call is left."""
        live_calls = self.sandbox.model.state.live_calls
        await _expect(lambda: not live_calls, "the session has ended, but calls are left")


@dataclass(slots=True)
class Scenario:
    """One session's story."""

    runner: ScenarioRunner
    session_id: str
    narrator: Narrator

    async def talk(self) -> None:
        """Let them talk for a moment."""
        await asyncio.sleep(TALK_S / self.runner.pace)

    async def do(self, why: str, kind: str, expected: str = "done", **fields: str) -> None:
        """Announce and submit a command; wait for `done`, or for a failure."""
        await self.finish(await self.begin(why, kind, **fields), expected)

    async def begin(self, why: str, kind: str, **fields: str) -> SubmittedCommand:
        """Announce a command as it is typed, and submit it."""
        await self.talk()
        options = [
            f"--{name}" if value == "true" else f"--{name} {mask_address_numbers(value)}"
            for name, value in fields.items()
        ]
        await self.narrator.announce(" ".join((f"{why}: {kind}", *options)))
        return await self._submitter.submit({"type": kind, "session": self.session_id, **fields})

    async def finish(self, command: SubmittedCommand, expected: str = "done") -> None:
        """Wait for a command to be `done`, or to fail as `expected`."""
        result = await self._submitter.wait_for_result(command, STEP_S)
        if (result.status if result.status == "done" else result.reason) != expected:
            raise CommandNotDoneError(f"{command.kind} {result.status or 'was not processed'}: {result.reason}")
        await self.narrator.narrate_new()

    @property
    def _submitter(self) -> CommandSubmitter:
        return CommandSubmitter(self.runner.environment.reader)

    async def set_people(self, **people: str) -> None:
        """Narrate what came before, then rename the parties."""
        await self.narrator.narrate_new()
        self.narrator.people |= people

    async def expect_talk(self, *names: str) -> None:
        """Wait until each of these people hears all others, and narrate it."""
        await self.expect_heard(**{one: catalog.join_names(sorted({*names} - {one})) for one in names})

    async def expect_heard(self, **heard: str) -> None:
        """Wait until people hear what is expected, and narrate it.

        `heard` has what each connected person hears, by name, with `customer` for `the customer`.
        """
        expected = {("the customer" if name == "customer" else name): what for name, what in heard.items()}
        hears: dict[str, str] = {}

        async def all_hear_as_expected() -> bool:
            parties = (await self._session()).parties.values()
            people = {one.call_sid: characters.name(one.address) for one in parties if one.call_sid}
            hears.clear()
            sounds = {name: self.runner.sandbox.model.audibility.current(sid) for sid, name in people.items()}
            hears.update(
                (name, heard_words(sound, sorted(people.get(sid, UNKNOWN_PERSON) for sid in sound.parties)))
                for name, sound in sounds.items()
                if sound
            )
            return hears == expected

        if not await poll_until(all_hear_as_expected, STEP_S):
            raise CommandNotDoneError(f"they should hear {expected}; they hear {hears}")
        lines = [f"{name} hears {hears[name]}" for name in expected]
        whole = "; ".join(lines)
        for line in [whole] if len(whole) <= HEARD_WIDTH else lines:
            await self.narrator.add_observation(line)

    async def kill_worker(self) -> None:
        """Kill the worker that processes this call; narrate the takeover."""
        dead = await self._owner()
        pid = next((pid for pid in self.runner.worker_pids() if f"-{pid}-" in dead), 0)
        if not pid:
            raise CommandNotDoneError("no worker processes this call")
        await self.narrator.announce(f"kill -9 {pid}: the worker that processes this call dies")
        os.kill(pid, signal.SIGKILL)
        killed_at_s = time.monotonic()

        async def is_taken_over() -> bool:
            return await self._owner() not in ("", dead)

        if not await poll_until(is_taken_over, STEP_S):
            raise CommandNotDoneError("no other worker has taken over the call")
        after_s = time.monotonic() - killed_at_s
        await self.narrator.add_observation(f"the other worker takes over, {after_s:.2f} s after the kill")

    async def _owner(self) -> str:
        """Return the name of the worker that processes this call."""
        reader = self.runner.environment.reader
        owners = await read_owners(reader.client, reader.keys)
        return owners[str(reader.keys.partition_of(self.session_id))].name

    async def call_of(self, party: str) -> CallHandle:
        """Return a party's call, as its phone sees it."""
        return self.runner.sandbox.call((await self._session()).parties[party].call_sid)

    async def end(self, party: str, sentence: str) -> None:
        """Announce this, and hang up a party's phone, which ends the call."""
        await self.talk()
        await self.narrator.announce(sentence)
        (await self.call_of(party)).hang_up()
        await self.wait_until("the end", lambda it: it.is_ended)
        await self.runner.wait_until_idle()
        left = len(self.runner.sandbox.model.state.live_calls)
        await self.narrator.add_observation(f"calls left at the local Twilio: {left}")

    async def wait_until_answered(self) -> None:
        """Wait until the agent has answered."""
        await self.wait_until("the agent's answer", lambda it: it.phase == Phase.CONNECTED)

    async def wait_for_party(self, name: str) -> None:
        """Wait until a party is dialed."""

        def is_dialed(session: Session) -> bool:
            party = session.parties.get(name)
            return party is not None and bool(party.call_sid)

        await self.wait_until(f"the {name}'s phone", is_dialed)

    async def wait_until(self, description: str, condition: Callable[[Session], bool]) -> None:
        """Wait until a condition holds for the session."""

        async def is_met() -> bool:
            return condition(await self._session())

        if not await poll_until(is_met, STEP_S):
            state = (await self._session()).state
            raise CommandNotDoneError(f"{description} did not come within {STEP_S:g} s; the session is {state}")

    async def _session(self) -> Session:
        found = await self.runner.environment.reader.read_session(self.session_id)
        return found if found is not None else Session(self.session_id)


async def _expect(condition: Callable[[], bool], problem: str) -> None:
    """Wait until a condition holds; raise CommandNotDoneError after `STEP_S`."""

    async def is_met() -> bool:
        return condition()

    if not await poll_until(is_met, STEP_S):
        raise CommandNotDoneError(problem)
