"""Recordings: the customer's call from its answer, the conference from its start, and what is on none of them."""

import pytest

from conferral.sandbox import SandboxCall
from conferral.sandbox.exchange import Rules
from conferral.sandbox.exchange.model import Recording
from tests.stories.kit import (
    TARGET,
    done,
    ended_by_command,
    everybody_is_gone,
    failed,
    rejected,
    talking,
    until_hears,
)
from tests.stories.trio import dials, joined_by_target, three, two
from tests.support.phones import answers, busy, dialled, rings
from tests.support.world import CUSTOMER, NUMBER, World

pytestmark = [pytest.mark.redis, pytest.mark.examples(1)]

STARTS = pytest.mark.parametrize(
    "direction, in_room",
    [("inbound", False), ("inbound", True), ("outbound", False), ("outbound", True)],
    ids=["inbound-bridged", "inbound-conferenced", "outbound-bridged", "outbound-conferenced"],
)


@pytest.fixture
async def world(redis_server):
    """Nothing is recorded unless somebody asks for it."""
    async with World(redis_server.url) as world:
        yield world


@pytest.fixture
async def of_customer(redis_server):
    async with World(redis_server.url, CONFERRAL_RECORD="customer") as world:
        yield world


@pytest.fixture
async def of_room(redis_server):
    async with World(redis_server.url, CONFERRAL_RECORD="true") as world:
        yield world


async def recording(world: World, session: str, status: str = "in-progress") -> Recording:
    """The one recording that there is, once the session shows it so."""
    await world.until(session, **{"recording.status": status})
    (found,) = world.sandbox.recordings()
    return found


def voices(found: Recording) -> frozenset[str]:
    """Whose voices are on it now."""
    last = found.spans[-1]
    return last.voices if last.until_s is None else frozenset()


async def until_records(world: World, *calls: SandboxCall) -> None:
    """Waits until just these people's voices go onto the recording."""

    async def does() -> bool:
        return bool(voices(world.sandbox.recordings()[-1]) == {call.sid for call in calls})

    await world.eventually(does, f"{calls} are recorded, not {world.sandbox.recordings()}")


# ---- the customer's call, from its answer ------------------------------------------------------------------------


@STARTS
async def test_customers_call_is_recorded_in_two_channels_from_its_answer_to_its_end(of_customer, direction, in_room):
    world = of_customer
    talk = await talking(world, direction)
    found = await recording(world, talk.session)
    assert (found.order.channels, found.order.source, found.order.track) == (2, "StartCallRecordingAPI", "both")
    assert (found.leg_sid, found.conference_sid) == (talk.customer.sid, "")
    assert voices(found) == {talk.customer.sid, talk.agent.sid}
    if in_room:
        await done(world, "convert", talk.session)
        await until_records(world, talk.customer, talk.agent)
    session = await world.session(talk.session)
    assert session["recording.sid"] == found.sid
    talk.agent.hang_up()
    await everybody_is_gone(world, talk.session, "agent-left")
    session = await world.until(talk.session, **{"recording.status": "completed"})
    assert session["recording.url"].endswith(found.sid)
    # One request: whatever moves the customer elsewhere moves his recording along.
    asked = [one for one in world.sandbox.ledger.rest if one.method == "POST" and "Recordings" in one.path]
    assert len(asked) == 1


async def test_nobody_is_recorded_before_somebody_answers(of_customer):
    world = of_customer
    world.agent_phone.in_turn(rings())
    customer = await world.customer_calls()
    leg = await dialled(world.sandbox, "client:alice")
    await world.until(customer.sid, phase="ringing")
    assert world.sandbox.recordings() == []
    leg.answer()
    found = await recording(world, customer.sid)
    assert found.started_at_s >= leg.record.answered_at_s
    await ended_by_command(world, customer.sid)


