"""Parked calls: the customer waits with music and nobody beside him, until somebody takes the call up again."""

import json
from itertools import groupby
from typing import Any

import pytest

from conferral.sandbox import SandboxCall
from tests.stories.kit import (
    GAP_MAX_S,
    SECOND,
    TARGET,
    Talk,
    begins,
    dial_requests,
    dials_to,
    done,
    ended_by_command,
    everybody_is_gone,
    failed,
    longest_gap_s,
    outcome_of,
    outcomes,
    rejected,
    sounds,
    talking,
    until_hears,
)
from tests.support.phones import answers, busy, dialled, presses, refuses, rings, unreachable, voicemail
from tests.support.world import AGENT, World

pytestmark = [pytest.mark.redis, pytest.mark.examples(1)]

STARTS = pytest.mark.parametrize(
    "direction, in_room",
    [("inbound", False), ("inbound", True), ("outbound", False), ("outbound", True)],
    ids=["inbound-bridged", "inbound-conferenced", "outbound-bridged", "outbound-conferenced"],
)
BOTH_PLACES = pytest.mark.parametrize("in_room", [False, True], ids=["bridged", "conferenced"])


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        yield world


async def parked(world: World, direction: str = "inbound", *, in_room: bool = False) -> Talk:
    """A call that the agent has parked: the customer hears music, the agent's call is over."""
    talk = await talking(world, direction, in_room=in_room)
    await done(world, "park", talk.session)
    await is_parked(world, talk)
    return talk


async def is_parked(world: World, talk: Talk) -> dict[str, str]:
    session = await world.until(talk.session, state="conferenced", phase="parked")
    await until_hears(world, talk.customer, "music")
    assert session["party.agent.status"] == "left"
    assert talk.customer.status == "in-progress"
    return session


def tunes(world: World, call: SandboxCall, since_s: float | None = None) -> list[Any]:
    """What somebody has heard, whatever plays again and again told once."""
    return [what for what, _ in groupby(sounds(world, call, since_s))]


async def transfers(world: World) -> list[tuple[str, str, str, str]]:
    """What other systems were told of parking, of each retrieve and of each recall."""
    told = [entry for entry in await outcomes(world) if entry["kind"] == "transfer"]
    return [(entry["mode"], entry["to"], entry["result"], entry["reason"]) for entry in told]


async def customer_leaves(world: World, talk: Talk) -> None:
    """The customer hangs up, whoever was with him is let go, and nothing is left."""
    talk.customer.hang_up()
    await everybody_is_gone(world, talk.session, "customer-left")


# ---- park --------------------------------------------------------------------------------------------------------


@STARTS
async def test_customer_hears_music_and_nobody_else_from_the_agents_leaving(world, direction, in_room):
    talk = await talking(world, direction, in_room=in_room)
    began_s = world.listening.now()
    await done(world, "park", talk.session)
    session = await is_parked(world, talk)
    assert (session["transfer.mode"], session["transfer.status"], session["transfer.reason"]) == (
        "park", "completed", "",
    )  # fmt: skip
    assert talk.agent.status == "completed"
    assert tunes(world, talk.customer, began_s) == [frozenset({talk.agent.sid}), "music"], world.listening.described()
    assert longest_gap_s(world, talk.customer, began_s) < GAP_MAX_S
    assert await transfers(world) == [("park", "", "completed", "")]
    assert dials_to(world, AGENT) == (direction == "outbound")
    await customer_leaves(world, talk)


async def test_call_that_is_parked_while_it_is_being_converted_waits_in_the_conference(world):
    talk = await talking(world)
    began_s = world.listening.now()
    convert = await begins(world, "convert", talk.session)
    await done(world, "park", talk.session)
    assert (await outcome_of(world, convert)).status == "done"
    await is_parked(world, talk)
    assert longest_gap_s(world, talk.customer, began_s) < GAP_MAX_S
    await customer_leaves(world, talk)


async def test_nobody_is_let_go_for_being_alone_while_he_is_parked(redis_server):
    async with World(redis_server.url, CONFERRAL_LONE_GRACE=0.05, CONFERRAL_PARK_TIMEOUT=0.6) as world:
        talk = await parked(world)
        await dialled(world.sandbox, AGENT, 2)
        assert talk.customer.status == "in-progress"
        await customer_leaves(world, talk)


