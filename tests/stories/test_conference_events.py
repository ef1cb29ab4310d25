"""What Twilio tells of conferences and recordings: understood where it can be, else kept in the session's log."""

import json

import pytest

from tests.stories.kit import TARGET, done, ended_by_command, everybody_is_gone, until_hears
from tests.support.phones import answers, dialled
from tests.support.world import World

pytestmark = pytest.mark.redis


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        yield world


async def told(world: World, session: str, event: str, count: int = 1, having: str = "event") -> list[dict[str, str]]:
    """The entries of an event in the session's log that have a field, once there are so many."""

    async def found() -> list[dict[str, str]]:
        return [entry for entry in await world.log(session) if entry["event"] == event and having in entry]

    async def are_there() -> bool:
        return len(await found()) >= count

    await world.eventually(are_there, f"{count} times {event} in the log")
    return await found()


def subscribed(world: World) -> set[str]:
    """The events that Twilio was asked for, by each leg that came in by TwiML or by REST."""
    (room,) = world.sandbox.exchange.state.conferences.values()
    orders = [participant.order for participant in room.participants.values()]
    words = {frozenset(order.events.events) for order in orders if order.events is not None}
    assert len(words) == 1, words
    return set(words.pop())


@pytest.mark.parametrize("asked_for", [False, True])
async def test_who_speaks_is_told_by_setting_only_and_decides_nothing(redis_server, asked_for):
    settings = {"CONFERRAL_SPEAKER_EVENTS": "true"} if asked_for else {}
    async with World(redis_server.url, **settings) as world:
        world.sandbox.phone(TARGET).in_turn(answers())
        customer, agent = await world.converted()
        await done(world, "add", customer.sid, to=TARGET, party="dora")
        assert ("speaker" in subscribed(world)) == asked_for
        customer.speak()
        customer.fall_silent()
        agent.speak()
        await world.sandbox.settled()
        if asked_for:
            details = [entry["detail"] for entry in await told(world, customer.sid, "conference_noted", 3)]
            assert details == [
                "customer participant-speech-start", "customer participant-speech-stop",
                "agent participant-speech-start",
            ]  # fmt: skip
        await until_hears(world, customer, [agent, await dialled(world.sandbox, TARGET)])
        await ended_by_command(world, customer.sid)
        noted = [entry for entry in await world.log(customer.sid) if entry["event"] == "conference_noted"]
        assert len(noted) == (3 if asked_for else 0)


async def test_every_event_of_a_whole_conference_is_understood_and_shown(world):
    customer, agent = await world.converted()
    await done(world, "mute", customer.sid, party="agent")
    await done(world, "unmute", customer.sid, party="agent")
    await done(world, "hold", customer.sid, party="customer")
    await done(world, "unhold", customer.sid, party="customer")
    await done(world, "announce", customer.sid, say="One moment.")
    agent.hang_up()
    await everybody_is_gone(world, customer.sid, "agent-left")
    log = await world.log(customer.sid)
    events = {entry["event"] for entry in log}
    assert events >= {
        "conference_started", "participant_joined", "participant_changed", "participant_left", "announcement_ended",
        "conference_ended",
    }  # fmt: skip
    kinds = {entry["detail"].split()[1] for entry in log if entry["event"] == "participant_changed"}
    assert kinds >= {"participant-mute", "participant-unmute", "participant-hold", "participant-unhold"}
    assert not [entry for entry in log if entry["outcome"] == "unexpected" or entry.get("other")]


@pytest.mark.parametrize("phase", ["conferenced", "transferring", "parked", "ended"])
async def test_event_that_nobody_knows_is_noted_in_every_state_and_changes_nothing(world, phase):
    world.sandbox.phone(TARGET).in_turn(answers())
    customer, _ = await world.converted()
    if phase == "transferring":
        await done(world, "transfer", customer.sid, to=TARGET, mode="warm")
    elif phase == "parked":
        await done(world, "park", customer.sid)
    session = await world.session(customer.sid)
    if phase == "ended":
        await ended_by_command(world, customer.sid)
    before = await world.session(customer.sid)
    world.sandbox.send_callback(session["conference_sid"], "participant-waves", {"CallSid": customer.sid})
    (entry,) = await told(world, customer.sid, "conference_noted")
    assert entry["detail"] == "customer participant-waves"
    assert json.loads(entry["effects"]) == []
    after = await world.session(customer.sid)
    for name in ("state", "phase", "party.customer.status", "party.agent.status", "end_reason"):
        assert after.get(name) == before.get(name)
    if phase != "ended":
        await ended_by_command(world, customer.sid)
    assert await world.client.xlen(world.keys.dead) == 0


async def test_parameters_that_nobody_knows_are_kept_in_the_log_without_numbers_of_people(world):
    customer, agent = await world.converted()
    room = (await world.session(customer.sid))["conference_sid"]
    world.sandbox.send_callback(
        room,
        "participant-mute",
        {
            "CallSid": agent.sid,
            "Muted": "true",
            "VoiceQuality": "4.2",
            "Nearest": "+1 (415) 555-0123",
            "Manual": "https://example.com/?key=secret",
            "Essay": "word " * 400,
        },
    )
    (entry,) = await told(world, customer.sid, "participant_changed", having="other")
    assert entry["detail"].startswith("agent participant-mute")
    kept = json.loads(entry["other"])
    assert (kept["VoiceQuality"], kept["Nearest"], kept["Manual"]) == ("4.2", "+…23", "…")
    assert kept["Essay"].startswith("word word")
    assert len(entry["other"].encode()) <= 1024
    assert (await world.session(customer.sid))["party.agent.muted"] == "true"  # what is known of it counts
    await ended_by_command(world, customer.sid)


async def test_parameters_of_a_recording_that_nobody_knows_are_kept_too(redis_server):
    async with World(redis_server.url, CONFERRAL_RECORD="customer") as world:
        customer, _ = await world.talking()
        await world.until(customer.sid, **{"recording.status": "in-progress"})
        (recording,) = world.sandbox.recordings()
        world.sandbox.send_callback(recording.sid, "transcribed", {"Transcript": "to 4155550123", "Words": "512"})
        (entry,) = await told(world, customer.sid, "recording_changed", having="other")
        assert json.loads(entry["other"]) == {"Transcript": "to +…23", "Words": "512"}
        assert entry["detail"] == f"{recording.sid} transcribed, of the call"
        # Whether it runs is known as before.
        assert (await world.session(customer.sid))["recording.status"] == "in-progress"
        await done(world, "record", customer.sid, action="pause")
        await ended_by_command(world, customer.sid)
        assert await world.client.xlen(world.keys.dead) == 0


async def test_too_many_parameters_are_counted(world):
    customer, _ = await world.converted()
    room = (await world.session(customer.sid))["conference_sid"]
    world.sandbox.send_callback(room, "conference-hums", {f"Tone{number:03}": "x" * 50 for number in range(200)})
    (entry,) = await told(world, customer.sid, "conference_noted")
    assert len(entry["other"].encode()) <= 1024
    name, words = json.loads(entry["other"]).popitem()
    assert name == "…"
    assert words.endswith(" more")
    await ended_by_command(world, customer.sid)
