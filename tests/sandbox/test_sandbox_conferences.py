"""Conferences over HTTP: recordings and announcements with their faults, browsers, speakers, others in the account."""

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from conferral.sandbox import CallHandle, Sandbox, UnknownNumberError
from tests.sandbox.control_client import Control
from tests.sandbox.model_scenario import BUSINESS
from tests.sandbox.webhook_app import WebhookApp
from tests.support.foreign_calls import NoSubscriberError, send_odd_callback

EVENTS = "start end join leave announcement speaker"
SAY = "<Response><Say>We close soon</Say></Response>"


@pytest.fixture
async def members(app: WebhookApp, sandbox: Sandbox) -> list[CallHandle]:
    """A customer and an agent in a recorded conference."""
    app.on("/announce", SAY)
    app.on(
        "/voice",
        "<Response><Dial><Conference waitUrl='' record='record-from-start' "
        f"recordingStatusCallback='{app.url}/recording' recordingStatusCallbackEvent='in-progress completed' "
        f"statusCallback='{app.url}/conference' statusCallbackEvent='{EVENTS}'>room</Conference></Dial></Response>",
    )
    calls = [await sandbox.call_in(f"+1415555012{number}", BUSINESS) for number in range(2)]
    await sandbox.wait_until(lambda: all(it.record.activity == "conference" for it in calls))
    await sandbox.wait_until_idle()
    return calls


def conference_of(members: list[CallHandle]) -> str:
    return members[0].record.conference_sid


# ---- announcements -----------------------------------------------------------------------------------------------


async def test_injected_announcement_failure_is_reported(
    app: WebhookApp, sandbox: Sandbox, twilio: Client, members: list[CallHandle]
) -> None:
    sandbox.faults.fail_fetches("/announce", status=503)

    await (
        twilio.conferences(conference_of(members))
        .participants(members[0].sid)
        .update_async(announce_url=f"{app.url}/announce")
    )
    await sandbox.wait_until(lambda: "announcement-fail" in app.events())

    assert app.at("/announce") == []
    (reported,) = sandbox.request_log.callbacks("announcement-fail")
    assert reported.get("CallSid") == members[0].sid


# ---- recordings --------------------------------------------------------------------------------------------------


async def test_recording_callbacks_are_sent_signed_and_can_be_lost(
    app: WebhookApp, sandbox: Sandbox, members: list[CallHandle]
) -> None:
    sandbox.faults.lose_callbacks("recording-completed")

    for call in members:
        call.hang_up()
    await sandbox.wait_until(lambda: sandbox.request_log.callbacks("recording-completed"))
    await sandbox.wait_until_idle()

    (started,) = app.at("/recording")
    assert started.params["RecordingStatus"] == "in-progress"
    assert started.is_signed
    assert [it.fault for it in sandbox.request_log.callbacks("recording-completed")] == ["lost"]


async def test_recording_that_is_busy_answers_408(sandbox: Sandbox, twilio: Client, members: list[CallHandle]) -> None:
    sandbox.faults.next_rest("POST", "/Calls/*/Recordings/*", status=408)
    recordings = twilio.calls(members[0].sid).recordings
    await recordings.create_async(recording_channels="dual")

    with pytest.raises(TwilioRestException) as refused:
        await recordings("Twilio.CURRENT").update_async(status="stopped")

    assert (refused.value.status, refused.value.code) == (408, 16114)


# ---- browsers, speakers, what no one knows -----------------------------------------------------------------------


async def test_browser_must_know_its_application(sandbox: Sandbox, control: Control) -> None:
    status, body = await control.post("/browser-calls", identity="alice")
    assert (status, "none" in body["error"]) == (404, True)
    for number in range(2):
        sandbox.add_application(f"AP{number}", voice_url="http://127.0.0.1:9/")

    with pytest.raises(UnknownNumberError, match="AP0, AP1"):
        await sandbox.call_from_browser("alice")
    assert (await sandbox.call_from_browser("alice", app="AP1")).record.application_sid == "AP1"
    assert (await control.post("/browser-calls", identity="alice", app="AP1", params="no"))[0] == 422


async def test_speaker_can_be_set_by_hand(
    app: WebhookApp, sandbox: Sandbox, control: Control, members: list[CallHandle]
) -> None:
    await control.post(f"/calls/{members[0].sid}/speak")
    members[1].speak()
    await control.post(f"/calls/{members[0].sid}/fall-silent")
    await sandbox.wait_until_idle()

    assert (app.events().count("participant-speech-start"), app.events().count("participant-speech-stop")) == (2, 1)


async def test_unknown_callback_is_sent_signed(app: WebhookApp, sandbox: Sandbox, members: list[CallHandle]) -> None:
    params = {"CallSid": members[0].sid, "Song": "alto"}
    send_odd_callback(sandbox, conference_of(members), "participant-sang", params)
    await sandbox.wait_until_idle()

    found = app.at("/conference")[-1]
    assert (found.params["StatusCallbackEvent"], found.params["Song"]) == ("participant-sang", "alto")
    assert found.is_signed
    with pytest.raises(NoSubscriberError, match="CF0"):
        send_odd_callback(sandbox, "CF0", "x", {})
