"""Blind transfers: the agent is gone at once, and the customer hears ringing until somebody answers."""

import pytest

from conferral.storage import commands
from tests.stories.kit import (
    CAROL,
    GAP_MAX_S,
    SECOND,
    TARGET,
    Talk,
    begins,
    dials_to,
    done,
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
from tests.support.phones import answers, dialled, rings
from tests.support.world import World

pytestmark = pytest.mark.redis

#: Every way in which a blind transfer can begin: who called whom, and whether they are in a conference.
STARTS = pytest.mark.parametrize(
    "direction, in_room",
    [("inbound", False), ("inbound", True), ("outbound", False), ("outbound", True)],
    ids=["inbound-bridged", "inbound-conferenced", "outbound-bridged", "outbound-conferenced"],
)


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        yield world


@STARTS
async def test_customer_hears_ringing_from_the_agents_leaving_until_the_target_answers(world, direction, in_room):
    talk = await talking(world, direction, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(rings())
    began_s = world.listening.now()
    command = await begins(world, "transfer", talk.session, to=TARGET, mode="blind")

    target = await dialled(world.sandbox, TARGET)
    await until_hears(world, talk.customer, "ringback")
    await world.until(talk.session, **{"transfer.status": "ringing", "party.agent.status": "left"})
    session = await world.session(talk.session)
    assert (session["state"], session["phase"]) == ("transferring", "blind")
    assert talk.agent.status == "completed"
    assert world.listening.never_heard(talk.customer, target)

    target.answer()
    assert (await outcome_of(world, command)).status == "done"
    await until_hears(world, talk.customer, [target])
    await until_hears(world, target, [talk.customer])
    assert sounds(world, talk.customer, began_s) == [
        frozenset({talk.agent.sid}), "ringback", frozenset({target.sid}),
    ], world.listening.described()  # fmt: skip
    assert longest_gap_s(world, talk.customer, began_s) < GAP_MAX_S
    assert world.listening.never_heard(talk.agent, target)

    session = await world.until(talk.session, state="conferenced")
    assert session["party.agent.call_sid"] == target.sid
    assert session["party.agent.address"] == TARGET
    assert session["party.agent-1.call_sid"] == talk.agent.sid
    assert session["party.customer.held"] == "false"
    assert (session["transfer.mode"], session["transfer.status"]) == ("blind", "completed")
    assert dials_to(world, TARGET) == 1
    assert world.redirects_of(talk.agent) == (in_room and direction == "inbound")

    target.hang_up()
    await everybody_is_gone(world, talk.session, "agent-left")
    transfer = (await outcomes(world))[0]
    assert (transfer["kind"], transfer["result"], transfer["to"]) == ("transfer", "completed", TARGET)


async def test_target_is_dialled_straight_into_the_customers_conference_and_its_phone_is_not_heard_ringing(world):
    """Whoever waits has our ring-back. By the conference's SID, so that a late leg can't open a second room."""
    talk = await talking(world)
    world.sandbox.phone(TARGET).in_turn(answers())
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    session = await world.session(talk.session)
    (request,) = world.sandbox.ledger.requests("POST", "/Participants.json")
    assert request.path == f"/Conferences/{session['conference_sid']}/Participants.json"
    assert request.get("EarlyMedia") == "false"
    assert request.get("Label") == session["party.agent.label"]
    assert world.redirects_of(talk.customer) == 0
    talk.customer.hang_up()
    await everybody_is_gone(world, talk.session, "customer-left")


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_agent_of_a_conference_is_hung_up_once_the_customer_is_held_and_before_the_target_is_dialled(
    world, direction
):
    talk = await talking(world, direction, in_room=True)
    world.sandbox.phone(TARGET).in_turn(answers(after_s=0))
    since = len(world.sandbox.ledger.rest)
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    target = await world.leg(talk.session, "agent")
    asked = [entry for entry in world.sandbox.ledger.rest[since:] if entry.method == "POST"]
    steps = [
        next(index for index, entry in enumerate(asked) if fits(entry))
        for fits in (
            lambda entry: entry.get("EndConferenceOnExit") == "false",
            lambda entry: entry.get("Hold") == "true" and talk.customer.sid in entry.path,
            lambda entry: entry.get("Status") == "completed" and talk.agent.sid in entry.path,
            lambda entry: entry.get("To") == TARGET,
            lambda entry: (
                entry.get("Hold") == "false"
                and not entry.get("EndConferenceOnExit")
                and talk.customer.sid in entry.path
            ),
        )
    ]
    assert steps == sorted(steps), asked
    assert world.listening.never_heard(talk.agent, target)
    talk.customer.hang_up()
    await everybody_is_gone(world, talk.session, "customer-left")


@STARTS
async def test_target_who_hangs_up_after_taking_the_call_ends_it(world, direction, in_room):
    talk = await talking(world, direction, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(rings())
    command = await begins(world, "transfer", talk.session, to=TARGET, mode="blind")
    await world.until(talk.session, **{"transfer.status": "ringing", "party.agent.status": "left"})
    (target,) = world.sandbox.calls_of(TARGET)
    target.answer()
    await until_hears(world, talk.customer, [target])
    target.hang_up()
    assert (await outcome_of(world, command)).status == "done"
    await everybody_is_gone(world, talk.session, "agent-left")


@STARTS
async def test_nothing_of_a_running_one_can_be_undone_and_the_sentence_says_so(world, direction, in_room):
    talk = await talking(world, direction, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(rings())
    command = await begins(world, "transfer", talk.session, to=TARGET, mode="blind")
    await world.until(talk.session, **{"transfer.status": "ringing"})
    before = await world.session(talk.session)
    for kind in ("complete", "cancel", "swap", "merge"):
        await rejected(world, "the agent has been let go already; allowed now: ", kind, talk.session)
    await rejected(world, "a transfer runs already; allowed now: ", "transfer", talk.session, to=SECOND, mode="blind")
    after = await world.session(talk.session)
    for name in ("state", "phase", "dials", "transfer.mode", "transfer.to", "transfer.status", "transfer.reason"):
        assert after[name] == before[name]
    await done(world, "end", talk.session)
    assert (await outcome_of(world, command)).reason == "command"
    await everybody_is_gone(world, talk.session, "command")
    assert (dials_to(world, TARGET), dials_to(world, SECOND)) == (1, 0)


async def test_one_that_comes_while_the_two_are_being_converted_begins_when_both_are_in(world):
    talk = await talking(world)
    world.sandbox.phone(TARGET).in_turn(answers())
    began_s = world.listening.now()
    convert = await commands.publish(world.client, world.keys, {"type": "convert", "session": talk.session})
    await done(world, "transfer", talk.session, to=TARGET, mode="blind")
    assert (await outcome_of(world, convert)).status == "done"
    await until_hears(world, talk.customer, [await world.leg(talk.session, "agent")])
    assert longest_gap_s(world, talk.customer, began_s) < GAP_MAX_S
    talk.customer.hang_up()
    await everybody_is_gone(world, talk.session, "customer-left")


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_call_is_handed_on_and_on(world, direction):
    """Whoever has taken it is the agent then, and may hand it over as well."""
    talk = await talking(world, direction)
    for number, address in enumerate((TARGET, SECOND, CAROL), start=1):
        world.sandbox.phone(address).in_turn(answers())
        await done(world, "transfer", talk.session, to=address, mode="blind")
        agent = await world.leg(talk.session, "agent")
        await until_hears(world, talk.customer, [agent])
        session = await world.session(talk.session)
        assert session["party.agent.address"] == address
        assert session[f"party.agent-{number}.status"] == "left"
    talk.customer.hang_up()
    await everybody_is_gone(world, talk.session, "customer-left")
    transfers = [(told["to"], told["result"]) for told in await outcomes(world) if told["kind"] == "transfer"]
    assert transfers == [(TARGET, "completed"), (SECOND, "completed"), (CAROL, "completed")]


# ---- the customer hangs up -------------------------------------------------------------------------------------------


def at_request(world: World, step: str, path: str, act, **params: str) -> None:
    """Does something just before, or just after, a request that changes something takes effect; once."""

    async def look(moment):
        asked = dict(moment.params)
        fits = moment.step == step and moment.method == "POST" and moment.path.startswith(path)
        if fits and params.items() <= asked.items():
            world.sandbox.on_rest = None
            act()

    world.sandbox.on_rest = look


def moving_request(talk: Talk, direction: str, *, in_room: bool) -> tuple[str, dict[str, str]]:
    """The request by which a blind transfer begins: the customer's hold, or redirect, or the agent's hang-up."""
    if in_room:
        return "/Conferences/", {"Hold": "true"}
    if direction == "outbound":
        return f"/Calls/{talk.customer.sid}", {}
    return f"/Calls/{talk.agent.sid}", {"Status": "completed"}


@STARTS
@pytest.mark.parametrize("step", ["before", "after"])
async def test_customer_who_hangs_up_while_being_moved_leaves_nobody_behind(world, direction, in_room, step):
    talk = await talking(world, direction, in_room=in_room)
    path, params = moving_request(talk, direction, in_room=in_room)
    at_request(world, step, path, talk.customer.hang_up, **params)
    await failed(world, "customer-left", "transfer", talk.session, to=TARGET, mode="blind")
    await everybody_is_gone(world, talk.session, "customer-left")
    # Where he had reached the room, the target's phone may have rung for a moment.
    assert dials_to(world, TARGET) <= 1


@STARTS
async def test_customer_who_hangs_up_while_the_target_rings_stops_its_phone(world, direction, in_room):
    talk = await talking(world, direction, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(rings())
    command = await begins(world, "transfer", talk.session, to=TARGET, mode="blind")
    await world.until(talk.session, **{"transfer.status": "ringing"})
    talk.customer.hang_up()
    outcome = await outcome_of(world, command)
    assert (outcome.status, outcome.reason) == ("failed", "customer-left")
    await everybody_is_gone(world, talk.session, "customer-left")
    (target,) = world.sandbox.calls_of(TARGET)
    assert target.record.answered_at_s is None
    transfer = (await outcomes(world))[0]
    assert (transfer["result"], transfer["reason"]) == ("failed", "customer-left")


# ---- the agent hangs up ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction, in_room", [("inbound", False), ("inbound", True), ("outbound", True)])
async def test_agent_who_hangs_up_before_being_let_go_has_handed_over_all_the_same(world, direction, in_room):
    talk = await talking(world, direction, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(answers())
    path, params = moving_request(talk, direction, in_room=in_room)
    at_request(world, "before", path, talk.agent.hang_up, **params)
    began_s = world.listening.now()
    outcome = await world.command("transfer", talk.session, to=TARGET, mode="blind")
    assert (outcome.status, outcome.reason) == ("done", ""), await world.report()
    await until_hears(world, talk.customer, [await world.leg(talk.session, "agent")])
    assert longest_gap_s(world, talk.customer, began_s) < GAP_MAX_S
    talk.customer.hang_up()
    await everybody_is_gone(world, talk.session, "customer-left")


async def test_agent_who_called_and_hangs_up_before_the_customer_is_moved_takes_the_customer_along(world):
    """The customer's leg is the child of his `<Dial>`: Twilio ends both, so that there is nobody to hand over."""
    talk = await talking(world, "outbound")
    at_request(world, "before", f"/Calls/{talk.customer.sid}", talk.agent.hang_up)
    outcome = await world.command("transfer", talk.session, to=TARGET, mode="blind")
    assert outcome.status == "failed"
    # Both calls end in the same moment, so either callback may come first.
    assert outcome.reason in ("customer-left", "agent-left")
    await everybody_is_gone(world, talk.session, outcome.reason)
    assert dials_to(world, TARGET) == 0


@STARTS
async def test_agent_who_hangs_up_as_the_command_comes_has_handed_over_or_ended_the_call(world, direction, in_room):
    """Either is right, and it is one of the two: whichever of both is heard of first."""
    talk = await talking(world, direction, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(answers())
    talk.agent.hang_up()
    outcome = await world.command("transfer", talk.session, to=TARGET, mode="blind")
    if outcome.status == "done":
        await until_hears(world, talk.customer, [await world.leg(talk.session, "agent")])
        talk.customer.hang_up()
        await everybody_is_gone(world, talk.session, "customer-left")
    else:
        assert outcome.status in ("rejected", "failed")
        await everybody_is_gone(world, talk.session, "agent-left")
        assert dials_to(world, TARGET) == 0
