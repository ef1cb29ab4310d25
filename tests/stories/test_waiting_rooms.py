"""Conferences from the start, by each of the ways into them: who hears what, who is dialled, and how they end."""

import pytest

from conferral.sandbox.exchange import Rules
from tests.stories.kit import (
    GAP_MAX_S,
    begins,
    done,
    everybody_is_gone,
    longest_gap_s,
    outcome_of,
    rejected,
    sounds,
    until_hears,
)
from tests.stories.openings import WAYS, by_way, in_conference, opened, some, waits
from tests.stories.trio import told
from tests.support.phones import answers, busy, dialled, presses, refuses, rings, unreachable, voicemail
from tests.support.world import AGENT, CUSTOMER, World

pytestmark = pytest.mark.redis
OUTCOMES = {"busy": busy(), "rejected": refuses(), "no-answer": rings(), "failed": unreachable()}


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        yield world


@by_way("waiting")
async def test_the_other_one_is_rung_once_where_twilio_adds_no_one_before_the_start(redis_server, way):
    """Twilio's page on 16099 says so; the dial is placed once more, as a call whose document joins."""
    async with World(redis_server.url, rules=Rules(add_before_start="refused")) as world:
        world.sandbox.phone(WAYS[way].phone).in_turn(answers())
        opening = await opened(world, way)
        await opening.talks()
        asked = [one for one in world.sandbox.ledger.requests("POST") if one.get("To") == opening.way.phone]
        assert [(one.status, one.code) for one in asked] == [(400, 16099), (201, 0)]
        assert len(world.sandbox.calls_of(opening.way.phone)) == 1
        await done(world, "end", opening.id)
        await opening.ends("command")


@by_way("waiting")
async def test_one_waits_with_the_tune_until_the_other_answers_and_then_they_talk(world, way):
    world.sandbox.phone(WAYS[way].phone).in_turn(rings())
    opening = await opened(world, way)
    leg = await opening.rings()
    await waits(opening)
    session = await opening.until(state="conferenced", phase="ringing")
    assert session["direction"] == ("inbound" if way == "waiting" else "outbound")
    assert (session["party.agent.address"], session["party.customer.address"]) == (
        "client:bea" if way == "client" else AGENT,
        CUSTOMER,
    )
    leg.answer()
    await opening.talks()
    called = await opening.called()
    assert called is None or called.status == "done"
    await until_hears(world, opening.waiter, [leg])
    # Who waits has heard the tune and nothing else before, without a gap between it and the voice.
    assert sounds(world, opening.waiter)[-2:] == [opening.way.tune, frozenset([leg.sid])]
    assert longest_gap_s(world, opening.waiter, 0) < GAP_MAX_S
    # Nobody is moved: the two were in one room from the start, and the other one was dialled into it by its SID.
    assert world.redirects_of(leg) == world.redirects_of(opening.waiter) == 0
    room = await world.sandbox_room()
    assert room.sid == (await opening.session())["conference_sid"]
    (dial, *again) = [one for one in world.sandbox.ledger.requests("POST") if one.get("To") == opening.way.phone]
    # Where Twilio adds no one before the start, they join by a document of ours.
    assert [(dial.code, one.path) for one in again] in ([], [(16099, "/Calls.json")])
    assert room.sid in dial.path
    assert dial.get("EarlyMedia") == "false"
    await done(world, "end", opening.id)
    await opening.ends("command")


@by_way("client")
@pytest.mark.parametrize("leaver", some(["agent", "customer"], "agent"))
async def test_whoever_hangs_up_ends_the_call_of_two(world, way, leaver):
    opening, leg = await in_conference(world, way)
    {opening.way.waiter: opening.waiter, opening.way.awaited: leg}[leaver].hang_up()
    await opening.ends(f"{leaver}-left")
    (entry,) = await told(world, 1)
    assert (entry["kind"], entry["result"], entry["session"]) == ("session", "ended", opening.id)


@pytest.mark.parametrize("way, binds", [("waiting", True), ("call", True), ("client", False)])
async def test_both_carry_the_flag_that_ends_the_room_but_nobody_in_a_group(world, way, binds):
    opening, _ = await in_conference(world, way)
    if binds:
        await opening.until(**{"party.customer.ends_conference": "true", "party.agent.ends_conference": "true"})
    await done(world, "end", opening.id)
    asked = [entry for entry in world.sandbox.ledger.requests("POST") if entry.get("EndConferenceOnExit") == "true"]
    assert bool(asked) is binds
    await opening.ends("command")


@by_way("call")
@pytest.mark.parametrize("outcome", some(OUTCOMES, "rejected", "no-answer"))
async def test_whoever_waits_is_told_that_nobody_was_reached(redis_server, way, outcome):
    async with World(redis_server.url, speed=20, CONFERRAL_RING_TIMEOUT=5) as world:
        world.sandbox.phone(WAYS[way].phone).in_turn(OUTCOMES[outcome])
        opening = await opened(world, way)
        await opening.fails(f"{opening.way.awaited}-{outcome}")


