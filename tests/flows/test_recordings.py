"""Recordings: the customer's call from its answer, the conference from its start, and what is on none of them."""

from datetime import datetime

import pytest

from offhook import CallHandle
from offhook.model.behavior import Behavior
from offhook.model.state import Recording
from tests.flows.flow_helpers import STARTS, TARGET, talking
from tests.flows.three_party_call import joined_by_target, three, two
from tests.support.local_system import NUMBER, LocalSystem

pytestmark = pytest.mark.redis

OF_CUSTOMER = pytest.mark.system(CONFERRAL_RECORD="customer")
OF_CONFERENCE = pytest.mark.system(CONFERRAL_RECORD="true")


async def recording(system: LocalSystem, session: str, status: str = "in-progress") -> Recording:
    """The one recording that there is, once the session shows it so."""
    await system.until(session, **{"recording.status": status})
    (found,) = system.sandbox.recordings()
    return found


def voices(found: Recording) -> frozenset[str]:
    """Whose voices are on it now."""
    last = found.spans[-1]
    return last.sound.parties if last.until_s is None else frozenset()


async def until_records(system: LocalSystem, *calls: CallHandle) -> None:
    """Waits until just these people's voices go onto the recording."""

    async def does() -> bool:
        return bool(voices(system.sandbox.recordings()[-1]) == {call.sid for call in calls})

    await system.eventually(does, f"{calls} are recorded, not {system.sandbox.recordings()}")


# ---- the customer's call, from its answer ------------------------------------------------------------------------


@pytest.mark.system(CONFERRAL_RECORD="customer", behavior=Behavior(recording_processing_s=0.3))
@STARTS
async def test_customers_call_is_recorded_in_two_channels_from_its_answer_to_its_end(system, direction, conferenced):
    """Its file is available when the session has ended."""
    talk = await talking(system, direction)
    found = await recording(system, talk.session)
    assert found.started_at_s >= max(call.record.answered_at_s for call in (talk.customer, talk.agent))
    assert (found.settings.channels, found.settings.source, found.settings.track) == (
        2,
        "StartCallRecordingAPI",
        "both",
    )
    assert (found.leg_sid, found.conference_sid) == (talk.customer.sid, "")
    assert voices(found) == {talk.customer.sid, talk.agent.sid}
    if conferenced:
        await system.done("convert", talk.session)
        await until_records(system, talk.customer, talk.agent)
    session = await system.session(talk.session)
    assert session["recording.sid"] == found.sid
    await system.ended_by_hang_up(talk.agent, talk.session, "agent-left")
    session = await system.until(talk.session, state="ended", **{"recording.status": "completed"})
    assert session["recording.url"].endswith(f"/Recordings/{found.sid}")
    reported = [entry["details"] for entry in await system.log(talk.session) if entry["event"] == "recording_changed"]
    assert reported[-1].startswith(f'{{"recording_sid":"{found.sid}","status":"completed"'), reported
    # One request: whatever moves the customer elsewhere moves the recording along.
    asked = [one for one in system.sandbox.request_log.rest if one.method == "POST" and "Recordings" in one.path]
    assert len(asked) == 1


@pytest.mark.parametrize("recorded_as", ["parents", "own", "refused"])
async def test_customer_who_was_called_is_recorded_as_soon_as_twilio_can(redis_server, recorded_as):
    """The customer is the child of a `<Dial>`: where Twilio refuses that, the recording begins in the conference."""
    behavior = Behavior(recording_of_a_child=recorded_as)
    async with LocalSystem(redis_server.url, behavior=behavior, CONFERRAL_RECORD="customer") as system:
        talk = await talking(system, "outbound")
        if recorded_as == "refused":
            assert system.sandbox.recordings() == []
        await system.done("convert", talk.session)
        found = await recording(system, talk.session)
        assert found.leg_sid == talk.customer.sid
        await until_records(system, talk.customer, talk.agent)
        await system.ended_by_command(talk.session)