@pytest.mark.parametrize("recorded_as", ["parents", "own", "refused"])
async def test_customer_who_was_called_is_recorded_as_soon_as_twilio_can(redis_server, recorded_as):
    """He is the child of a `<Dial>`: where Twilio refuses that, he is recorded once he is in a conference."""
    rules = Rules(recording_of_a_child=recorded_as)
    async with World(redis_server.url, rules=rules, CONFERRAL_RECORD="customer") as world:
        talk = await talking(world, "outbound")
        if recorded_as == "refused":
            assert world.sandbox.recordings() == []
        await done(world, "convert", talk.session)
        found = await recording(world, talk.session)
        assert found.leg_sid == talk.customer.sid
        await until_records(world, talk.customer, talk.agent)
        await ended_by_command(world, talk.session)


@pytest.mark.parametrize("fault", [{"cut": "before"}, {"cut": "after"}, {"status": 503}, {"status": 429}], ids=str)
async def test_request_without_an_answer_makes_one_recording(of_customer, fault):
    world = of_customer
    world.sandbox.faults.next_rest("POST", "/Calls/*/Recordings", **fault)
    talk = await talking(world)
    await recording(world, talk.session)
    assert len(world.sandbox.recordings()) == 1
    await ended_by_command(world, talk.session)


async def test_call_that_can_not_be_recorded_goes_on_all_the_same(of_customer):
    world = of_customer
    world.sandbox.faults.next_rest("POST", "/Calls/*/Recordings", status=403, count=9)
    talk = await talking(world, in_room=True)
    await until_hears(world, talk.customer, [talk.agent])
    assert world.sandbox.recordings() == []
    await ended_by_command(world, talk.session)
    asked = [one for one in world.sandbox.ledger.rest if "Recordings" in one.path and one.method == "POST"]
    assert len(asked) == 2


async def test_consult_is_not_on_the_recording_of_the_customers_call(of_customer):
    trio = await three(of_customer, "consult")
    world = of_customer
    found = await recording(world, trio.id)
    await trio.only_two_talk("agent", "target")
    await until_records(world, trio.customer)
    since_s = world.listening.now()
    assert world.listening.never_recorded(trio.target)
    assert found.status == "in-progress"
    await trio.done("merge")
    await trio.all_talk()
    await until_records(world, trio.customer, trio.agent, trio.target)
    assert world.listening.never_recorded(trio.target, until_s=since_s)
    await ended_by_command(world, trio.id)


# ---- the conference, from its start ------------------------------------------------------------------------------


async def test_conference_is_recorded_from_its_start_where_there_is_one(of_room):
    world = of_room
    talk = await talking(world)
    assert world.sandbox.recordings() == []
    await done(world, "convert", talk.session)
    found = await recording(world, talk.session)
    assert (found.order.source, found.order.channels) == ("Conference", 2)
    await until_records(world, talk.customer, talk.agent)
    talk.customer.hang_up()
    await everybody_is_gone(world, talk.session, "customer-left")
    session = await world.until(talk.session, **{"recording.status": "completed"})
    assert session["recording.sid"] == found.sid


async def test_who_waits_is_recorded_from_the_start_of_the_conference_and_not_while_he_waits(of_room):
    world = of_room
    world.agent_phone.in_turn(rings())
    customer = await world.sandbox.call_in(CUSTOMER, NUMBER, url=f"{world.public_url}/voice/conference")
    await until_hears(world, customer, "music")
    leg = await dialled(world.sandbox, "client:alice")
    leg.answer()
    await until_hears(world, customer, [leg])
    found = await recording(world, customer.sid)
    assert found.started_at_s >= leg.record.answered_at_s
    await ended_by_command(world, customer.sid)


async def asked_of_recording(world: World) -> list[str]:
    """What Twilio was asked to do with a recording, and how it is to pause."""
    asked = [one for one in world.sandbox.ledger.rest if one.method == "POST" and "/Recordings/" in one.path]
    return [" ".join(filter(None, (one.get("Status"), one.get("PauseBehavior")))) for one in asked]


