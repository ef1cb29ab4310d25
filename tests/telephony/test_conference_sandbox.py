"""Supervisors, announcements, recordings and what comes after a conference, played on the sandbox."""

from dataclasses import replace

import pytest

from conferral.runtime.errors import ProviderRefusedError
from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.effects import (
    ChangeRecording,
    CreateParticipant,
    PlayAnnouncement,
    RedirectToUrl,
    StartRecording,
    UpdateParticipant,
)
from conferral.statemachine.events import (
    AnnouncementEnded,
    ConferenceEventIgnored,
    ParticipantChanged,
    ParticipantJoined,
    RecordingChanged,
)
from conferral.telephony.callback_urls import Wait
from conferral.telephony.parameters.dial import PlacedCall
from conferral.telephony.parameters.recording import StartedRecording
from tests.telephony.sandbox_call import SESSION, TARGET, SandboxCallLine, customer_waits

SUPERVISOR = "client:sue"


async def two_talk(line: SandboxCallLine) -> tuple[str, str, str]:
    """Customer and agent are in the conference.

    Returns:
        The SIDs of conference, customer and agent.
    """
    conference = await customer_waits(line)
    agent = await joins(line, "agent", TARGET, conference)
    assert line.caller is not None
    return conference, line.caller.sid, agent


async def joins(line: SandboxCallLine, party: str, address: str, conference: str, *, supervises: bool = False) -> str:
    """Someone is dialed in straight and answers; the call's SID."""
    line.sandbox.phone(address).script(answer_after_s=0)
    effect = CreateParticipant(
        effect_id=f"d-{party}", session_id=SESSION, party=party, to=address, timeout_s=20, conference=conference,
        label=f"{party}-2", early_media=False, supervises=supervises, attributes=line.attributes,
    )  # fmt: skip
    dialed = await line.calls.perform(effect)
    assert isinstance(dialed, PlacedCall)
    await line.until(lambda: dialed.call_sid in [event.call_sid for event in line.of(ParticipantJoined)])
    return dialed.call_sid


def heard_by(line: SandboxCallLine, call_sid: str) -> frozenset[str]:
    """Whom a call hears right now."""
    hears = line.sandbox.call(call_sid).hears_now
    return hears.parties if hears else frozenset()


async def test_waiting_customer_is_greeted_once_and_then_hears_audio(line: SandboxCallLine) -> None:
    line.greets = True

    await customer_waits(line)
    await line.until(lambda: len(line.waits) >= 3)

    assert line.waits[0] == Wait(SESSION, "customer", line.waits[0].wait_audio, with_greeting=True)
    assert {wait.with_greeting for wait in line.waits[1:]} == {False}
    assert line.caller is not None
    assert any("Welcome to the shop" in interval.sound.content for interval in line.caller.sounds_heard)


async def test_supervisor_is_heard_only_by_the_intended_parties_and_twilio_confirms_it(line: SandboxCallLine) -> None:
    conference, customer, agent = await two_talk(line)
    supervisor = await joins(line, "supervisor", SUPERVISOR, conference, supervises=True)
    update = UpdateParticipant(
        effect_id="u1", session_id=SESSION, party="supervisor", call_sid=supervisor, conference_sid=conference
    )
    joined = next(event for event in line.of(ParticipantJoined) if event.call_sid == supervisor)

    assert not joined.start_on_enter
    assert supervisor not in heard_by(line, customer) | heard_by(line, agent)
    assert heard_by(line, supervisor) == {customer, agent}

    await line.calls.perform(replace(update, supervises="whisper", coaches=agent))
    await line.until(lambda: agent in [event.coaches for event in line.of(ParticipantChanged)])

    assert supervisor in heard_by(line, agent) - heard_by(line, customer)
    seen = {seen.call_sid: seen for seen in (await line.read()).participants}
    assert (seen[supervisor].coaches, seen[supervisor].muted) == (agent, False)

    await line.calls.perform(replace(update, supervises="barge"))
    await line.until(lambda: supervisor in heard_by(line, customer))
    await line.calls.perform(replace(update, supervises="monitor"))
    await line.until(lambda: supervisor not in heard_by(line, customer) | heard_by(line, agent))

    seen = {seen.call_sid: seen for seen in (await line.read()).participants}
    assert (seen[supervisor].coaches, seen[supervisor].muted) == ("", True)


async def test_no_one_coaches_a_party_that_is_not_in_the_conference(line: SandboxCallLine) -> None:
    conference, _, _ = await two_talk(line)
    supervisor = await joins(line, "supervisor", SUPERVISOR, conference, supervises=True)
    update = UpdateParticipant(
        effect_id="u1", session_id=SESSION, party="supervisor", call_sid=supervisor, conference_sid=conference,
        supervises="whisper", coaches="CA" + "0" * 32,
    )  # fmt: skip

    with pytest.raises(ProviderRefusedError) as caught:
        await line.calls.perform(update)

    assert caught.value.code in (13240, 16028)


