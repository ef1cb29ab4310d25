"""What stories of transfers share: people's addresses, commands with the outcome that is expected, and checks."""

import time
from typing import Any, NamedTuple

from conferral.sandbox import SandboxCall
from conferral.sandbox.ledger import RestEntry
from conferral.statemachine.events.outcomes import NOT_STARTED
from conferral.storage import commands
from conferral.storage.commands import CommandOutcome
from tests.support.phones import answers
from tests.support.world import AGENT, CUSTOMER, DEADLINE_S, World

#: Whom calls are transferred to.
TARGET = "+14155550177"
SECOND = "+14155550178"
CAROL = "client:carol"
#: Twilio's code for a `<Conference>` whose SID is that of one that is over.
CONFERENCE_OVER = 13236
#: The longest that a customer may hear nothing between one voice or tune and the next, real seconds: a REST request, a
#: webhook or two, and room for a busy machine.
GAP_MAX_S = 0.3


class Talk(NamedTuple):
    """Customer and agent talk to each other."""

    session: str
    customer: SandboxCall
    agent: SandboxCall


async def talking(world: World, direction: str = "inbound", *, in_room: bool = False) -> Talk:
    """Brings customer and agent together, whoever called whom.

    Args:
        world: Where.
        direction: `inbound`, or `outbound`: the agent is dialled first, by `call`, then the customer.
        in_room: Whether they are converted as well.
    """
    if direction == "inbound":
        customer, agent = await world.talking()
        talk = Talk(customer.sid, customer, agent)
    else:
        world.sandbox.phone(CUSTOMER).in_turn(answers())
        session = (await done(world, "call", "", agent=AGENT, customer=CUSTOMER)).session
        talk = Talk(session, await world.leg(session, "customer"), await world.leg(session, "agent"))
    if in_room:
        await done(world, "convert", talk.session)
    world.listening.name(customer=talk.customer, agent=talk.agent)
    return talk


def longest_gap_s(world: World, call: SandboxCall, since_s: float, until_s: float | None = None) -> float:
    """The longest that somebody heard nobody and nothing since a moment of `world.listening`, in real seconds.

    Without what this process lost on a busy machine.
    """
    speed, now_s, heard_s = world.sandbox.speed, time.monotonic(), world.listening.now()

    def real_s(moment_s: float) -> float:
        return now_s - (heard_s - moment_s) / speed

    silences = [span for span in world.listening.heard(call, since_s, until_s) if span.what == "silence"]
    return max(
        (
            (span.to_s - span.from_s) / speed - world.stalls.lost_s(real_s(span.from_s), real_s(span.to_s))
            for span in silences
        ),
        default=0.0,
    )


async def done(world: World, kind: str, session: str, **fields: str) -> CommandOutcome:
    """Gives a command that succeeds."""
    return await _ends(world, "done", kind, session, **fields)


async def failed(world: World, reason: str, kind: str, session: str, **fields: str) -> CommandOutcome:
    """Gives a command that is accepted and fails for that reason."""
    outcome = await _ends(world, "failed", kind, session, **fields)
    assert outcome.reason == reason
    return outcome


async def rejected(world: World, why: str, kind: str, session: str, **fields: str) -> CommandOutcome:
    """Gives a command that is rejected with a sentence that begins so."""
    outcome = await _ends(world, "rejected", kind, session, **fields)
    assert outcome.reason.startswith(why), outcome
    return outcome


async def _ends(world: World, status: str, kind: str, session: str, **fields: str) -> CommandOutcome:
    outcome = await world.command(kind, session, **fields)
    if outcome.status != status:
        raise AssertionError(f"{kind} is {outcome}, not {status}\n{await world.report()}")
    return outcome


