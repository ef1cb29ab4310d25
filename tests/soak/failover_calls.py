"""Calls that are in the middle of something when the primary dies, and the judge of what has become of them."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import asdict

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.events import Event
from conferral.storage import command_stream
from conferral.storage.command_stream import CommandResult
from conferral.worker.partition import partition
from offhook import CallHandle
from tests.fault_injection.fault_system import FaultSystem
from tests.support.local_system import DEADLINE_S
from tests.support.phones import answers, presses

#: Pause between tries while Redis is away, seconds.
RETRY_S = 0.02
#: From ringing to the key that takes a call, seconds: a failover may begin and end meanwhile.
KEY_AFTER_S = 1.0


@dataclass
class FailoverCall:
    """Customer and agent, and a phone that no other call rings."""

    system: FaultSystem
    name: str
    customer: CallHandle
    agent: CallHandle
    #: Set at the moment that the call is about.
    moment: asyncio.Event = field(default_factory=asyncio.Event)
    outcomes: dict[str, CommandResult] = field(default_factory=dict)

    @classmethod
    async def begun(cls, system: FaultSystem, name: str) -> "FailoverCall":
        return cls(system, name, *await system.talking())

    @property
    def target(self) -> str:
        return f"client:{self.name}"

    async def gives(self, kind: str, *, is_moment: bool = False, **fields: str) -> CommandResult:
        """Gives a command until it is acknowledged, and from then on waits for its outcome alone."""
        command_id = f"{self.name}-{kind}"
        given = {"type": kind, "session": self.customer.sid, "id": command_id, **fields}
        await persistently(lambda: command_stream.publish(self.system.client, self.system.keys, given))
        if is_moment:
            self.moment.set()

        async def outcome() -> CommandResult:
            return await command_stream.read_result(self.system.client, self.system.keys, command_id)

        while not (found := await persistently(outcome)).is_final:
            await asyncio.sleep(RETRY_S)
        self.outcomes[command_id] = found
        return found

    async def ends(self) -> None:
        """Waits until the session has ended."""

        async def has_ended() -> bool:
            return (await self.system.session(self.customer.sid)).get("state") == "ended"

        await self.system.eventually(has_ended, f"{self.name} has ended")


async def persistently(act: Callable[[], Awaitable[Any]]) -> Any:
    """Acts until Redis can be reached."""
    while True:
        with suppress(StoreUnreachableError):
            return await act()
        await asyncio.sleep(RETRY_S)


async def conversion(call: FailoverCall) -> None:
    await call.gives("convert", is_moment=True)


async def command(call: FailoverCall) -> None:
    await call.gives("hold", is_moment=True, party="customer")
    await call.gives("unhold", party="customer")


async def consult(call: FailoverCall) -> None:
    """The target answers at the moment; whether or not it comes to a consult, the customer overhears nothing."""
    system = call.system
    system.not_answered_by(call.target)
    consulting = asyncio.create_task(call.gives("transfer", to=call.target, mode="consult"))
    target = await dialed(call, call.target, consulting)
    if target is not None:
        target.answer()
    call.moment.set()
    await consulting
    if target is not None:
        completed_s = system.listening.now()
        assert system.listening.never_heard(call.customer, target, until_s=completed_s), system.listening.described()
        assert system.listening.never_heard(target, call.customer, until_s=completed_s), system.listening.described()
    await call.gives("complete")


async def gated_dial(call: FailoverCall) -> None:
    """Two phones ring, and both take the call at the same time."""
    other = f"{call.target}_2"
    for phone in (call.target, other):
        call.system.sandbox.phone(phone).script_in_turn(presses("1", key_after_s=KEY_AFTER_S))
    transferring = asyncio.create_task(call.gives("transfer", to=f"{call.target},{other}", mode="warm", confirm="true"))
    await dialed(call, other, transferring)
    call.moment.set()
    await transferring
    assert call.system.dials_to(other) <= 1


async def dialed(call: FailoverCall, address: str, transferring: asyncio.Task[CommandResult]) -> CallHandle | None:
    """Waits until a phone rings; None if the transfer has failed before, as when Redis was away for too long."""
    sandbox = call.system.sandbox
    await sandbox.wait_until(lambda: bool(sandbox.calls_of(address)) or transferring.done(), DEADLINE_S)
    return next(iter(sandbox.calls_of(address)), None)


async def outcome(call: FailoverCall) -> None:
    """A transfer, and with it the session, ends for the agent."""
    call.system.sandbox.phone(call.target).script_in_turn(answers())
    await call.gives("transfer", is_moment=True, to=call.target, mode="blind")


async def event(call: FailoverCall) -> None:
    """Twilio says that the agent has hung up."""
    call.agent.hang_up()
    call.moment.set()
    await call.ends()


MOMENTS = {one.__name__: one for one in (conversion, consult, gated_dial, outcome, event, command)}


# ---- the judge -------------------------------------------------------------------------------------------------------


@dataclass
class Acknowledged:
    """The events that webhooks have acknowledged, and those that a worker has seen and that change nothing.

    These are decided without a change, or a read of Twilio and a later callback make them outdated.
    """

    events: dict[str, Event] = field(default_factory=dict)
    unchanging: set[str] = field(default_factory=set)

    def lost(self, logged: dict[str, list[dict[str, str]]]) -> list[Event]:
        """Those that are neither in a session's log nor known to change nothing. `logged`: entries by event."""
        return [one for key, one in self.events.items() if key not in self.unchanging and not logged.get(key)]