@OF_CUSTOMER
async def test_call_that_cannot_be_recorded_still_continues(system):
    system.sandbox.faults.next_rest("POST", "/Calls/*/Recordings", status=403, count=9)
    talk = await talking(system, conferenced=True)
    await system.until_hears(talk.customer, [talk.agent])
    assert system.sandbox.recordings() == []
    await system.ended_by_command(talk.session)
    asked = [one for one in system.sandbox.request_log.rest if "Recordings" in one.path and one.method == "POST"]
    assert len(asked) == 2


@OF_CUSTOMER
async def test_consult_is_not_on_the_recording_of_the_customers_call(system):
    trio = await three(system, "consult")
    found = await recording(system, trio.id)
    await trio.talk("agent", "target")
    await until_records(system, trio["customer"])
    since_s = system.listening.now()
    assert system.listening.never_recorded(trio["target"])
    assert found.status == "in-progress"
    await trio.done("merge")
    await trio.talk()
    await until_records(system, trio["customer"], trio["agent"], trio["target"])
    assert system.listening.never_recorded(trio["target"], until_s=since_s)
    await system.ended_by_command(trio.id)


# ---- the conference, from its start ------------------------------------------------------------------------------


async def asked_of_recording(system: LocalSystem) -> list[str]:
    """What Twilio was asked to do with a recording, and how it is to pause."""
    asked = [one for one in system.sandbox.request_log.rest if one.method == "POST" and "/Recordings/" in one.path]
    return [" ".join(filter(None, (one.get("Status"), one.get("PauseBehavior")))) for one in asked]


@OF_CONFERENCE
@pytest.mark.parametrize("way_out", ["merge", "cancel", "complete", "target-leaves", "agent-leaves", "customer-leaves"])
async def test_conference_recording_pauses_for_a_consult_and_resumes_after_it(system, way_out):
    trio = await three(system, "consult")
    target, agent = trio["target"], trio["agent"]
    found = await recording(system, trio.id, "paused")
    await trio.talk("agent", "target")
    assert await asked_of_recording(system) == ["paused skip"]
    (dial,) = system.sandbox.request_log.requests("POST", "/Participants.json")
    (pause,) = [one for one in system.sandbox.request_log.rest if one.get("Status") == "paused"]
    assert system.sandbox.request_log.rest.index(pause) < system.sandbox.request_log.rest.index(dial)
    since_s = system.listening.now()
    assert system.listening.never_recorded(target)
    if way_out == "customer-leaves":
        await trio.ended_by_hang_up("customer", "customer-left")
        assert system.listening.never_recorded(target)
        return
    others = {"merge": (agent, target), "complete": (target,), "agent-leaves": (target,)}.get(way_out, (agent,))
    if way_out == "agent-leaves":
        agent.hang_up()
    elif way_out == "target-leaves":
        target.hang_up()
    else:
        await trio.done(way_out)
    await system.until_hears(trio["customer"], list(others))
    await recording(system, trio.id)
    await until_records(system, trio["customer"], *others)
    assert system.listening.never_recorded(target, until_s=since_s)
    if target not in others:
        assert system.listening.never_recorded(target)
    assert await asked_of_recording(system) == ["paused skip", "in-progress"]
    await system.ended_by_command(trio.id)
    assert found.status == "completed"


