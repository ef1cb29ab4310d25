"""The flows that `docs/flows/` draws, each played scene by scene through the whole system."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox import SandboxCall
from sandbox.exchange import Rules
from streams import commands
from tests.support.phones import rings
from tests.support.recording import Recorder
from tests.support.world import AGENT, CUSTOMER, World

TARGET = "client:bob"
SECOND = "client:carol"
#: Where it matters what number is shown.
PHONE = "+14155550177"
#: Waits of the machine that no flow depends on, so long that a busy machine does not draw another picture.
PATIENT = dict.fromkeys(
    ("leave_check_ms", "repair_timeout_ms", "settle_ms", "look_again_ms", "ring_slack_ms", "confirm_ms",
     "confirm_again_ms", "hold_timeout_ms", "ringback_timeout_ms", "arrive_timeout_ms", "part_timeout_ms",
     "dial_doubt_ms", "dial_slack_ms", "dial_look_ms", "lone_grace_ms", "convert_timeout_ms"),
    60_000,
)  # fmt: skip
#: Ringing goes on while people wait for an answer: how long its file lasts must not matter.
ENDLESS = Rules(play_s=3_600.0)
Heard = dict[str, str]
BOTH: Heard = {"Customer": "Agent", "Agent": "Customer"}
ALL: Heard = {"Customer": "Agent and Target", "Agent": "Customer and Target", "Target": "Agent and Customer"}
NEW: Heard = {"Customer": "Target", "Target": "Customer"}


@dataclass(slots=True)
class Flow:
    """What people do in a flow; every step is a scene."""

    world: World
    recorder: Recorder

    async def customer_calls(self) -> None:
        async def call() -> None:
            self.recorder.session_id = (await self.world.customer_calls()).sid

        async def has_come() -> bool:
            return self._is_so({}, [AGENT])

        await self.recorder.scene("Customer->>Twilio: calls", call, has_come)

    async def answers(self, address: str, rings: Sequence[str] = (), **heard: str) -> None:
        """Somebody picks up; at the scene's end people hear this, and these phones ring."""
        await self._does(address, "answers", SandboxCall.answer, heard, rings)

    async def refuses(self, address: str, rings: Sequence[str] = (), **heard: str) -> None:
        """Somebody refuses a call that rings."""
        await self._does(address, "refuses", SandboxCall.reject, heard, rings)

    async def refuses_and_ends(self, address: str) -> None:
        """Somebody refuses, and with that the call ends."""

        async def refuse() -> None:
            self.world.sandbox.calls_of(address)[-1].reject()

        async def has_ended() -> bool:
            return not self.world.sandbox.live_calls()

        await self.recorder.scene(f"{self.recorder.people[address]}->>Twilio: refuses", refuse, has_ended)

    async def presses_one(self, address: str, **heard: str) -> None:
        """Somebody takes a call at the gate."""
        await self._does(address, "presses 1", lambda call: call.press("1"), heard, ())

    async def command(self, kind: str, heard: Heard, rings: Sequence[str] = (), **fields: str) -> None:
        """An operator gives a command.

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
        await self.recorder.skip("Customer and Agent talk, bridged: the customer has called")

    async def talking_outbound(self) -> None:
        await self.calls_out()
        await self.recorder.skip("Customer and Agent talk, bridged: the customer was called")

    async def talking_in_room(self) -> None:
        await self.talking()
        await self.command("convert", BOTH)
        await self.recorder.skip("Customer and Agent talk, in a conference")

    async def calls_out(self) -> None:
        self.recorder.session_id = "CS" + "0" * 32
        await self.command("call", {}, [AGENT], agent=AGENT, customer=CUSTOMER)
        await self.answers(AGENT, [CUSTOMER], Agent="a phone ringing")
        await self.answers(CUSTOMER, **BOTH)

    async def _orders(self, kind: str, fields: dict[str, str], heard: Heard, rings: Sequence[str]) -> None:
        given: list[str] = []

        async def order() -> None:
            record = {"type": kind, "session": self.recorder.session_id, **fields}
            given.append(await commands.publish(self.world.client, self.world.keys, record))
            self.recorder.open_commands[given[0]] = kind

        async def has_come() -> bool:
            outcome = await commands.outcome(self.world.client, self.world.keys, given[0])
            assert outcome.status != "rejected", outcome
            return bool(outcome.status) and self._is_so(heard, rings)

        shown = {"transfer": f" {fields.get('mode', '')} to {self._names(fields.get('to', ''))}"}.get(kind, "")
        if fields.get("confirm"):
            shown += ", confirm"
        await self.recorder.scene(f"Operator->>Conferral: {kind}{shown}", order, has_come)

    def _names(self, addresses: str) -> str:
        return " or ".join(self.recorder.people[one] for one in addresses.split(",") if one)

    async def _does(
        self, address: str, what: str, do: Callable[[SandboxCall], None], heard: Heard, rings: Sequence[str]
    ) -> None:
        async def act() -> None:
            do(self.world.sandbox.calls_of(address)[-1])

        async def has_come() -> bool:
            return self._is_so(heard, rings)

        name = self.recorder.people[address].replace(" ", "")
        await self.recorder.scene(f"{name}->>Twilio: {what}", act, has_come)

    def _is_so(self, heard: Heard, rings: Sequence[str]) -> bool:
        now = self.recorder.heard_now()
        all_ring = all(any(it.status == "ringing" for it in self.world.sandbox.calls_of(one)) for one in rings)
        return all_ring and all(now.get(name) == what for name, what in heard.items())


async def inbound_convert(flow: Flow) -> None:
    await flow.customer_calls()
    await flow.answers(AGENT, **BOTH)
    await flow.command("convert", BOTH)


async def outbound(flow: Flow) -> None:
    await flow.calls_out()
    await flow.command("convert", BOTH)


async def warm(flow: Flow) -> None:
    await flow.talking()
    await flow.command("transfer", {}, [TARGET], to=TARGET, mode="warm")
    await flow.answers(TARGET, **ALL)
    await flow.command("complete", NEW)


async def consult(flow: Flow) -> None:
    await flow.talking_in_room()
    await flow.command("transfer", {"Customer": "music"}, [TARGET], to=TARGET, mode="consult")
    await flow.answers(TARGET, Customer="music", Agent="Target", Target="Agent")
    await flow.command("swap", BOTH | {"Target": "music"})
    await flow.command("merge", ALL)
    await flow.command("complete", NEW)


async def _blind(flow: Flow) -> None:
    await flow.command("transfer", {"Customer": "our ringing"}, [TARGET], to=TARGET, mode="blind")
    await flow.answers(TARGET, **NEW)


async def blind_inbound(flow: Flow) -> None:
    await flow.talking()
    await _blind(flow)


async def blind_outbound(flow: Flow) -> None:
    await flow.talking_outbound()
    await _blind(flow)


async def blind_in_room(flow: Flow) -> None:
    await flow.talking_in_room()
    await _blind(flow)


async def recall(flow: Flow) -> None:
    await flow.talking()
    await flow.command("transfer", {"Customer": "our ringing"}, [TARGET], to=TARGET, mode="blind")
    await flow.refuses(TARGET, [AGENT])
    await flow.answers(AGENT, **BOTH)


async def fallback_elsewhere(flow: Flow) -> None:
    await flow.talking()
    await flow.command("transfer", {"Customer": "our ringing"}, [TARGET], to=TARGET, mode="blind")
    await flow.refuses(TARGET, [SECOND])
    await flow.answers(SECOND, Customer="Fallback", Fallback="Customer")


async def fallback_end(flow: Flow) -> None:
    await flow.talking()
    await flow.command("transfer", {"Customer": "our ringing"}, [TARGET], to=TARGET, mode="blind")
    await flow.refuses_and_ends(TARGET)


async def several(flow: Flow) -> None:
    await flow.talking_in_room()
    both = [TARGET, SECOND]
    await flow.command("transfer", {}, both, to=",".join(both), mode="warm", confirm="true")
    await flow.answers(TARGET, **{"Target 1": "a question"})
    await flow.answers(SECOND, **{"Target 2": "a question"})
    await flow.presses_one(SECOND, **{"Customer": "Agent and Target 2", "Target 2": "Agent and Customer"})


async def customer_id(flow: Flow) -> None:
    await flow.talking_in_room()
    await flow.command("transfer", {}, [PHONE], to=PHONE, mode="warm")
    await flow.answers(PHONE, **ALL)


async def cancel(flow: Flow) -> None:
    await flow.talking_in_room()
    await flow.command("transfer", {"Customer": "music"}, [TARGET], to=TARGET, mode="consult")
    await flow.answers(TARGET, Customer="music", Agent="Target", Target="Agent")
    await flow.command("cancel", BOTH)


async def complete_while_ringing(flow: Flow) -> None:
    await flow.talking_in_room()
    await flow.command("transfer", {}, [TARGET], to=TARGET, mode="warm")
    await flow.command("complete", {"Customer": "our ringing"}, [TARGET])
    await flow.answers(TARGET, **NEW)


TWO = {CUSTOMER: "Customer", AGENT: "Agent"}
THREE = {**TWO, TARGET: "Target"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A flow with all that it is played in."""

    play: Callable[[Flow], Awaitable[None]]
    people: Mapping[str, str] = field(default_factory=lambda: THREE)
    #: How much faster than ours Twilio's clock runs: more than 1 where a sentence is waited for.
    speed: float = 1.0
    rules: Rules = ENDLESS
    settings: Mapping[str, str] = field(default_factory=dict)


