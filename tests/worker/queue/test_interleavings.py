"""Two callers, two agents, two offerers: every order of offers, answers, hang-ups, and deaths between two writes.

What is decided is the product's: who is offered to whom, what becomes of an offer, and each session's next state. Redis
and the phones are modeled: claims, the streams, the fence of a dial, and who rings.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from conferral.statemachine.events import CallProgressed, EffectFailed, EffectSucceeded, Event, Offer, ParticipantJoined
from conferral.statemachine.machine import step
from conferral.statemachine.reasons import Reason
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER, Session
from conferral.statemachine.step import DecisionKind
from conferral.storage.agents import identities_of, identity_of
from conferral.storage.codecs import session_codec
from conferral.storage.offers import DEADLINE_MS, Claim, Desk
from conferral.worker.queue.matching import LOST_MS, REPEAT_MS, Verdict, judge, next_offers
from tests.support.people import ALICE, BOB
from tests.worker.queue.test_matching import NOW_MS, waiting

AGENTS = (ALICE, BOB)
#: How far time goes on, in turn, milliseconds: an offer is repeated, and is lost, at any moment; the others come once
#: nothing else can happen.
JUMPS_MS, ANYTIME = (REPEAT_MS, *[LOST_MS] * 4), 2


class Write(NamedTuple):
    """What an offerer does next, after it has read: one command of Redis."""

    kind: str
    agent: str
    claim: Claim


class Ring(NamedTuple):
    """A call of an agent's phone."""

    agent: str
    caller: str
    dial_id: str
    talks: bool = False


class World(NamedTuple):
    """Everything at one moment. Sessions by number, as `_SESSIONS` has them."""

    sessions: tuple[int, ...]
    claims: tuple[tuple[str, Claim], ...] = ()
    sent: frozenset[tuple[str, Claim]] = frozenset()
    dials: frozenset[Ring] = frozenset()
    rings: frozenset[Ring] = frozenset()
    refused: frozenset[str] = frozenset()
    away: frozenset[str] = frozenset()
    #: What is left to do of each offerer.
    offerers: tuple[tuple[Write, ...], ...] = ((), ())
    jumps: int = 0
    #: How often a second offerer may read, an offerer die, a caller hang up, and an agent not take a call (counts).
    doubles: int = 0
    deaths: int = 0
    hang_ups: int = 0
    untaken: int = 0

    @property
    def now_ms(self) -> int:
        return NOW_MS + sum(JUMPS_MS[: self.jumps])


_SESSIONS: list[Session] = []
_NUMBERS: dict[object, int] = {}


def number_of(session: Session) -> int:
    key = tuple(session_codec.encode(session).items())
    if key not in _NUMBERS:
        _NUMBERS[key] = len(_SESSIONS)
        _SESSIONS.append(session)
    return _NUMBERS[key]


@cache
def decided(number: int, event: Event, now_ms: int) -> tuple[int, bool, str]:
    """Return the session after an event, whether it was refused, and the dial that follows."""
    result = step(_SESSIONS[number], event, now_ms)
    dials = [one.effect_id for one in result.effects if one.kind == "create_participant"]
    return number_of(result.session), result.kind is DecisionKind.REFUSED, "".join(dials)


def sessions(world: World) -> dict[str, Session]:
    return {_SESSIONS[number].id: _SESSIONS[number] for number in world.sessions}


def takes(world: World, name: str, event: Event) -> tuple[World, bool, str]:
    found = {_SESSIONS[number].id: number for number in world.sessions}
    found[name], is_refused, dial_id = decided(found[name], event, world.now_ms)
    return world._replace(sessions=tuple(found.values())), is_refused, dial_id


def with_claim(world: World, agent: str, *claim: Claim) -> World:
    others = [one for one in world.claims if one[0] != agent]
    return world._replace(claims=tuple(sorted([*others, *((agent, one) for one in claim)])))


# ---- what may happen -------------------------------------------------------------------------------------------------


def read(world: World) -> tuple[Write, ...]:
    known, claims, writes = sessions(world), dict(world.claims), []
    for agent, claim in claims.items():
        verdict = judge(known[claim.session_id], agent, claim, world.now_ms)
        if verdict in (Verdict.WAIT, Verdict.REPEAT) and claim.offer_id(agent) in world.refused:
            verdict = Verdict.END
        if verdict is Verdict.REPEAT:
            writes.append(Write("send", agent, claim))
        elif verdict not in (Verdict.WAIT, Verdict.KEEP):
            writes.append(Write(verdict.value, agent, claim))
    desks = {}
    for agent in AGENTS:
        is_in_session = any(identity_of(agent) in identities_of(one) for one in known.values())
        is_free = not (is_in_session or agent in claims or agent in world.away)
        desks[agent] = Desk(agent, True, free_since_ms=1 if is_free else 0, claim=claims.get(agent))
    for session, agent, number in next_offers(known.values(), desks, world.now_ms):
        claim = Claim(session.id, number, world.now_ms + DEADLINE_MS)
        writes += [Write("claim", agent, claim), Write("send", agent, claim)]
    return tuple(writes)


def write(world: World, one: int) -> World:
    (kind, agent, claim), *left = world.offerers[one]
    held = dict(world.claims).get(agent)
    if kind == "send":
        world = world._replace(sent=world.sent | {(agent, claim)})
    elif kind == "claim" and held is None:
        world = with_claim(world, agent, claim)
    elif kind == "claim":
        left = left[1:]  # another offer has the agent: it is not sent
    elif held == claim:
        away = {agent} if kind == Verdict.END_AND_AWAY.value else set()
        world = with_claim(world, agent)._replace(away=world.away | away)
    return with_offerer(world, one, tuple(left))