@by_way("waiting")
async def test_whoever_waits_and_hangs_up_stops_the_others_phone(world, way):
    world.sandbox.phone(WAYS[way].phone).in_turn(rings())
    opening = await opened(world, way)
    leg = await opening.rings()
    opening.waiter.hang_up()
    await opening.ends(f"{opening.way.waiter}-left")
    assert leg.status in ("canceled", "completed")
    assert leg.record.answered_at_s is None
    called = await opening.called()
    assert called is None or (called.status, called.reason) == ("failed", f"{opening.way.waiter}-left")


@by_way("client")
async def test_commands_that_need_company_are_rejected_while_one_waits_and_end_works(world, way):
    world.sandbox.phone(WAYS[way].phone).in_turn(rings())
    opening = await opened(world, way)
    await opening.rings()
    before = await opening.session()
    for kind, fields in (
        ("transfer", {"to": "client:carol", "mode": "warm"}),
        ("transfer", {"to": "client:carol", "mode": "blind"}),
        ("park", {}),
        ("add", {"to": "client:carol", "party": "expert"}),
        ("hold", {"party": opening.way.waiter}),
        ("mute", {"party": opening.way.waiter}),
        ("supervise", {"to": "client:carol", "mode": "monitor"}),
    ):
        await rejected(world, "nobody has answered yet", kind, opening.id, **fields)
    for kind in ("complete", "cancel", "swap", "merge"):
        await rejected(world, "", kind, opening.id)
    changed = {name for name, value in (await opening.session()).items() if before.get(name) != value}
    assert changed <= {"version", "updated_at", "seen"}, changed
    await done(world, "end", opening.id)
    await opening.ends("command")


@by_way("call")
@pytest.mark.parametrize("whom", some(["waiter", "awaited"], "awaited"))
async def test_whoever_is_removed_while_one_waits_ends_it(world, way, whom):
    world.sandbox.phone(WAYS[way].phone).in_turn(rings())
    opening = await opened(world, way)
    await opening.rings()
    await done(world, "remove", opening.id, party=getattr(opening.way, whom))
    ended = await opening.until(state="ended")
    await everybody_is_gone(world, opening.id, ended["end_reason"])


async def test_agent_of_a_call_who_does_not_come_leaves_the_customer_uncalled(world):
    world.agent_phone.in_turn(busy())
    command = await begins(world, "call", "", agent=AGENT, customer=CUSTOMER, mode="conference")
    outcome = await outcome_of(world, command)
    assert (outcome.status, outcome.reason) == ("failed", "agent-busy")
    await everybody_is_gone(world, outcome.session, "agent-busy")
    assert world.sandbox.ledger.dials_to(CUSTOMER) == 0


async def test_agent_of_a_call_who_hangs_up_before_the_customer_answers_stops_his_phone(world):
    world.sandbox.phone(CUSTOMER).in_turn(rings())
    opening = await opened(world, "call", brief="This is a call.", session="order-7")
    customer = await opening.rings()
    assert sounds(world, opening.waiter)[0] == "said This is a call."
    opening.waiter.hang_up()
    await opening.ends("agent-left")
    assert customer.record.answered_at_s is None


async def test_second_call_with_the_id_of_a_session_is_rejected(world):
    world.sandbox.phone(CUSTOMER).in_turn(answers())
    opening = await opened(world, "call", session="order-7")
    await opening.talks()
    await rejected(
        world,
        "session: there is a session or a call of this id already",
        "call",
        "order-7",
        agent=AGENT,
        customer=CUSTOMER,
        mode="conference",
    )
    assert world.sandbox.ledger.dials_to(CUSTOMER) == 1
    await done(world, "end", opening.id)
    await opening.ends("command")


async def test_greeting_is_said_once_and_then_the_music_plays(redis_server):
    async with World(redis_server.url, speed=5, CONFERRAL_GREETING="Welcome to us.") as world:
        world.agent_phone.in_turn(rings())
        opening = await opened(world, "waiting")
        agent = await dialled(world.sandbox, AGENT)
        await waits(opening)
        agent.answer()
        await opening.talks()
        assert sounds(world, opening.waiter) == ["said Welcome to us.", "music", frozenset([agent.sid])]
        await until_hears(world, agent, [opening.waiter])
        agent.hang_up()
        await opening.ends("agent-left")


@pytest.mark.parametrize("way", ["client", "call"])
@pytest.mark.parametrize(
    "script, reason",
    [(voicemail(), "customer-no-confirmation"), (presses("2"), "customer-rejected")],
    ids=["voicemail", "refuses"],
)
async def test_customer_who_has_to_press_a_key_and_does_not_ends_the_call_with_a_sentence(
    redis_server, way, script, reason
):
    async with World(redis_server.url, speed=20, CONFERRAL_CONFIRM="phones") as world:
        world.sandbox.phone(CUSTOMER).in_turn(script)
        opening = await opened(world, way)
        await opening.fails(reason)
        machine = await dialled(world.sandbox, CUSTOMER)
        assert world.listening.never_heard(opening.waiter, machine)