FLOWS: dict[str, Drawn] = {
    "inbound-convert": Drawn(inbound_convert, TWO),
    "outbound": Drawn(outbound, TWO),
    "warm": Drawn(warm),
    "consult": Drawn(consult),
    "blind-inbound": Drawn(blind_inbound),
    "blind-outbound": Drawn(blind_outbound),
    "blind-conferenced": Drawn(blind_in_room),
    "recall": Drawn(recall, speed=5),
    "fallback-destination": Drawn(
        fallback_elsewhere, {**THREE, SECOND: "Fallback"}, speed=5, settings={"CONFERRAL_TRANSFER_FALLBACK": SECOND}
    ),
    "fallback-end": Drawn(fallback_end, speed=5, settings={"CONFERRAL_TRANSFER_FALLBACK": "end"}),
    # The question lasts until the key is pressed, however busy the machine is.
    "several": Drawn(
        several, {**TWO, TARGET: "Target 1", SECOND: "Target 2"}, rules=replace(ENDLESS, say_s_per_character=2.0)
    ),
    "caller-id": Drawn(customer_id, {**TWO, PHONE: "Target"}, settings={"CONFERRAL_TRANSFER_CALLER_ID": "customer"}),
    "caller-id-refused": Drawn(
        customer_id,
        {**TWO, PHONE: "Target"},
        rules=replace(ENDLESS, verify_callers=True, accept_call_tokens=False),
        settings={"CONFERRAL_TRANSFER_CALLER_ID": "customer"},
    ),
    "cancel": Drawn(cancel),
    "complete-while-ringing": Drawn(complete_while_ringing),
}


async def draw(redis_url: str, name: str) -> str:
    """Plays a flow and draws it."""
    drawn = FLOWS[name]
    options: dict[str, Any] = {"speed": drawn.speed, "rules": drawn.rules, "policy": PATIENT, **drawn.settings}
    async with World(redis_url, **options) as world:
        for address in drawn.people:
            world.sandbox.phone(address).in_turn(rings())
        recorder = Recorder(world, dict(drawn.people))
        await drawn.play(Flow(world, recorder))
        text = recorder.diagram()
        if (await world.session(recorder.session_id))["state"] != "ended":
            await world.command("end", recorder.session_id)
        await world.settled()
    return text