@pytest.mark.parametrize("way_out", ["merge", "cancel", "complete", "target-leaves", "agent-leaves", "customer-leaves"])
async def test_recording_of_a_conference_stands_still_for_a_consult_and_goes_on_after_it(of_room, way_out):
    trio = await three(of_room, "consult")
    world, target, agent = of_room, trio.target, trio.agent
    found = await recording(world, trio.id, "paused")
    await trio.only_two_talk("agent", "target")
    assert await asked_of_recording(world) == ["paused skip"]
    (dial,) = world.sandbox.ledger.requests("POST", "/Participants.json")
    (pause,) = [one for one in world.sandbox.ledger.rest if one.get("Status") == "paused"]
    assert world.sandbox.ledger.rest.index(pause) < world.sandbox.ledger.rest.index(dial)
    since_s = world.listening.now()
    assert world.listening.never_recorded(target)
    if way_out == "customer-leaves":
        trio.customer.hang_up()
        await everybody_is_gone(world, trio.id, "customer-left")
        assert world.listening.never_recorded(target)
        return
    others = {"merge": (agent, target), "complete": (target,), "agent-leaves": (target,)}.get(way_out, (agent,))
    if way_out == "agent-leaves":
        agent.hang_up()
    elif way_out == "target-leaves":
        target.hang_up()
    else:
        await trio.done(way_out)
    await until_hears(world, trio.customer, list(others))
    await recording(world, trio.id)
    await until_records(world, trio.customer, *others)
    assert world.listening.never_recorded(target, until_s=since_s)
    if target not in others:
        assert world.listening.never_recorded(target)
    assert await asked_of_recording(world) == ["paused skip", "in-progress"]
    await ended_by_command(world, trio.id)
    assert found.status == "completed"


@pytest.mark.parametrize("swaps", [1, 2])
async def test_swap_lets_nothing_of_the_consult_onto_the_recording(of_room, swaps):
    trio = await three(of_room, "consult")
    for _ in range(swaps):
        await trio.done("swap")
    assert of_room.listening.never_recorded(trio.target)
    await trio.done("cancel")
    await until_records(of_room, trio.customer, trio.agent)
    assert of_room.listening.never_recorded(trio.target)
    await ended_by_command(of_room, trio.id)


async def test_recording_goes_on_when_nobody_answers_the_consult(of_room):
    trio = await two(of_room, "conferenced")
    of_room.sandbox.phone(TARGET).in_turn(busy())
    await failed(of_room, "busy", "transfer", trio.id, to=TARGET, mode="consult")
    await recording(of_room, trio.id)
    await until_records(of_room, trio.customer, trio.agent)
    assert await asked_of_recording(of_room) == ["paused skip", "in-progress"]
    await ended_by_command(of_room, trio.id)


async def test_recording_that_can_not_be_paused_is_stopped_before_the_target_is_dialled(of_room):
    world = of_room
    trio = await two(world, "conferenced")
    world.sandbox.faults.next_rest("POST", "/Conferences/*/Recordings/*", status=400, count=9, Status="paused")
    trio = await joined_by_target(trio, "consult")
    await recording(world, trio.id, "completed")
    assert world.listening.never_recorded(trio.target)
    assert await asked_of_recording(world) == ["paused skip", "stopped"]
    await trio.done("merge")
    await trio.all_talk()
    await rejected(
        world, "the conference's recording was stopped and can't be started again", "record", trio.id, action="start"
    )
    assert world.listening.never_recorded(trio.target)
    await ended_by_command(world, trio.id)


async def test_consult_is_not_begun_where_the_recording_can_neither_be_paused_nor_stopped(of_room):
    world = of_room
    trio = await two(world, "conferenced")
    world.sandbox.faults.next_rest("POST", "/Conferences/*/Recordings/*", status=400, count=99)
    await failed(world, "recording-failed", "transfer", trio.id, to=TARGET, mode="consult")
    assert world.sandbox.calls_of(TARGET) == []
    await until_hears(world, trio.customer, [trio.agent])
    await trio.until(state="conferenced", phase="")
    await ended_by_command(world, trio.id)


@pytest.mark.parametrize(
    "fault", [{"cut": "before"}, {"cut": "after"}, {"status": 503}, {"status": 429, "retry_after_s": 0}], ids=str
)
@pytest.mark.parametrize("status", ["paused", "in-progress"])
async def test_change_without_an_answer_is_repeated_until_it_is_so(of_room, status, fault):
    world = of_room
    world.sandbox.faults.next_rest("POST", "/Conferences/*/Recordings/*", Status=status, **fault)
    trio = await three(world, "consult")
    await trio.done("merge")
    await trio.all_talk()
    await until_records(world, trio.customer, trio.agent, trio.target)
    assert len(world.sandbox.recordings()) == 1
    await ended_by_command(world, trio.id)