@BOTH_PLACES
async def test_what_needs_somebody_else_is_rejected_while_a_call_is_parked(world, in_room):
    talk = await parked(world, in_room=in_room)
    for kind, fields in {
        "transfer": {"to": TARGET, "mode": "blind"},
        "park": {},
        "add": {"to": TARGET, "party": "carol"},
        "hold": {"party": "customer"},
        "unhold": {"party": "customer"},
        "supervise": {"to": TARGET, "mode": "monitor"},
    }.items():
        outcome = await rejected(world, "the call is parked; allowed now: ", kind, talk.session, **fields)
        assert "retrieve" in outcome.reason
    for kind in ("complete", "cancel", "swap", "merge"):
        await rejected(world, "no transfer runs; allowed now: ", kind, talk.session)
    await is_parked(world, talk)
    assert dials_to(world, TARGET) == 0
    await ended_by_command(world, talk.session)


@BOTH_PLACES
async def test_retrieve_is_rejected_where_nothing_is_parked(world, in_room):
    talk = await talking(world, in_room=in_room)
    await rejected(world, "" if not in_room else "the call is not parked", "retrieve", talk.session, to=TARGET)
    assert dials_to(world, TARGET) == 0
    await ended_by_command(world, talk.session)


@STARTS
async def test_customer_of_a_parked_call_who_hangs_up_ends_it(world, direction, in_room):
    talk = await parked(world, direction, in_room=in_room)
    await customer_leaves(world, talk)
    assert [entry["kind"] for entry in await outcomes(world)] == ["transfer", "session"]


# ---- retrieve ----------------------------------------------------------------------------------------------------