def with_offerer(world: World, one: int, left: tuple[Write, ...]) -> World:
    return world._replace(offerers=(*world.offerers[:one], left, *world.offerers[one + 1 :]))


def decide(world: World, agent: str, claim: Claim) -> World:
    offer = Offer(
        session_id=claim.session_id, entry_id=claim.offer_id(agent), token=claim.offer_id(agent), to=agent,
        number=claim.number, deadline_ms=claim.deadline_ms,
    )  # fmt: skip
    world, is_refused, dial_id = takes(world._replace(sent=world.sent - {(agent, claim)}), claim.session_id, offer)
    refused = {claim.offer_id(agent)} if is_refused else set()
    dials = {Ring(agent, claim.session_id, dial_id)} if dial_id else set()
    return world._replace(refused=world.refused | refused, dials=world.dials | dials)


def dial(world: World, ring: Ring) -> World:
    """A worker sends a dial, if the claim names its session; the phone rings."""
    world = world._replace(dials=world.dials - {ring})
    about = {"session_id": ring.caller, "effect_id": ring.dial_id, "kind": "create_participant", "party": AGENT}
    claim = dict(world.claims).get(ring.agent)
    if claim is None or claim.session_id != ring.caller:
        return takes(world, ring.caller, EffectFailed(**about, reason=Reason.EXPIRED))[0]
    world = takes(world, ring.caller, EffectSucceeded(**about, call_sid=f"CA{ring.dial_id}"))[0]
    if not sessions(world)[ring.caller].is_live:
        return world  # the call is hung up at once
    others = [one for one in world.rings if ring.agent == one.agent or ring.caller == one.caller]
    assert not others, f"{ring} while {others}"
    return world._replace(rings=world.rings | {ring})


def phone(world: World, ring: Ring, status: str) -> World:
    """An agent answers, or the call ends without an answer."""
    about, call_sid = {"session_id": ring.caller}, f"CA{ring.dial_id}"
    (party,) = [one for one in sessions(world)[ring.caller].parties.values() if one.dial_id == ring.dial_id]
    world = world._replace(rings=world.rings - {ring})
    if status == "answered":
        joined = ParticipantJoined(**about, conference_sid="CF1", call_sid=call_sid, label=party.label)
        return takes(world, ring.caller, joined)[0]._replace(rings=world.rings | {ring._replace(talks=True)})
    ended = CallProgressed(**about, party=AGENT, call_sid=call_sid, status=status, dial=ring.dial_id)
    return takes(world, ring.caller, ended)[0]._replace(untaken=world.untaken - 1)


def hang_up(world: World, caller: str) -> World:
    call_sid = sessions(world)[caller].customer.call_sid
    left = CallProgressed(session_id=caller, party=CUSTOMER, call_sid=call_sid, status="completed")
    rings = frozenset(one for one in world.rings if one.caller != caller)
    return takes(world, caller, left)[0]._replace(rings=rings, hang_ups=world.hang_ups - 1)


def following(world: World) -> Iterator[World]:
    for one, left in enumerate(world.offerers):
        if left:
            yield write(world, one)
            if world.deaths:
                yield with_offerer(world, one, ())._replace(deaths=world.deaths - 1)
        elif (one == 0 or world.doubles) and (writes := read(world)):
            yield with_offerer(world, one, writes)._replace(doubles=world.doubles - one)
    yield from (decide(world, *one) for one in world.sent)
    yield from (dial(world, one) for one in world.dials)
    for ring in world.rings:
        if not ring.talks:
            yield phone(world, ring, "answered")
            yield from (phone(world, ring, status) for status in ("busy", "no-answer") if world.untaken)
    if world.hang_ups:
        yield from (hang_up(world, one.id) for one in sessions(world).values() if not one.customer.is_gone)
    if world.jumps < ANYTIME:
        yield world._replace(jumps=world.jumps + 1)


# ---- what must hold --------------------------------------------------------------------------------------------------


def caller(name: str, since_ms: int) -> Session:
    session = waiting(name, since_ms, AGENTS, parked_until_ms=10 * NOW_MS, conference_sid="CF1")
    customer = replace(session.customer, call_sid=f"CA-{name}")
    return replace(session, parties={**session.parties, CUSTOMER: customer})


MAY = [{"deaths": 1}, {"untaken": 1}]
MAY_IN_SOAK = [
    {"hang_ups": 1},
    {"doubles": 1},
    {"doubles": 1, "deaths": 1},
    {"deaths": 1, "hang_ups": 1},
    {"untaken": 2},
]


IN_SOAK = (pytest.mark.soak, pytest.mark.timeout(1_800))


@pytest.mark.parametrize("may", [*MAY, *(pytest.param(one, marks=IN_SOAK) for one in MAY_IN_SOAK)], ids=str)
def test_no_order_of_events_rings_an_agent_for_two_callers_or_forgets_one(may: dict[str, int]) -> None:
    """In the end, no caller waits while an agent is free."""
    begins = World(tuple(number_of(caller(name, since_ms)) for name, since_ms in (("first", 10), ("second", 20))))
    begins = begins._replace(**may)
    seen, left = {begins}, [begins]
    while left:
        world = left.pop()
        after = [*following(world)]
        if not after and world.jumps < len(JUMPS_MS):
            after = [world._replace(jumps=world.jumps + 1)]
        if not after:
            talking = {one.caller for one in world.rings}
            waits = {one.id for one in sessions(world).values() if not one.customer.is_gone} - talking
            free = {*AGENTS} - world.away - {one.agent for one in world.rings}
            assert not (waits and free), world
        left += (new := {*after} - seen)
        seen |= new
    assert len(seen) > 1_000