async def test_agent_who_leaves_before_the_target_answers_lets_the_recording_go_on(of_room):
    world = of_room
    trio = await dials(await two(world, "conferenced"), "consult")
    await trio.until(transfer_status="ringing")
    trio.agent.hang_up()
    await trio.until(phase="blind")
    trio.target.answer()
    await until_hears(world, trio.customer, [trio.target])
    await until_records(world, trio.customer, trio.target)
    await ended_by_command(world, trio.id)


async def test_warm_transfer_is_recorded_whole(of_room):
    trio = await three(of_room, "warm")
    await until_records(of_room, trio.customer, trio.agent, trio.target)
    assert await asked_of_recording(of_room) == []
    await ended_by_command(of_room, trio.id)


# ---- the command -------------------------------------------------------------------------------------------------


@STARTS
async def test_recording_is_started_paused_resumed_and_stopped_by_command(world, direction, in_room):
    talk = await talking(world, direction, in_room=in_room)
    for action in ("pause", "resume", "stop"):
        await rejected(world, "it is not recorded; allowed now: ", "record", talk.session, action=action)
    await done(world, "record", talk.session, action="start")
    found = await recording(world, talk.session)
    assert (found.leg_sid, found.order.channels) == (talk.customer.sid, 2)
    await until_records(world, talk.customer, talk.agent)
    await rejected(world, "it is recorded already; allowed now: ", "record", talk.session, action="start")
    await done(world, "record", talk.session, action="resume")
    await done(world, "record", talk.session, action="pause")
    assert (await recording(world, talk.session, "paused")).status == "paused"
    await done(world, "record", talk.session, action="pause")
    assert voices(found) == frozenset()
    await done(world, "record", talk.session, action="resume")
    await until_records(world, talk.customer, talk.agent)
    await done(world, "record", talk.session, action="stop")
    await recording(world, talk.session, "completed")
    await rejected(world, "it is not recorded; allowed now: ", "record", talk.session, action="stop")
    await done(world, "record", talk.session, action="start")
    assert len(world.sandbox.recordings()) == 2
    await ended_by_command(world, talk.session)


async def test_command_means_the_recording_of_the_conference_where_there_is_one(of_room):
    world = of_room
    talk = await talking(world, in_room=True)
    found = await recording(world, talk.session)
    await done(world, "record", talk.session, action="pause")
    assert found.status == "paused"
    await done(world, "record", talk.session, action="resume")
    assert found.status == "in-progress"
    await done(world, "record", talk.session, action="stop")
    await recording(world, talk.session, "completed")
    await rejected(
        world, "the conference's recording was stopped and can't be started again", "record", talk.session,
        action="start",
    )  # fmt: skip
    await ended_by_command(world, talk.session)


async def test_recording_that_was_paused_by_command_stays_paused_through_a_consult(of_room):
    world = of_room
    trio = await two(world, "conferenced")
    await trio.done("record", action="pause")
    await joined_by_target(trio, "consult")
    await trio.done("merge")
    await trio.all_talk()
    assert (await recording(world, trio.id, "paused")).status == "paused"
    assert world.listening.never_recorded(trio.target)
    await trio.done("record", action="resume")
    await until_records(world, trio.customer, trio.agent, trio.target)
    await ended_by_command(world, trio.id)


async def test_nobody_can_let_a_recording_go_on_during_a_consult(of_room):
    trio = await three(of_room, "consult")
    await rejected(of_room, "agent and target talk without the customer", "record", trio.id, action="resume")
    assert of_room.listening.never_recorded(trio.target)
    await trio.done("record", action="stop")
    await trio.done("merge")
    await recording(of_room, trio.id, "completed")
    assert of_room.listening.never_recorded(trio.target)
    await ended_by_command(of_room, trio.id)