@OF_CONFERENCE
async def test_recording_that_cannot_be_paused_is_stopped_before_the_target_is_dialed(system):
    trio = await two(system, "conferenced")
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Recordings/*", status=400, count=9, Status="paused")
    trio = await joined_by_target(trio, "consult")
    await recording(system, trio.id, "completed")
    assert system.listening.never_recorded(trio["target"])
    assert await asked_of_recording(system) == ["paused skip", "stopped"]
    await trio.done("merge")
    await trio.talk()
    await system.rejected(
        "the conference's recording was stopped and can't be restarted", "record", trio.id, action="start"
    )
    assert system.listening.never_recorded(trio["target"])
    await system.ended_by_command(trio.id)


@OF_CONFERENCE
async def test_consult_is_not_begun_where_the_recording_can_neither_be_paused_nor_stopped(system):
    trio = await two(system, "conferenced")
    system.sandbox.faults.next_rest("POST", "/Conferences/*/Recordings/*", status=400, count=99)
    await system.failed("recording-failed", "transfer", trio.id, to=TARGET, mode="consult")
    assert system.sandbox.calls_of(TARGET) == []
    await system.until_hears(trio["customer"], [trio["agent"]])
    await trio.until(state="conferenced", phase="connected")
    await system.ended_by_command(trio.id)


# ---- the command -------------------------------------------------------------------------------------------------


@OF_CONFERENCE
async def test_recording_that_was_paused_by_command_stays_paused_through_a_consult(system):
    trio = await two(system, "conferenced")
    await trio.done("record", action="pause")
    await joined_by_target(trio, "consult")
    await trio.done("merge")
    await trio.talk()
    assert (await recording(system, trio.id, "paused")).status == "paused"
    assert system.listening.never_recorded(trio["target"])
    await trio.done("record", action="resume")
    await until_records(system, trio["customer"], trio["agent"], trio["target"])
    await system.ended_by_command(trio.id)


@pytest.mark.parametrize("action, status", [("start", 0), ("pause", 400), ("stop", 400)])
async def test_command_that_twilio_refuses_has_failed_and_leaves_everything_as_it_was(system, action, status):
    talk = await talking(system)
    if action == "start":
        system.sandbox.faults.next_rest("POST", "/Calls/*/Recordings", status=403)
    else:
        await system.done("record", talk.session, action="start")
        system.sandbox.faults.next_rest("POST", "/Calls/*/Recordings/*", status=status)
    outcome = await system.command("record", talk.session, action=action)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("Twilio refused (HTTP ")
    running = [found for found in system.sandbox.recordings() if found.status == "in-progress"]
    assert len(running) == (action != "start")
    await system.until_hears(talk.customer, [talk.agent])
    await system.ended_by_command(talk.session)


@OF_CUSTOMER
async def test_recording_continues_while_the_call_is_parked_and_retrieved(system):
    system.answered_by(TARGET)
    talk = await talking(system)
    found = await recording(system, talk.session)
    await system.done("park", talk.session)
    await until_records(system, talk.customer)
    await system.done("retrieve", talk.session, to=TARGET)
    leg = await system.dialed(TARGET)
    await until_records(system, talk.customer, leg)
    assert system.sandbox.recordings() == [found]
    await system.ended_by_command(talk.session)


# ---- callbacks ---------------------------------------------------------------------------------------------------


async def test_word_about_the_last_recording_that_comes_late_is_not_taken_for_the_next(system):
    """It comes while no one knows yet how the next one is called."""
    talk = await talking(system)
    await system.done("record", talk.session, action="start")
    system.sandbox.faults.delay_callbacks("recording-completed", 0.2)
    await system.done("record", talk.session, action="stop")
    system.sandbox.faults.lose_callbacks("recording-in-progress")
    system.sandbox.faults.next_rest("POST", "/Calls/*/Recordings", latency_s=0.5)
    await system.done("record", talk.session, action="start")
    _, second = system.sandbox.recordings()
    session = await system.session(talk.session)
    assert (session["recording.sid"], session["recording.status"]) == (second.sid, "in-progress")
    assert (session["recording.url"], session["recording.duration_s"]) == ("", "0")
    await system.ended_by_command(talk.session)


# ---- outcomes ----------------------------------------------------------------------------------------------------


async def reported(system: LocalSystem, count: int = 1) -> list[dict[str, str]]:
    """The outcomes of the recordings, once there are so many; each stands there once."""

    async def of_recordings() -> list[str]:
        return sorted(one["recording_sid"] for one in await system.outcomes() if one["kind"] == "recording")

    await system.eventually(
        of_recordings, "all are reported", equals=sorted(it.sid for it in system.sandbox.recordings())
    )
    found = [one for one in await system.outcomes() if one["kind"] == "recording"]
    assert len(found) == count
    return found


