"""Stories of three: a customer, an agent, and someone whom the call is handed to while the agent is still there."""

from dataclasses import dataclass

from offhook import PhoneScript
from tests.flows import group_call
from tests.flows.flow_helpers import TARGET
from tests.flows.group_call import GroupCall
from tests.support.local_system import LocalSystem
from tests.support.phones import rings

#: Where a call can be when a transfer is asked for.
STARTS = ("bridged", "conferenced")
#: Longest silence that the way into a conference may cost the customer. Twilio needs most of it; the rest is slack for
#: a busy machine.
GAP_S = 0.35


@dataclass
class ThreePartyCall(GroupCall):
    """Customer and agent, and the `target` of a transfer once that was dialed."""

    #: Id of the `transfer` command.
    transfer_id: str = ""

    async def until(self, **fields: str) -> dict[str, str]:
        """Waits until the session has these values; `transfer_status` and the like stand for `transfer.status`."""
        return await self.wait_until(
            **{name.replace("transfer_", "transfer."): value for name, value in fields.items()}
        )

    def kept_apart(self) -> bool:
        """Whether customer and target never heard each other, in neither direction."""
        return self.never_heard("customer", "target") and self.never_heard("target", "customer")

    def customer_was_never_in_silence(self) -> bool:
        return self.system.longest_gap_s(self["customer"]) < GAP_S


async def two(system: LocalSystem, start: str = "bridged") -> ThreePartyCall:
    """Customer and agent talk: over the bridge, or in a conference where everything has settled."""
    crowd = await group_call.two(system, start)
    return ThreePartyCall(system, crowd.id, crowd.people)


async def dials(trio: ThreePartyCall, mode: str, *scripts: PhoneScript, **fields: str) -> ThreePartyCall:
    """Asks for a transfer and waits until the target is dialed; its phone does what the scripts say."""
    system = trio.system
    system.sandbox.phone(TARGET).script_in_turn(*(scripts or (rings(),)))
    before = len(system.sandbox.calls_of(TARGET))
    trio.transfer_id = await system.begins("transfer", trio.id, to=TARGET, mode=mode, **fields)
    await trio.comes("target", TARGET, before + 1)
    return trio


async def three(system: LocalSystem, mode: str, start: str = "bridged", **fields: str) -> ThreePartyCall:
    """The target has answered: all three talk (warm), or agent and target do (consult)."""
    return await joined_by_target(await two(system, start), mode, **fields)


async def joined_by_target(trio: ThreePartyCall, mode: str, **fields: str) -> ThreePartyCall:
    system = trio.system
    system.answered_by(TARGET)
    before = len(system.sandbox.calls_of(TARGET))
    await trio.done("transfer", to=TARGET, mode=mode, **fields)
    await trio.comes("target", TARGET, before + 1)
    return trio


async def published(system: LocalSystem, count: int) -> list[dict[str, str]]:
    """The outcomes stream, once it has so many entries; they come a moment after the events."""

    async def has_come() -> bool:
        return len(await system.outcomes()) >= count

    await system.eventually(has_come, f"{count} outcomes")
    return await system.outcomes()


def parties(session: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Everyone who belongs to a session, with label and status."""
    return {name: (session[f"party.{name}.label"], session[f"party.{name}.status"]) for name in _names(session)}


def held(session: dict[str, str]) -> set[str]:
    """Who is on hold."""
    return {name for name in _names(session) if session[f"party.{name}.held"] == "true"}


def _names(session: dict[str, str]) -> list[str]:
    return [field.split(".")[1] for field in session if field.startswith("party.") and field.endswith(".label")]


#: How far a transfer has come, in order.
PHASES = {"warm": ("ringing", "talking"), "consult": ("ringing", "talking", "swapped", "merged")}


async def reached(system: LocalSystem, mode: str, phase: str) -> ThreePartyCall:
    """A transfer that has come so far; the target's phone rings until `answer` where it has not answered yet."""
    if phase == "ringing":
        trio = await dials(await two(system), mode)
        await trio.until(transfer_status="ringing")
        return trio
    trio = await three(system, mode)
    if phase != "talking":
        await trio.done({"swapped": "swap", "merged": "merge"}[phase])
    return trio