def key_of(one: Event) -> str:
    """An event as it was published, without what is only known in Redis."""
    return f"{type(one).__name__} " + repr(sorted(
        (name, value) for name, value in asdict(one).items() if name not in ("entry_id", "occurred_at_ms", "desk")
    ))  # fmt: skip


@contextmanager
def noting(system: FaultSystem) -> Iterator[Acknowledged]:
    """Within it, acknowledged and decided events are noted; call it in a running system."""
    found = Acknowledged()
    store, decide = system.publisher, partition.decide
    publish, publish_and_read = store.publish, store.publish_and_read

    async def publish_and_note(one: Event, *, call_sid: str = "") -> None:
        await publish(one, call_sid=call_sid)
        if not one.ignored_because:  # it may be dropped under load
            found.events[key_of(one)] = one

    async def read_and_note(one: Event, *, call_sid: str = "") -> Any:
        read = await publish_and_read(one, call_sid=call_sid)
        found.events[key_of(one)] = one
        return read

    def decide_and_note(*given: Any) -> Any:
        decisions, timed_session_ids = decide(*given)
        found.unchanging |= {key_of(one.event) for one in decisions if not one.is_stored}
        return decisions, timed_session_ids

    store.publish, store.publish_and_read = publish_and_note, read_and_note  # type: ignore[method-assign]
    partition.decide = decide_and_note
    try:
        yield found
    finally:
        store.publish, store.publish_and_read = publish, publish_and_read  # type: ignore[method-assign]
        partition.decide = decide


async def logged_events(system: FaultSystem) -> dict[str, list[dict[str, str]]]:
    """Of each event that a worker has decided with a change: its entries in the session's log."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    logs: dict[str, list[dict[str, str]]] = {}
    for kept in [one for many in system.decisions.by_version.values() for one in many]:
        if kept.session_id not in logs:
            logs[kept.session_id] = await system.log(kept.session_id)
        if kept.logged in logs[kept.session_id]:
            found[key_of(kept.event)].append(kept.logged)
    return found


async def assert_kept(system: FaultSystem, calls: list[FailoverCall], acknowledged: Acknowledged) -> None:
    """Nothing that was acknowledged is lost, no phone has rung twice, and each command has one outcome.

    The system is at rest, and its calls have ended.
    """
    lost = acknowledged.lost(await logged_events(system))
    assert not lost, lost
    ended = [one["session"] for one in await system.outcomes() if one["kind"] == "session"]
    for call in calls:
        assert system.dials_to(call.target) <= 1, call.name
        assert ended.count(call.customer.sid) == 1, call.name
        for command_id, found in call.outcomes.items():
            again = await command_stream.read_result(system.client, system.keys, command_id)
            assert (again.status, again.reason) == (found.status, found.reason), call.name
