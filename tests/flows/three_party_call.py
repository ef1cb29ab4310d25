"""Stories of three: a customer, an agent, and someone whom the call is handed to while the agent is still there."""

from dataclasses import dataclass
from typing import Any

from conferral.sandbox import CallHandle, PhoneScript
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import LocalSystem
from tests.support.phones import rings

#: Where a call can be when a transfer is asked for.
STARTS = ("bridged", "conferenced")
#: Longest silence that the way into a conference may cost the customer. Twilio needs most of it; the rest is slack for
#: a busy machine.
GAP_S = 0.35


@dataclass
class ThreePartyCall:
    """Who takes part in a transfer, and what is asked about it again and again."""

    system: LocalSystem
    customer: CallHandle
    agent: CallHandle
    #: Whom the transfer has dialed; None before the dial.
    target: CallHandle | None = None
    #: Id of the `transfer` command.
    transfer_id: str = ""
    #: The session's: by itself that of an inbound call.
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or self.customer.sid

    async def session(self) -> dict[str, str]:
        return await self.system.session(self.id)

    async def until(self, **fields: str) -> dict[str, str]:
        """Waits until the session has these values; `transfer_status` and the like stand for `transfer.status`."""
        named = {name.replace("transfer_", "transfer."): value for name, value in fields.items()}
        return await self.system.until(self.id, **named)

    async def done(self, kind: str, **fields: str) -> None:
        await self.system.done(kind, self.id, **fields)

    async def ended_by_hang_up(self, leg: CallHandle, reason: str) -> None:
        """Someone hangs up, and with that everyone is gone."""
        await self.system.ended_by_hang_up(leg, self.id, reason)

    async def hear(self, **who: Any) -> None:
        """Waits until each hears that: `hear(customer="music", agent=target)`, a word or one leg or several."""
        for name, what in who.items():
            others = [what] if isinstance(what, CallHandle) else what
            await self.system.until_hears(getattr(self, name), others)

    async def hears_wait_audio(self, wait_audio: str) -> None:
        """Waits until the customer hears that, or the ringing that follows it."""
        await self.system.eventually(
            lambda: self.system.listening.hears(self.customer) in (wait_audio, "ringback"),
            f"the customer hears {wait_audio}",
        )

    async def all_talk(self) -> None:
        await self.hear(
            customer=[self.agent, self.target],
            agent=[self.customer, self.target],
            target=[self.customer, self.agent],
        )

    async def only_two_talk(self, one: str, other: str) -> None:
        """Waits until two hear each other and no one else."""
        await self.hear(**{one: getattr(self, other), other: getattr(self, one)})

    def names(self) -> dict[str, str]:
        legs = {"customer": self.customer, "agent": self.agent, "target": self.target}
        return {leg.sid: name for name, leg in legs.items() if leg is not None}

    def asked(self) -> list[str]:
        """What Twilio was asked to do so far, in words: `hold customer`, `dial target`, `hang up agent`...

        Without `bind`, EndConferenceOnExit may be unset: that safety net is set whenever there is time for it.
        """
        names, requests = self.names(), self.system.sandbox.request_log.requests("POST")
        words = [_word(entry.path, dict(entry.params), names) for entry in requests]
        return [word for word in words if not word.startswith("bind")]

    def kept_apart(self, since_s: float | None = None, until_s: float | None = None) -> bool:
        """Whether customer and target never heard each other between two moments, in neither direction."""
        ears = self.system.listening
        assert self.target is not None
        return ears.never_heard(self.customer, self.target, since_s, until_s) and ears.never_heard(
            self.target, self.customer, since_s, until_s
        )

    def heard(self) -> str:
        """What everyone heard, for messages."""
        self.system.listening.name(**{name: sid for sid, name in self.names().items()})
        return self.system.listening.described()

    def customer_was_never_in_silence(self) -> bool:
        return self.system.longest_gap_s(self.customer) < GAP_S


def _word(path: str, params: dict[str, str], names: dict[str, str]) -> str:
    sid = path.rpartition("/")[2].removesuffix(".json")
    who = names.get(sid, sid)
    if path.endswith(("/Participants.json", "/Calls.json")):
        return f"dial {'target' if params['To'] == TARGET else params['To']}"
    if "EndConferenceOnExit" in params:
        return f"{'bind' if params['EndConferenceOnExit'] == 'true' else 'free'} {who}"
    if "Hold" in params:
        return f"{'hold' if params['Hold'] == 'true' else 'unhold'} {who}"
    if params.get("Status") == "completed":
        return "end the room" if "/Conferences/" in path else f"hang up {who}"
    return f"move {who}" if "Twiml" in params else f"{path} {params}"


async def two(system: LocalSystem, start: str = "bridged") -> ThreePartyCall:
    """Customer and agent talk: over the bridge, or in a conference where everything has settled."""
    trio = ThreePartyCall(system, *(await (system.talking() if start == "bridged" else system.converted())))
    if start == "conferenced":
        settled = {f"party.{name}.end_on_exit": "true" for name in ("customer", "agent")}
        await system.until(trio.id, **settled)
    return trio


async def dials(trio: ThreePartyCall, mode: str, *scripts: PhoneScript, **fields: str) -> ThreePartyCall:
    """Asks for a transfer and waits until the target is dialed; its phone does what the scripts say."""
    system = trio.system
    system.sandbox.phone(TARGET).script_in_turn(*(scripts or (rings(),)))
    before = len(system.sandbox.calls_of(TARGET))
    trio.transfer_id = await system.begins("transfer", trio.id, to=TARGET, mode=mode, **fields)
    trio.target = await system.dialed(TARGET, before + 1)
    return trio


async def three(system: LocalSystem, mode: str, start: str = "bridged", **fields: str) -> ThreePartyCall:
    """The target has answered: all three talk (warm), or agent and target do (consult)."""
    return await joined_by_target(await two(system, start), mode, **fields)


async def joined_by_target(trio: ThreePartyCall, mode: str, **fields: str) -> ThreePartyCall:
    system = trio.system
    system.answered_by(TARGET)
    before = len(system.sandbox.calls_of(TARGET))
    await trio.done("transfer", to=TARGET, mode=mode, **fields)
    trio.target = await system.dialed(TARGET, before + 1)
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
