"""What stories of transfers share: people's addresses, commands with the outcome that is expected, and checks."""

from typing import Any, NamedTuple

from conferral.sandbox import CallHandle
from conferral.sandbox.request_log import RestEntry
from conferral.statemachine.events.effect_results import NOT_STARTED
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_stream import CommandOutcome
from tests.support.local_system import AGENT, CUSTOMER, DEADLINE_S, LocalSystem
from tests.support.outcomes import wait_for_outcome
from tests.support.phones import answers

#: Whom calls are transferred to.
TARGET = "+14155550177"
SECOND = "+14155550178"
CAROL = "client:carol"
#: Twilio's code for a `<Conference>` whose SID is that of one that is over.
CONFERENCE_OVER = 13236
#: The longest that a customer may hear nothing between one voice or audio and the next, real seconds: a REST request, a
#: webhook or two, and a margin for a busy machine.
GAP_MAX_S = 0.5


class Talk(NamedTuple):
    """Customer and agent talk to each other."""

    session: str
    customer: CallHandle
    agent: CallHandle


async def talking(system: LocalSystem, direction: str = "inbound", *, conferenced: bool = False) -> Talk:
    """Connects customer and agent, in either direction.

    Args:
        system: Where.
        direction: `inbound`, or `outbound`: the agent is dialed first, by `call`, then the customer.
        conferenced: Whether they are converted as well.
    """
    if direction == "inbound":
        customer, agent = await system.talking()
        talk = Talk(customer.sid, customer, agent)
    else:
        system.sandbox.phone(CUSTOMER).script_in_turn(answers())
        session = (await done(system, "call", "", agent=AGENT, customer=CUSTOMER)).session
        talk = Talk(session, await system.leg(session, "customer"), await system.leg(session, "agent"))
    if conferenced:
        await done(system, "convert", talk.session)
    system.listening.name(customer=talk.customer, agent=talk.agent)
    return talk


def longest_gap_s(system: LocalSystem, call: CallHandle, since_s: float | None = None) -> float:
    """The longest that someone heard no one and nothing since a moment of `system.listening`, in our own seconds."""
    return system.listening.longest_silence(call, since_s) / system.sandbox.speed


async def done(system: LocalSystem, kind: str, session: str, **fields: str) -> CommandOutcome:
    """Gives a command that succeeds."""
    return await _ends(system, "done", kind, session, **fields)


async def failed(system: LocalSystem, reason: str, kind: str, session: str, **fields: str) -> CommandOutcome:
    """Gives a command that is accepted and fails for that reason."""
    outcome = await _ends(system, "failed", kind, session, **fields)
    assert outcome.reason == reason
    return outcome


async def rejected(system: LocalSystem, why: str, kind: str, session: str, **fields: str) -> CommandOutcome:
    """Gives a command that is rejected with a sentence that begins so."""
    outcome = await _ends(system, "rejected", kind, session, **fields)
    assert outcome.reason.startswith(why), outcome
    return outcome


async def _ends(system: LocalSystem, status: str, kind: str, session: str, **fields: str) -> CommandOutcome:
    outcome = await system.command(kind, session, **fields)
    if outcome.status != status:
        raise AssertionError(f"{kind} is {outcome}, not {status}\n{await system.report()}")
    return outcome


async def begins(system: LocalSystem, kind: str, session: str, **fields: str) -> str:
    """Gives a command and waits until it is accepted; returns its id, for `outcome_of`."""
    command_id = await command_stream.publish(system.client, system.keys, {"type": kind, "session": session, **fields})
    command_id = fields.get("id", command_id)

    async def is_accepted() -> bool:
        return bool((await command_stream.read_outcome(system.client, system.keys, command_id)).status)

    await system.eventually(is_accepted, f"{kind} is accepted")
    return command_id


async def outcome_of(system: LocalSystem, command_id: str) -> CommandOutcome:
    """Waits until a command's status is final."""
    return await wait_for_outcome(system.client, system.keys, command_id, DEADLINE_S)


async def outcomes(system: LocalSystem) -> list[dict[str, str]]:
    """The entries of the outcomes stream, oldest first."""
    entries = await system.client.xrange(system.keys.outcomes)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]


def hears(system: LocalSystem, call: CallHandle) -> Any:
    """What someone hears now: the SIDs of others, or `music`, `ringback`, `ringing`, `silence`, `said ...`."""
    return system.listening.hears(call)


def sounds(system: LocalSystem, call: CallHandle, since_s: float | None = None) -> list[Any]:
    """What someone has heard one after the other, without the moments of silence between."""
    return [what for what in system.listening.whats(call, since_s) if what != "silence"]


async def until_hears(system: LocalSystem, call: CallHandle, what: Any) -> None:
    """Waits until a leg hears this: a word, or the calls (and words) that it hears together."""
    wanted = what if isinstance(what, str) else frozenset(one if isinstance(one, str) else one.sid for one in what)

    async def does() -> bool:
        return system.listening.hears(call) == wanted

    await system.eventually(does, f"{call.sid} hears {wanted}\n{system.listening.described()}")


def dial_requests(system: LocalSystem, address: str) -> list[RestEntry]:
    """What Twilio was asked to dial a phone, refused and lost requests as well, oldest first.

    Without those that are refused because the conference has not started: each is repeated as a call of its own.
    """
    return [
        entry
        for entry in system.sandbox.request_log.rest
        if entry.method == "POST"
        and entry.get("To") == address
        and entry.path.endswith(("/Calls.json", "/Participants.json"))
        and entry.code not in NOT_STARTED
    ]


def dials_to(system: LocalSystem, address: str) -> int:
    """How often a phone was dialed by REST (count)."""
    return sum(call.record.direction == "outbound-api" for call in system.sandbox.calls_of(address))


async def everyone_is_gone(
    system: LocalSystem, session: str, reason: str, *, debugger: frozenset[int] = frozenset()
) -> dict[str, str]:
    """The session has ended for that reason, and nothing is left of it: no call, no timer, no effect.

    Args:
        system: Where.
        session: Its id.
        reason: `end_reason`.
        debugger: Codes of the entries in Twilio's debugger that a fault has caused; without a fault there are none.
    """
    ended = await system.until(session, state="ended")
    assert ended["end_reason"] == reason, ended
    await system.settled()
    entries = system.sandbox.request_log.debugger
    # A party who joins by our TwiML, because no one is added before the start, may join right after the end.
    may_come_late = {CONFERENCE_OVER} if system.sandbox.model.behavior.add_before_start == "refused" else set()
    assert {entry.code for entry in entries} - may_come_late == debugger - may_come_late, entries
    return ended


async def ended_by_command(system: LocalSystem, session: str) -> None:
    """Lets everyone go at the end of a story."""
    await done(system, "end", session)
    await everyone_is_gone(system, session, "command")


async def goes_on_and_ends(system: LocalSystem, customer: CallHandle, agent: CallHandle) -> None:
    """Customer and agent talk as before, until they are hung up."""
    await until_hears(system, customer, [agent])
    await until_hears(system, agent, [customer])
    await system.until(customer.sid, state="conferenced", phase="")
    await ended_by_command(system, customer.sid)


async def talks_and_ends(system: LocalSystem, customer: CallHandle, agent: CallHandle, target: CallHandle) -> None:
    """All three talk, until they are hung up."""
    await until_hears(system, target, [customer, agent])
    await ended_by_command(system, customer.sid)
