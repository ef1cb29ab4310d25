"""What the flows of `docs/flows/` are made of: what people do in one, scene by scene, and all that it is played in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from conferral.storage import command_stream
from offhook import CallHandle
from offhook.model.behavior import Behavior
from tests.support.bot_app import serve_app
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.people import BOB
from tests.support.sequence_diagram import SequenceRecorder

#: The TwiML application through which browsers call.
APP = "AP" + "1" * 32
#: Waits of the machine that no flow depends on, so long that a busy machine does not draw another picture.
PATIENT = dict.fromkeys(
    ("repair_timeout_ms", "settle_ms", "reread_interval_ms", "ring_slack_ms", "confirm_ms",
     "read_pause_ms", "hold_timeout_ms", "arrive_timeout_ms", "leave_timeout_ms",
     "dial_read_wait_ms", "lone_grace_ms", "convert_timeout_ms",
     "command_timeout_ms"),
    60_000,
)  # fmt: skip
#: Ringing goes on while people wait for an answer: how long its file lasts must not matter.
ENDLESS = Behavior(play_s=3_600.0)
Heard = dict[str, str]
BOTH: Heard = {"Customer": "Agent", "Agent": "Customer"}
ALL: Heard = {"Customer": "Agent and Target", "Agent": "Customer and Target", "Target": "Agent and Customer"}
NEW: Heard = {"Customer": "Target", "Target": "Customer"}


@dataclass(slots=True)
class Flow:
    """What people do in a flow; every step is a scene."""

    system: LocalSystem
    recorder: SequenceRecorder

    async def customer_calls(self, rings: str = AGENT) -> None:
        async def call() -> None:
            self.recorder.session_id = (await self.system.customer_calls()).sid

        async def has_come() -> bool:
            return self._is_so({}, [rings])

        await self.recorder.scene("Customer->>Twilio: calls", call, has_come)

    async def customer_waits(self, rings: Sequence[str] = (), **heard: str) -> None:
        """A customer calls a number whose callers wait in a conference."""

        async def call() -> None:
            url = f"{self.system.public_url}/voice/conference"
            self.recorder.session_id = (await self.system.sandbox.call_in(CUSTOMER, NUMBER, url=url)).sid

        async def has_come() -> bool:
            return self._is_so(heard, rings)

        await self.recorder.scene("Customer->>Twilio: calls", call, has_come)

    async def bot_hands_over(self, rings: Sequence[str], data: Mapping[str, str], **heard: str) -> None:
        """A customer calls an app whose bot hands over to Conferral."""
        self.system.sandbox.script_bot(handoff_data=dict(data))

        async def call() -> None:
            async with serve_app(f"{self.system.public_url}/voice/handoff") as url:
                self.recorder.session_id = (await self.system.sandbox.call_in(CUSTOMER, NUMBER, url=url)).sid
                await self.system.eventually(has_come, "the bot has handed over")

        async def has_come() -> bool:
            return self._is_so(heard, rings)

        await self.recorder.scene("Customer->>Twilio: calls your app's bot, which hands over", call, has_come)

    async def comes_to_the_tone(self, address: str) -> None:
        """Someone refuses, and the customer's voice is recorded."""
        await self._until_recording(f"{self.recorder.people[address]}->>Twilio: declines", self._leg(address).reject)

    async def leaves_message(self) -> None:
        """The customer says something after the tone, and falls silent."""
        customer = self._leg(CUSTOMER)

        async def speak() -> None:
            customer.speak("Please call me back.")

        async def has_ended() -> bool:
            fields = await self.system.session(self.recorder.session_id)
            return fields["state"] == "ended" and not self.system.sandbox.live_calls()

        await self.recorder.scene("Customer->>Twilio: leaves a message, then is silent", speak, has_ended)

    async def _until_recording(self, act: str, do: Callable[[], None]) -> None:
        async def acts() -> None:
            do()

        async def is_recorded() -> bool:
            return self._leg(CUSTOMER).record.activity == "recording"

        await self.recorder.scene(act, acts, is_recorded, frozenset({"Customer"}))

    async def browser_calls(self, to: str, **heard: str) -> None:
        """The agent calls someone from a browser."""
        self.system.sandbox.add_application(APP, voice_url=f"{self.system.public_url}/voice/client")

        async def call() -> None:
            identity = AGENT.removeprefix("client:")
            self.recorder.session_id = (await self.system.sandbox.call_from_browser(identity, to)).sid

        async def has_come() -> bool:
            return self._is_so(heard, [to])

        await self.recorder.scene("Agent->>Twilio: calls from a browser", call, has_come)

    async def hangs_up(self, address: str, **heard: str) -> None:
        """Someone hangs up, and the others go on."""
        await self._does(address, "hangs up", CallHandle.hang_up, heard, ())

    async def hangs_up_and_ends(self, address: str) -> None:
        """Someone hangs up, and with that the call ends, in a moment."""

        async def hang_up() -> None:
            self._leg(address).hang_up()

        async def has_ended() -> bool:
            fields = await self.system.session(self.recorder.session_id)
            return fields["state"] == "ended" and not self.system.sandbox.live_calls()

        await self.recorder.scene(f"{self.recorder.people[address]}->>Twilio: hangs up", hang_up, has_ended)

    async def time_passes(self, what: str, rings: Sequence[str] = (), **heard: str) -> None:
        """Something happens because nothing has happened for long enough."""

        async def wait() -> None:
            pass

        async def has_come() -> bool:
            return self._is_so(heard, rings)

        await self.recorder.scene(f"Note over Conferral: {what}", wait, has_come)

    async def answers(self, address: str, rings: Sequence[str] = (), **heard: str) -> None:
        """Someone picks up; at the scene's end people hear this, and these phones ring."""
        await self._does(address, "answers", CallHandle.answer, heard, rings)

    async def refuses(self, address: str, rings: Sequence[str] = (), **heard: str) -> None:
        """Someone refuses a call that rings."""
        await self._does(address, "declines", CallHandle.reject, heard, rings)

    async def refuses_and_ends(self, address: str) -> None:
        """Someone refuses, and with that the call ends."""

        async def refuse() -> None:
            self._leg(address).reject()

        async def has_ended() -> bool:
            return not self.system.sandbox.live_calls()

        await self.recorder.scene(f"{self.recorder.people[address]}->>Twilio: declines", refuse, has_ended)

    async def presses_one(self, address: str, **heard: str) -> None:
        """Someone takes a call at the gate."""
        await self._does(address, "presses 1", lambda call: call.press("1"), heard, ())

    async def command(self, kind: str, heard: Heard, rings: Sequence[str] = (), **fields: str) -> None:
        """An operator sends a command.

        Args:
            kind: Its type.
            heard: What people hear when the scene is over.
            rings: Whose phones ring then.
            fields: The command's.
        """
        await self._orders(kind, fields, heard, rings)

    async def talking(self) -> None:
        """Customer and agent talk over the bridge; how they came there is not drawn."""
        await self.customer_calls()
        await self.answers(AGENT, **BOTH)
        await self.recorder.skip("Customer and Agent talk, bridged (inbound)")

    async def talking_outbound(self) -> None:
        await self.calls_out()
        await self.recorder.skip("Customer and Agent talk, bridged (outbound)")

    async def talking_in_conference(self) -> None:
        await self.talking()
        await self.command("convert", BOTH)
        await self.recorder.skip("Customer and Agent talk, in a conference")

    async def calls_out(self) -> None:
        self.recorder.session_id = "outbound-call"
        await self.command("call", {}, [AGENT], agent=AGENT, customer=CUSTOMER)
        await self.answers(AGENT, [CUSTOMER], Agent="a phone ringing")
        await self.answers(CUSTOMER, **BOTH)

    async def _orders(self, kind: str, fields: dict[str, str], heard: Heard, rings: Sequence[str]) -> None:
        given: list[str] = []

        async def order() -> None:
            record = {"type": kind, "session": self.recorder.session_id, **fields}
            given.append(await command_stream.publish(self.system.client, self.system.keys, record))
            self.recorder.open_commands[given[0]] = kind

        async def has_come() -> bool:
            outcome = await command_stream.read_result(self.system.client, self.system.keys, given[0])
            assert outcome.status != "rejected", outcome
            # Announcements and digits change nothing that could be waited for: they are over when they are done.
            has_begun = outcome.is_final if kind in ("announce", "press") else bool(outcome.status)
            return has_begun and self._is_so(heard, rings)

        await self.recorder.scene(f"Operator->>Conferral: {self._shown(kind, fields)}", order, has_come, _silent(heard))

    def _shown(self, kind: str, fields: Mapping[str, str]) -> str:
        """A command in words, without addresses."""
        words = [kind, fields.get("mode", "")]
        if kind != "supervise" and fields.get("to"):
            words += ["to", self._names(fields["to"])]
        if kind != "add":
            words.append(fields.get("party", ""))
        words.append(fields.get("action", ""))
        return " ".join(filter(None, words)) + (", confirm" if fields.get("confirm") else "")

    def _names(self, addresses: str) -> str:
        return " or ".join(self.recorder.people[one] for one in addresses.split(",") if one)

    async def _does(
        self, address: str, what: str, do: Callable[[CallHandle], None], heard: Heard, rings: Sequence[str]
    ) -> None:
        async def act() -> None:
            do(self._leg(address))

        async def has_come() -> bool:
            return self._is_so(heard, rings)

        name = self.recorder.people[address].replace(" ", "")
        await self.recorder.scene(f"{name}->>Twilio: {what}", act, has_come, _silent(heard))

    def _leg(self, address: str) -> CallHandle:
        """The newest call of a person, incoming or dialed."""
        legs = [
            call
            for call in map(self.system.sandbox.call, self.system.sandbox.model.state.calls)
            if address in (call.record.to, call.record.from_ if call.record.direction == "inbound" else "")
        ]
        return legs[-1]

    def _is_so(self, heard: Heard, rings: Sequence[str]) -> bool:
        now = self.recorder.heard_now()
        all_ring = all(any(it.status == "ringing" for it in self.system.sandbox.calls_of(one)) for one in rings)
        return all_ring and all(now.get(name) == what for name, what in heard.items())


def _silent(heard: Heard) -> frozenset[str]:
    """Those who are to hear nothing."""
    return frozenset(name for name, what in heard.items() if what == "nothing")


TWO = {CUSTOMER: "Customer", AGENT: "Agent"}
THREE = {**TWO, BOB: "Target"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A flow with all that it is played in."""

    play: Callable[[Flow], Awaitable[None]]
    people: Mapping[str, str] = field(default_factory=lambda: THREE)
    #: How much faster than ours Twilio's clock runs: more than 1 where a sentence is waited for.
    speed: float = 1.0
    behavior: Behavior = ENDLESS
    settings: Mapping[str, str] = field(default_factory=dict)
    #: What else of the machine's waits is changed.
    policy: Mapping[str, int] = field(default_factory=dict)
    #: What the directory says of the number that is called; `{survey}` in it is the URL of a survey.
    directory: str = ""