async def begins(world: World, kind: str, session: str, **fields: str) -> str:
    """Gives a command and waits until it is accepted; returns its id, for `outcome_of`."""
    command_id = await commands.publish(world.client, world.keys, {"type": kind, "session": session, **fields})
    command_id = fields.get("id", command_id)

    async def is_accepted() -> bool:
        return bool((await commands.outcome(world.client, world.keys, command_id)).status)

    await world.eventually(is_accepted, f"{kind} is accepted")
    return command_id


async def outcome_of(world: World, command_id: str) -> CommandOutcome:
    """Waits until nothing more comes of a command."""
    return await commands.wait_for_outcome(world.client, world.keys, command_id, DEADLINE_S)


async def outcomes(world: World) -> list[dict[str, str]]:
    """What other systems were told, oldest first."""
    entries = await world.client.xrange(world.keys.outcomes)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]


def hears(world: World, call: SandboxCall) -> Any:
    """What somebody hears now: the SIDs of others, or `music`, `ringback`, `ringing`, `silence`, `said ...`."""
    return world.listening.hears(call)


def sounds(world: World, call: SandboxCall, since_s: float | None = None) -> list[Any]:
    """What somebody has heard one after the other, without the moments of silence between."""
    return [what for what in world.listening.whats(call, since_s) if what != "silence"]


async def until_hears(world: World, call: SandboxCall, what: Any) -> None:
    """Waits until a leg hears this: a word, or the calls (and words) that it hears together."""
    wanted = what if isinstance(what, str) else frozenset(one if isinstance(one, str) else one.sid for one in what)

    async def does() -> bool:
        return world.listening.hears(call) == wanted

    await world.eventually(does, f"{call.sid} hears {wanted}\n{world.listening.described()}")


def dial_requests(world: World, address: str) -> list[RestEntry]:
    """What Twilio was asked to dial a phone, refused and lost requests as well, oldest first.

    Without those that are refused because the conference has not started: each is repeated as a call of its own.
    """
    return [
        entry
        for entry in world.sandbox.ledger.rest
        if entry.method == "POST"
        and entry.get("To") == address
        and entry.path.endswith(("/Calls.json", "/Participants.json"))
        and entry.code not in NOT_STARTED
    ]


def dials_to(world: World, address: str) -> int:
    """How often a phone was dialed by REST (count)."""
    return sum(call.record.direction == "outbound-api" for call in world.sandbox.calls_of(address))


async def everybody_is_gone(
    world: World, session: str, reason: str, *, debugger: frozenset[int] = frozenset()
) -> dict[str, str]:
    """The session has ended for that reason, and nothing is left of it: no call, no timer, no effect.

    Args:
        world: Where.
        session: Its id.
        reason: `end_reason`.
        debugger: Codes of the entries in Twilio's debugger that a fault has caused; without a fault there are none.
    """
    ended = await world.until(session, state="ended")
    assert ended["end_reason"] == reason, ended
    await world.settled()
    entries = world.sandbox.ledger.errors()
    # Who comes by a document of ours, because no one is added before the start, may come right after the end.
    may_come_late = {CONFERENCE_OVER} if world.sandbox.exchange.rules.add_before_start == "refused" else set()
    assert {entry.code for entry in entries} - may_come_late == debugger - may_come_late, entries
    return ended


async def ended_by_command(world: World, session: str) -> None:
    """Lets everybody go at the end of a story."""
    await done(world, "end", session)
    await everybody_is_gone(world, session, "command")


async def goes_on_and_ends(world: World, customer: SandboxCall, agent: SandboxCall) -> None:
    """Customer and agent talk as if nothing had happened, until they are let go."""
    await until_hears(world, customer, [agent])
    await until_hears(world, agent, [customer])
    await world.until(customer.sid, state="conferenced", phase="")
    await ended_by_command(world, customer.sid)


async def talks_and_ends(world: World, customer: SandboxCall, agent: SandboxCall, target: SandboxCall) -> None:
    """All three talk, until they are let go."""
    await until_hears(world, target, [customer, agent])
    await ended_by_command(world, customer.sid)