@pytest.mark.parametrize("record, source", [("customer", "call"), ("true", "conference")])
async def test_recording_is_reported_when_twilio_has_it(redis_server, record, source):
    behavior = Behavior(recording_processing_s=0.5)
    async with LocalSystem(redis_server.url, behavior=behavior, CONFERRAL_RECORD=record) as system:
        talk = await talking(system, conferenced=True)
        found = await recording(system, talk.session)
        await system.ended_by_hang_up(talk.agent, talk.session, "agent-left")
        (outcome,) = await reported(system)
        session = next(one for one in await system.outcomes() if one["kind"] == "session")
        assert session["recordings"] == f'["{found.sid}"]'
        assert (outcome["session"], outcome["result"], outcome["code"]) == (talk.session, "completed", "")
        assert (outcome["source"], outcome["channels"], outcome["customer"]) == (source, "2", session["customer"])
        assert outcome["url"].endswith(f"/Recordings/{found.sid}")
        assert int(outcome["duration_s"]) == int(found.length_s(found.ended_at_s))
        began, ended = (datetime.fromisoformat(outcome[name]) for name in ("started_at", "ended_at"))
        assert began.timestamp() == int(found.started_at_s), "Twilio's own time"
        assert (ended - began).total_seconds() == int(outcome["duration_s"])


async def test_each_recording_of_a_session_is_reported(system):
    talk = await talking(system)
    for action in ("start", "stop", "start"):
        await system.done("record", talk.session, action=action)
    await system.ended_by_command(talk.session)
    await reported(system, 2)


@pytest.mark.system(CONFERRAL_RECORD="customer", behavior=Behavior(recording_min_s=1_000.0))
async def test_recording_that_twilio_does_not_keep_is_reported_as_absent(system):
    talk = await talking(system)
    await recording(system, talk.session)
    await system.ended_by_command(talk.session)
    (outcome,) = await reported(system)
    assert (outcome["result"], outcome["code"], outcome["url"]) == ("absent", "16101", "")


@pytest.mark.parametrize("lost", ["recording-in-progress", "recording-completed", "recording-*"])
@pytest.mark.parametrize("record", ["customer", "true", "command"])
async def test_recording_is_found_although_its_callbacks_are_lost(redis_server, record, lost):
    settings = {} if record == "command" else {"CONFERRAL_RECORD": record}
    async with LocalSystem(redis_server.url, behavior=Behavior(recording_processing_s=3.0), **settings) as system:
        for event in ("recording-in-progress", "recording-completed"):
            if lost in (event, "recording-*"):
                system.sandbox.faults.lose_callbacks(event, count=100)
        talk = await talking(system, conferenced=True)
        if record == "command":
            await system.done("record", talk.session, action="start")
        await system.eventually(system.sandbox.recordings, "Twilio records")
        await system.ended_by_command(talk.session)
        (outcome,) = await reported(system)
        assert (outcome["result"], outcome["source"]) == ("completed", "conference" if record == "true" else "call")
        assert outcome["url"].endswith(f"/Recordings/{outcome['recording_sid']}")


async def test_recording_whose_start_was_never_answered_is_found(system):
    system.sandbox.faults.lose_callbacks("recording-in-progress", count=100)
    system.sandbox.faults.lose_callbacks("recording-completed", count=100)
    system.sandbox.faults.next_rest("POST", "/Calls/*/Recordings", cut="after")
    system.sandbox.faults.next_rest("GET", "/Calls/*/Recordings", status=503, count=20)
    talk = await talking(system)
    await system.begins("record", talk.session, action="start")
    await system.eventually(system.sandbox.recordings, "Twilio records")
    await system.ended_by_command(talk.session)
    (outcome,) = await reported(system)
    assert outcome["result"] == "completed"


@OF_CUSTOMER
async def test_recording_that_a_callback_has_reported_is_not_asked_for(system):
    talk = await talking(system)
    await recording(system, talk.session)
    await system.ended_by_command(talk.session)
    await reported(system)
    assert not system.sandbox.request_log.requests("GET", "/Recordings")


@pytest.mark.parametrize("record", ["customer", "true"])
async def test_configuration_of_the_number_decides_how_recordings_are_made(redis_server, tmp_path, record):
    path = tmp_path / "directory.toml"
    path.write_text(f'[inbound."{NUMBER}"]\nrecord = "{record}"\nrecording_configuration = "with-transcript"\n')
    async with LocalSystem(redis_server.url, CONFERRAL_DIRECTORY=str(path)) as system:
        talk = await talking(system, conferenced=True)
        found = await recording(system, talk.session)
        assert found.settings.configuration == "with-transcript"
        await system.ended_by_command(talk.session)
        await reported(system)