@STARTS
async def test_whoever_retrieves_it_talks_to_the_customer_and_is_the_agent_then(world, direction, in_room):
    talk = await parked(world, direction, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(rings())
    since_s = world.listening.now()
    command = await begins(world, "retrieve", talk.session, to=TARGET)
    leg = await dialled(world.sandbox, TARGET)
    session = await world.until(talk.session, **{"transfer.status": "ringing"})
    assert (session["state"], session["phase"], session["transfer.mode"]) == ("transferring", "retrieve", "retrieve")
    await until_hears(world, talk.customer, "music")
    leg.answer()
    assert (await outcome_of(world, command)).status == "done"
    await until_hears(world, talk.customer, [leg])
    await until_hears(world, leg, [talk.customer])
    session = await world.until(talk.session, state="conferenced", phase="")
    assert (session["party.agent.call_sid"], session["party.agent.address"]) == (leg.sid, TARGET)
    assert session["party.customer.held"] == "false"
    assert tunes(world, talk.customer, since_s) == ["music", frozenset({leg.sid})], world.listening.described()
    assert longest_gap_s(world, talk.customer, since_s) < GAP_MAX_S
    assert dials_to(world, TARGET) == 1
    assert await transfers(world) == [("park", "", "completed", ""), ("retrieve", TARGET, "completed", "")]
    leg.hang_up()
    await everybody_is_gone(world, talk.session, "agent-left")


async def test_call_is_parked_and_taken_up_again_and_again_also_by_who_has_parked_it(world):
    talk = await parked(world)
    labels = [(await world.session(talk.session))["party.agent.label"]]
    for time, address in enumerate((AGENT, TARGET, AGENT), start=2):
        world.sandbox.phone(address).in_turn(answers())
        await done(world, "retrieve", talk.session, to=address)
        leg = await world.leg(talk.session, "agent")
        await until_hears(world, talk.customer, [leg])
        session = await world.session(talk.session)
        assert session["party.agent.address"] == address
        labels.append(session["party.agent.label"])
        if time < 4:
            await done(world, "park", talk.session)
            await is_parked(world, talk)
    modes = [mode for mode, _, _, _ in await transfers(world)]
    assert modes == ["park", "retrieve"] * 3
    assert len(set(labels)) == 4, labels
    await customer_leaves(world, talk)


async def test_call_that_was_taken_up_is_a_call_like_any_other(world):
    talk = await parked(world)
    for address in (TARGET, SECOND):
        world.sandbox.phone(address).in_turn(answers())
    await done(world, "retrieve", talk.session, to=TARGET)
    await done(world, "transfer", talk.session, to=SECOND, mode="warm")
    second = await world.leg(talk.session, "target")
    await done(world, "complete", talk.session)
    await until_hears(world, talk.customer, [second])
    await customer_leaves(world, talk)


async def test_who_retrieves_hears_the_brief_and_presses_a_key_before_the_customer_hears_him(redis_server):
    async with World(redis_server.url, speed=20) as world:
        talk = await parked(world)
        world.sandbox.phone(TARGET).in_turn(presses("1", key_after_s=8))
        await done(world, "retrieve", talk.session, to=TARGET, brief="Order 7.", confirm="true", digits="ww12")
        leg = await dialled(world.sandbox, TARGET)
        await until_hears(world, talk.customer, [leg])
        assert tunes(world, leg)[:-1] == ["said Order 7.", "said Press 1 to take the call."], tunes(world, leg)
        (dial,) = dial_requests(world, TARGET)
        assert dial.get("SendDigits") == "ww12"
        await customer_leaves(world, talk)


FAILURES = [
    (busy(), {}, "busy"),
    (refuses(), {}, "rejected"),
    (unreachable(), {}, "failed"),
    (rings(), {"timeout": "5"}, "no-answer"),
    (voicemail(), {"confirm": "true"}, "no-confirmation"),
    (presses("2"), {"confirm": "true"}, "rejected"),
    (answers(hangs_up_after_s=0.5), {"brief": "It is a long story that nobody wants to hear."}, "hung-up"),
]


@BOTH_PLACES
@pytest.mark.parametrize(
    "script, fields, reason", FAILURES,
    ids=["busy", "refused", "unreachable", "no-answer", "voicemail", "declined", "hung-up"],
)  # fmt: skip
async def test_retrieve_that_fails_leaves_the_call_parked(redis_server, in_room, script, fields, reason):
    async with World(redis_server.url, speed=20) as world:
        talk = await parked(world, in_room=in_room)
        since_s = world.listening.now()
        world.sandbox.phone(TARGET).in_turn(script, answers())
        await failed(world, reason, "retrieve", talk.session, to=TARGET, **fields)
        session = await is_parked(world, talk)
        assert (session["transfer.status"], session["transfer.reason"]) == ("failed", reason)
        assert tunes(world, talk.customer, since_s) == ["music"], world.listening.described()
        assert (await transfers(world))[1:] == [("retrieve", TARGET, "failed", reason)]
        await done(world, "retrieve", talk.session, to=TARGET)
        await until_hears(world, talk.customer, [await dialled(world.sandbox, TARGET, 2)])
        assert longest_gap_s(world, talk.customer, since_s) < GAP_MAX_S
        await customer_leaves(world, talk)


@BOTH_PLACES
async def test_customer_who_hangs_up_while_somebody_is_dialled_stops_that_phone(world, in_room):
    talk = await parked(world, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(rings())
    command = await begins(world, "retrieve", talk.session, to=TARGET)
    await world.until(talk.session, **{"transfer.status": "ringing"})
    await customer_leaves(world, talk)
    outcome = await outcome_of(world, command)
    assert (outcome.status, outcome.reason) == ("failed", "customer-left")
    assert (await transfers(world))[1:] == [("retrieve", TARGET, "failed", "customer-left")]
    assert dials_to(world, TARGET) == 1


async def test_of_two_retrieves_at_once_one_is_carried_out(world):
    talk = await parked(world)
    for address in (TARGET, SECOND):
        world.sandbox.phone(address).in_turn(answers())
    first = await begins(world, "retrieve", talk.session, to=TARGET)
    await rejected(world, "a transfer runs already; allowed now: ", "retrieve", talk.session, to=SECOND)
    assert (await outcome_of(world, first)).status == "done"
    await rejected(world, "the call is not parked; allowed now: ", "retrieve", talk.session, to=SECOND)
    assert (dials_to(world, TARGET), dials_to(world, SECOND)) == (1, 0)
    await customer_leaves(world, talk)


@BOTH_PLACES
async def test_end_of_a_parked_call_while_somebody_is_dialled_lets_everybody_go(world, in_room):
    talk = await parked(world, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(rings())
    command = await begins(world, "retrieve", talk.session, to=TARGET)
    await world.until(talk.session, **{"transfer.status": "ringing"})
    await ended_by_command(world, talk.session)
    assert (await outcome_of(world, command)).reason == "command"
    assert (await transfers(world))[1:] == [("retrieve", TARGET, "cancelled", "command")]


# ---- nobody takes it up ------------------------------------------------------------------------------------------

SPEED = 20
COMING_BACK = "said The call that you have parked is coming back to you. Nobody has taken it up."
SORRY = "said We are sorry, but we could not connect you. Please try again later. Goodbye."


def short_world(redis_server, **settings):
    """Calls go back soon; sentences take time, so the local Twilio's clock runs faster."""
    return World(redis_server.url, speed=SPEED, CONFERRAL_PARK_TIMEOUT=0.5, CONFERRAL_RING_TIMEOUT=20, **settings)


@STARTS
async def test_call_goes_back_to_who_has_parked_it_and_he_is_told_so(redis_server, direction, in_room):
    async with short_world(redis_server) as world:
        talk = await parked(world, direction, in_room=in_room)
        since_s = world.listening.now()
        back = await dialled(world.sandbox, AGENT, 2)
        await until_hears(world, talk.customer, [back])
        await until_hears(world, back, [talk.customer])
        assert sounds(world, back) == [COMING_BACK, frozenset({talk.customer.sid})]
        assert tunes(world, talk.customer, since_s) == ["music", frozenset({back.sid})]
        assert longest_gap_s(world, talk.customer, since_s) < GAP_MAX_S
        session = await world.until(talk.session, state="conferenced", phase="")
        assert session["party.agent.call_sid"] == back.sid
        assert await transfers(world) == [("park", "", "completed", ""), ("park", AGENT, "recalled", "park-timeout")]
        back.hang_up()
        await everybody_is_gone(world, talk.session, "agent-left")


@BOTH_PLACES
async def test_agent_who_does_not_take_it_back_is_rung_twice_then_it_ends_with_a_sentence(redis_server, in_room):
    async with short_world(redis_server) as world:
        world.agent_phone.in_turn(answers(), busy(), refuses())
        talk = await parked(world, in_room=in_room)
        since_s = world.listening.now()
        ended = await everybody_is_gone(world, talk.session, "recall-failed")
        assert ended["transfer.reason"] == "park-timeout, recall busy, recall rejected"
        assert world.sandbox.ledger.dials_to(AGENT) == 3
        assert tunes(world, talk.customer, since_s) == ["music", SORRY], world.listening.described()
        assert longest_gap_s(world, talk.customer, since_s) < GAP_MAX_S


@BOTH_PLACES
async def test_somebody_else_gets_it_where_the_settings_say_so(redis_server, in_room):
    async with short_world(redis_server, CONFERRAL_TRANSFER_FALLBACK=SECOND) as world:
        world.sandbox.phone(SECOND).in_turn(answers())
        talk = await parked(world, in_room=in_room)
        second = await dialled(world.sandbox, SECOND)
        await until_hears(world, talk.customer, [second])
        await until_hears(world, second, [talk.customer])
        session = await world.until(talk.session, state="conferenced", phase="")
        assert session["party.agent.call_sid"] == second.sid
        assert world.sandbox.ledger.dials_to(AGENT) == 1
        assert (await transfers(world))[1][2:] == ("failed", "park-timeout, fallback answered")
        await customer_leaves(world, talk)


async def test_somebody_else_who_is_not_reached_ends_it_with_a_sentence(redis_server):
    async with short_world(redis_server, CONFERRAL_TRANSFER_FALLBACK=SECOND) as world:
        world.sandbox.phone(SECOND).in_turn(unreachable())
        talk = await parked(world)
        ended = await everybody_is_gone(world, talk.session, "fallback-failed")
        assert ended["transfer.reason"] == "park-timeout, fallback failed"
        assert tunes(world, talk.customer)[-1] == SORRY
        attempts = json.loads((await outcomes(world))[1]["attempts"])
        assert [(one["to"], one["result"]) for one in attempts] == [(SECOND, "failed")]


@BOTH_PLACES
async def test_customer_is_told_and_let_go_where_nobody_is_to_be_tried(redis_server, in_room):
    async with short_world(redis_server, CONFERRAL_TRANSFER_FALLBACK="end") as world:
        talk = await parked(world, in_room=in_room)
        since_s = world.listening.now()
        await everybody_is_gone(world, talk.session, "park-timeout")
        assert tunes(world, talk.customer, since_s) == ["music", SORRY], world.listening.described()
        assert world.sandbox.ledger.dials_to(AGENT) == 1


async def test_retrieves_that_fail_do_not_keep_it_parked_for_longer(redis_server):
    async with short_world(redis_server) as world:
        talk = await parked(world)
        world.sandbox.phone(TARGET).in_turn(busy())
        before = (await world.session(talk.session))["parked_until"]
        await failed(world, "busy", "retrieve", talk.session, to=TARGET)
        assert (await is_parked(world, talk))["parked_until"] == before
        back = await dialled(world.sandbox, AGENT, 2)
        await until_hears(world, talk.customer, [back])
        await customer_leaves(world, talk)


async def test_customer_who_leaves_while_the_agent_is_rung_again_stops_that_phone(redis_server):
    async with short_world(redis_server) as world:
        world.agent_phone.in_turn(answers(), rings())
        talk = await parked(world)
        back = await dialled(world.sandbox, AGENT, 2)
        await world.until(talk.session, **{"party.agent.status": "ringing"})
        await customer_leaves(world, talk)
        assert back.status in ("canceled", "no-answer", "completed")
        assert (await transfers(world))[1][2:] == ("failed", "park-timeout, customer-left")