@pytest.mark.parametrize("action, status", [("start", 0), ("pause", 400), ("stop", 400)])
async def test_command_that_twilio_refuses_has_failed_and_leaves_everything_as_it_was(world, action, status):
    talk = await talking(world)
    if action == "start":
        world.sandbox.faults.next_rest("POST", "/Calls/*/Recordings", status=403)
    else:
        await done(world, "record", talk.session, action="start")
        world.sandbox.faults.next_rest("POST", "/Calls/*/Recordings/*", status=status)
    outcome = await world.command("record", talk.session, action=action)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("Twilio refused (HTTP ")
    running = [found for found in world.sandbox.recordings() if found.status == "in-progress"]
    assert len(running) == (action != "start")
    await until_hears(world, talk.customer, [talk.agent])
    await ended_by_command(world, talk.session)


async def test_recording_is_rejected_before_anybody_has_answered(world):
    world.agent_phone.in_turn(rings())
    customer = await world.customer_calls()
    await dialled(world.sandbox, "client:alice")
    await rejected(world, "nobody has answered yet; allowed now: ", "record", customer.sid, action="start")
    await ended_by_command(world, customer.sid)


async def test_recording_goes_on_while_the_call_is_parked_and_taken_up(of_customer):
    world = of_customer
    world.sandbox.phone(TARGET).in_turn(answers())
    talk = await talking(world)
    found = await recording(world, talk.session)
    await done(world, "park", talk.session)
    await until_records(world, talk.customer)
    await done(world, "retrieve", talk.session, to=TARGET)
    leg = await dialled(world.sandbox, TARGET)
    await until_records(world, talk.customer, leg)
    assert world.sandbox.recordings() == [found]
    await ended_by_command(world, talk.session)


# ---- callbacks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lose_callbacks", "double_callbacks", "hold_back_callbacks"])
@pytest.mark.parametrize("kept", ["customer", "true"])
async def test_callbacks_of_a_recording_may_be_lost_doubled_or_late(redis_server, kept, fault):
    async with World(redis_server.url, CONFERRAL_RECORD=kept) as world:
        for event in ("recording-in-progress", "recording-completed"):
            getattr(world.sandbox.faults, fault)(event)
        talk = await talking(world, in_room=True)
        found = await recording(world, talk.session)
        await done(world, "record", talk.session, action="pause")
        assert found.status == "paused"
        await done(world, "record", talk.session, action="resume")
        await ended_by_command(world, talk.session)
        assert found.status == "completed"


async def test_recording_whose_file_is_there_long_after_the_end_is_told_in_session_and_log(redis_server):
    rules = Rules(recording_processing_s=0.3)
    async with World(redis_server.url, rules=rules, CONFERRAL_RECORD="customer") as world:
        talk = await talking(world)
        found = await recording(world, talk.session)
        await ended_by_command(world, talk.session)
        session = await world.until(talk.session, **{"recording.status": "completed"})
        assert (session["state"], session["recording.sid"]) == ("ended", found.sid)
        assert session["recording.url"].endswith(f"/Recordings/{found.sid}")
        told = [entry["detail"] for entry in await world.log(talk.session) if entry["event"] == "recording_changed"]
        assert told[-1].startswith(f"{found.sid} completed, of the call"), told


async def test_word_about_the_last_recording_that_comes_late_is_not_taken_for_the_next(world):
    """It comes while nobody knows yet how the next one is called."""
    talk = await talking(world)
    await done(world, "record", talk.session, action="start")
    world.sandbox.faults.delay_callbacks("recording-completed", 0.2)
    await done(world, "record", talk.session, action="stop")
    world.sandbox.faults.lose_callbacks("recording-in-progress")
    world.sandbox.faults.next_rest("POST", "/Calls/*/Recordings", latency_s=0.5)
    await done(world, "record", talk.session, action="start")
    _, second = world.sandbox.recordings()
    session = await world.session(talk.session)
    assert (session["recording.sid"], session["recording.status"]) == (second.sid, "in-progress")
    assert (session["recording.url"], session["recording.duration_s"]) == ("", "0")
    await ended_by_command(world, talk.session)
