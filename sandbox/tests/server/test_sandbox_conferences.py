"""Conferences over HTTP: a recording that is busy, speakers; browsers, and others in the account."""

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from control_client import Control
from model_scenario import BUSINESS
from offhook import CallHandle, Sandbox, UnknownNumberError
from webhook_app import WebhookApp


@pytest.fixture
async def members(app: WebhookApp, sandbox: Sandbox) -> list[CallHandle]:
    """A customer and an agent in a conference."""
    app.on(
        "/voice",
        f"<Response><Dial><Conference waitUrl='' statusCallback='{app.url}/conference' "
        "statusCallbackEvent='speaker'>room</Conference></Dial></Response>",
    )
    calls = [await sandbox.call_in(f"+1415555012{number}", BUSINESS) for number in range(2)]
    await sandbox.wait_until(lambda: all(it.record.activity == "conference" for it in calls))
    await sandbox.wait_until_idle()
    return calls


async def test_recording_that_is_busy_answers_408(sandbox: Sandbox, twilio: Client, members: list[CallHandle]) -> None:
    sandbox.faults.next_rest("POST", "/Calls/*/Recordings/*", status=408)
    recordings = twilio.calls(members[0].sid).recordings
    await recordings.create_async(recording_channels="dual")

    with pytest.raises(TwilioRestException) as refused:
        await recordings("Twilio.CURRENT").update_async(status="stopped")

    assert (refused.value.status, refused.value.code) == (408, 16114)


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