@pytest.mark.parametrize("to_one", [False, True])
async def test_announced_sentence_is_heard_by_all_or_one_and_its_end_is_reported(
    line: SandboxCallLine, to_one: bool
) -> None:
    conference, customer, agent = await two_talk(line)
    line.sentences["c1"] = "We close at six"

    await line.calls.perform(
        PlayAnnouncement(
            effect_id="a1",
            session_id=SESSION,
            conference_sid=conference,
            command_id="c1",
            call_sid=customer if to_one else "",
        )
    )
    await line.until(lambda: line.of(AnnouncementEnded))

    (ended,) = line.of(AnnouncementEnded)
    assert (ended.conference_sid, ended.call_sid, ended.failed) == (conference, customer if to_one else "", False)
    heard = {
        sid: any("We close at six" in interval.sound.content for interval in line.sandbox.call(sid).sounds_heard)
        for sid in (customer, agent)
    }
    assert heard == {customer: True, agent: not to_one}


async def test_a_recording_of_the_customers_call_is_started_found_paused_and_stopped(line: SandboxCallLine) -> None:
    _, customer, _ = await two_talk(line)
    start = StartRecording(effect_id="r1", session_id=SESSION, party="customer", call_sid=customer)
    change = ChangeRecording(effect_id="r2", session_id=SESSION, call_sid=customer, status="paused")

    assert await line.calls.find_recording(start) == ""
    begun = await line.calls.perform(start)
    assert isinstance(begun, StartedRecording)
    assert await line.calls.find_recording(start) == begun.recording_sid

    await line.calls.perform(change)
    assert await line.calls.find_recording(start) == begun.recording_sid
    await line.calls.perform(replace(change, status="in-progress", recording_sid=begun.recording_sid))
    await line.calls.perform(replace(change, status="stopped"))
    assert await line.calls.find_recording(start) == ""
    assert await line.calls.perform(replace(change, status="stopped")) is None

    await line.until(lambda: len(line.of(RecordingChanged)) == 2)
    reported = line.of(RecordingChanged)
    assert {(event.recording_sid, event.call_sid, event.of_conference) for event in reported} == {
        (begun.recording_sid, customer, False)
    }
    assert reported[0].status == "in-progress"
    assert reported[1].status in ("completed", "absent")


async def test_a_conference_is_recorded_from_its_start_and_paused_by_its_name(line: SandboxCallLine) -> None:
    line.attributes = ConferenceAttributes(record="true", trim="do-not-trim")
    conference, _, _ = await two_talk(line)
    await line.until(lambda: line.of(RecordingChanged))
    change = ChangeRecording(effect_id="r1", session_id=SESSION, conference_sid=conference, status="paused")

    (found,) = line.of(RecordingChanged)
    assert (found.status, found.of_conference, found.conference_sid) == ("in-progress", True, conference)
    await line.calls.perform(change)
    await line.calls.perform(replace(change, recording_sid=found.recording_sid, status="stopped"))

    await line.until(lambda: len(line.of(RecordingChanged)) == 2)


async def test_speaker_is_noted(line: SandboxCallLine) -> None:
    _, customer, _ = await two_talk(line)

    line.sandbox.call(customer).speak()
    await line.until(lambda: line.of(ConferenceEventIgnored))

    (noted,) = line.of(ConferenceEventIgnored)
    assert (noted.kind, noted.call_sid) == ("participant-speech-start", customer)


async def test_unknown_conference_event_is_recorded_by_name(line: SandboxCallLine) -> None:
    conference, customer, _ = await two_talk(line)

    line.sandbox.send_callback(conference, "participant-levitate", {"CallSid": customer, "Height": "3 m"})
    await line.until(lambda: line.of(ConferenceEventIgnored))

    assert [event.kind for event in line.of(ConferenceEventIgnored)] == ["participant-levitate"]


async def test_customer_continues_elsewhere_after_the_conference(line: SandboxCallLine) -> None:
    _, customer, _ = await two_talk(line)
    survey = line.public_url + "/survey"

    effect = RedirectToUrl(effect_id="s1", session_id=SESSION, party="customer", call_sid=customer, url=survey)
    await line.calls.perform(effect)
    await line.until(lambda: line.sandbox.call(customer).status == "completed")

    assert any(
        "How did you like it?" in interval.sound.content for interval in line.sandbox.call(customer).sounds_heard
    )
    assert await line.calls.perform(effect) is None  # over already
