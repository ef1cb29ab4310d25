"""What programs written for Twilio do with its client, at a sandbox instead."""

import io
import wave
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from model_scenario import BUSINESS, CUSTOMER
from offhook import ACCOUNT_SID, AUTH_TOKEN, Sandbox
from offhook.model.behavior import Behavior
from webhook_app import WebhookApp

TALK = "<Response><Pause length='600'/></Response>"


async def refused(call: Any) -> tuple[int, int | None]:
    with pytest.raises(TwilioRestException) as error:
        await call
    return error.value.status, error.value.code


async def test_calls_are_made_found_changed_and_deleted(sandbox: Sandbox, twilio: Client, app: WebhookApp) -> None:
    app.on("/next", TALK)
    sandbox.phone(CUSTOMER).script(answer_after_s=0.1)
    before = datetime.now(UTC) - timedelta(hours=1)
    call = await twilio.calls.create_async(
        to=CUSTOMER,
        from_=BUSINESS,
        twiml=TALK,
        status_callback=f"{app.url}/progress",
        status_callback_event=["initiated", "answered"],
        time_limit=100,
    )
    await sandbox.wait_until(lambda: sandbox.call(call.sid).status == "in-progress")

    today, earlier = datetime.now(UTC).date(), before - timedelta(days=2)
    for found in ({"start_time_after": before}, {"start_time": today}, {"to": CUSTOMER, "status": "in-progress"}):
        assert [it.sid for it in await twilio.calls.list_async(**found, limit=5)] == [call.sid], found
    for nothing in ({"start_time_before": before}, {"end_time_after": before}, {"start_time": earlier}):
        assert await twilio.calls.list_async(**nothing) == [], nothing
    assert await refused(twilio.calls(call.sid).delete_async()) == (409, 20009)

    await twilio.calls(call.sid).update_async(url=f"{app.url}/next", method="GET", status_callback=f"{app.url}/end")
    await sandbox.wait_until(lambda: app.at("/next"))
    ended = await twilio.calls(call.sid).update_async(status="completed")
    await sandbox.wait_until(lambda: app.at("/end"))
    assert [it.params["CallStatus"] for it in app.at("/progress")] == ["initiated", "in-progress"]
    assert app.at("/end")[0].params["CallStatus"] == "completed"
    fetched = await twilio.calls(call.sid).fetch_async()
    assert (fetched.status, fetched.start_time is not None) == ("completed", True)
    assert [it.sid for it in await twilio.calls.list_async(end_time_after=before)] == [call.sid]

    assert await ended.delete_async()
    assert await twilio.calls.list_async() == []
    assert await refused(twilio.calls(call.sid).fetch_async()) == (404, 20404)


async def test_call_ends_at_its_time_limit(sandbox: Sandbox, twilio: Client) -> None:
    sandbox.phone(CUSTOMER).script(answer_after_s=0.1)
    call = await twilio.calls.create_async(to=CUSTOMER, from_=BUSINESS, twiml=TALK, time_limit=30)
    await sandbox.wait_until(lambda: sandbox.call(call.sid).status == "in-progress")
    await twilio.calls(call.sid).update_async(time_limit=5)
    await sandbox.wait_until(lambda: sandbox.call(call.sid).status == "completed")
    assert (await twilio.calls(call.sid).fetch_async()).duration == "5"


async def test_pages_of_calls_follow_each_other(sandbox: Sandbox, twilio: Client) -> None:
    dialed = [(await twilio.calls.create_async(to=CUSTOMER, from_=BUSINESS, twiml=TALK)).sid for _ in range(5)]
    page = await twilio.calls.page_async(page_size=2)
    sids = [call.sid for call in page]
    while page := await page.next_page_async():
        sids += [call.sid for call in page]
    assert sids == dialed[::-1]
    assert [call.sid async for call in await twilio.calls.stream_async(page_size=1, limit=3)] == dialed[:1:-1]


async def test_conference_is_run_by_sid_and_label(sandbox: Sandbox, twilio: Client) -> None:
    sandbox.phone("client:alice").script(answer_after_s=0.1)
    sandbox.phone(CUSTOMER).script(answer_after_s=0.1)
    support = twilio.conferences("support")
    alice = await support.participants.create_async(to="client:alice", from_=BUSINESS, label="agent")
    caller = await support.participants.create_async(
        to=CUSTOMER, from_=BUSINESS, label="caller", conference_record="true"
    )
    sid = alice.conference_sid
    await sandbox.wait_until(lambda: len(sandbox.model.state.conferences[sid].joined()) == 2)

    today = datetime.now(UTC).date()
    named, live, dated = {"friendly_name": "support"}, {"status": "in-progress"}, {"date_updated_after": today}
    for filters in (named, live, dated, {"date_created": today}):
        assert [it.sid for it in await twilio.conferences.list_async(**filters)] == [sid], filters
    assert await twilio.conferences.list_async(date_created_before=today - timedelta(days=1)) == []
    conference = twilio.conferences(sid)
    members = await conference.participants.list_async()
    assert {it.label: it.call_sid for it in members} == {"agent": alice.call_sid, "caller": caller.call_sid}
    await conference.participants("agent").update_async(muted=True)
    assert (await conference.participants(alice.call_sid).fetch_async()).muted
    await conference.participants(caller.call_sid).update_async(hold=True)
    assert [it.label for it in await conference.participants.list_async(hold=True)] == ["caller"]
    await conference.participants("caller").delete_async()
    assert await refused(conference.participants("caller").fetch_async()) == (404, 20404)
    assert (await conference.update_async(status="completed")).status == "completed"
    assert [it.sid for it in await twilio.conferences.list_async(status="completed")] == [sid]


async def download(url: str, **headers: str) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, answer.content_type, await answer.read()


async def test_recording_has_a_file_of_its_length(sandbox: Sandbox, twilio: Client, app: WebhookApp) -> None:
    sandbox.phone(CUSTOMER).script(answer_after_s=0.1, hang_up_after_s=4)
    call = await twilio.calls.create_async(to=CUSTOMER, from_=BUSINESS, twiml=TALK)
    await sandbox.wait_until(lambda: sandbox.call(call.sid).status == "in-progress")
    of_call = twilio.calls(call.sid).recordings
    sid = (await of_call.create_async(recording_channels="dual", recording_status_callback=f"{app.url}/recorded")).sid
    media_url = (await twilio.recordings(sid).fetch_async()).media_url
    assert (await download(media_url))[0] == 404
    await sandbox.wait_until(lambda: app.at("/recorded"))

    recording = await twilio.recordings(sid).fetch_async()
    assert (recording.status, app.at("/recorded")[0].params["RecordingUrl"]) == ("completed", media_url)
    length_s = sandbox.recordings()[0].length_s(sandbox.now_s)
    assert recording.duration == app.at("/recorded")[0].params["RecordingDuration"] == str(int(length_s))
    of_uri = sandbox.url + (await of_call(sid).fetch_async()).uri.removesuffix(".json")
    for url, channels in ((media_url, 2), (f"{media_url}.wav?RequestedChannels=1", 1), (f"{of_uri}.wav", 2)):
        status, content_type, content = await download(url)
        assert (status, content_type) == (200, "audio/x-wav")
        with wave.open(io.BytesIO(content)) as heard:
            assert (heard.getnchannels(), heard.getframerate(), heard.getsampwidth()) == (channels, 8000, 2)
            assert heard.getnframes() / 8000 == pytest.approx(length_s, abs=0.001)
    status, content_type, content = await download(f"{media_url}.mp3")
    assert (status, content_type, len(content) * 8 / 32_000) == (200, "audio/mpeg", pytest.approx(length_s, abs=0.04))

    today = datetime.now(UTC) - timedelta(hours=1)
    for filters in ({"call_sid": call.sid}, {"date_created_after": today}):
        assert [it.sid for it in await twilio.recordings.list_async(**filters)] == [sid]
    for filters in ({"call_sid": "CA" + "0" * 32}, {"conference_sid": "CF" + "0" * 32}, {"date_created_before": today}):
        assert await twilio.recordings.list_async(**filters) == []
    assert await twilio.recordings(sid).delete_async()
    assert (await download(media_url))[0] == 404


async def test_file_needs_credentials_if_the_account_says_so(app: WebhookApp) -> None:
    async with Sandbox(behavior=Behavior(recording_files="authenticated"), speed=20.0) as sandbox:
        app.on("/voice", "<Response><Record action='/done'/></Response>")
        sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice")
        sandbox.phone(CUSTOMER).script(speaks="Hello?")
        await sandbox.call_in(CUSTOMER, BUSINESS)
        await sandbox.wait_until(lambda: app.at("/done"))
        url = app.at("/done")[0].params["RecordingUrl"]
        right, wrong = (aiohttp.encode_basic_auth(ACCOUNT_SID, token) for token in (AUTH_TOKEN, "wrong"))
        assert (await download(f"{url}.wav"))[0] == 401
        assert (await download(f"{url}.wav", Authorization=wrong))[0] == 401
        assert (await download(f"{url}.wav", Authorization=right))[0] == 200
        assert (await download(f"{url}.wav?RequestedChannels=2", Authorization=right))[0] == 400


async def test_application_has_the_urls_of_its_calls(sandbox: Sandbox, twilio: Client, app: WebhookApp) -> None:
    app.on("/app", TALK)
    application = await twilio.applications.create_async(friendly_name="Menu", voice_url=f"{app.url}/old")
    assert application.sid.startswith("AP")
    await twilio.applications(application.sid).update_async(
        voice_url=f"{app.url}/app", status_callback=f"{app.url}/app-status"
    )
    assert [it.sid for it in await twilio.applications.list_async(friendly_name="Menu")] == [application.sid]
    assert (await twilio.applications(application.sid).fetch_async()).voice_url == f"{app.url}/app"
    (number,) = await twilio.incoming_phone_numbers.list_async(phone_number=BUSINESS)
    await number.update_async(voice_application_sid=application.sid)

    sandbox.phone(CUSTOMER).script(answer_after_s=0.1)
    await twilio.calls.create_async(to=CUSTOMER, from_=BUSINESS, application_sid=application.sid)
    caller = await sandbox.call_in(CUSTOMER, BUSINESS)
    browser = await sandbox.call_from_browser("alice")
    await sandbox.wait_until(lambda: len(app.at("/app")) == 3)
    caller.hang_up()
    await sandbox.wait_until(lambda: app.at("/app-status"))
    assert (browser.record.application_sid, app.at("/status")) == (application.sid, [])

    for unknown in (
        twilio.calls.create_async(to=CUSTOMER, from_=BUSINESS, application_sid="AP" + "0" * 32),
        number.update_async(voice_application_sid="AP" + "0" * 32),
    ):
        assert await refused(unknown) == (400, 21218)
    await twilio.applications(application.sid).delete_async()
    assert await twilio.applications.list_async() == []
    assert await refused(twilio.applications(application.sid).fetch_async()) == (404, 20404)


async def test_numbers_are_bought_and_released(sandbox: Sandbox, twilio: Client, app: WebhookApp) -> None:
    bought = await twilio.incoming_phone_numbers.create_async(
        phone_number="+14155550177", voice_url=f"{app.url}/bought", friendly_name="Shop"
    )
    near = await twilio.incoming_phone_numbers.create_async(area_code="503")
    assert (near.phone_number[:5], near.friendly_name[:5]) == ("+1503", "(503)")
    assert (bought.capabilities["voice"], bought.date_created.tzinfo) == (True, UTC)
    assert await refused(twilio.incoming_phone_numbers.create_async(phone_number="+14155550177")) == (400, 21422)
    assert await refused(twilio.incoming_phone_numbers.create_async(phone_number="nonsense")) == (400, 21421)
    await sandbox.call_in(CUSTOMER, "+14155550177")
    await sandbox.wait_until(lambda: app.at("/bought"))
    assert [it.sid for it in await twilio.incoming_phone_numbers.list_async(friendly_name="Shop")] == [bought.sid]
    await bought.delete_async()
    assert await refused(twilio.incoming_phone_numbers(bought.sid).fetch_async()) == (404, 20404)


async def test_message_is_sent_and_read(app: WebhookApp, sandbox: Sandbox, twilio: Client) -> None:
    own = sandbox.add_number("+12025550100").number
    sent = await twilio.messages.create_async(to=CUSTOMER, from_=own, body="Hi", status_callback=f"{app.url}/text")
    await sandbox.wait_until(lambda: app.events("MessageStatus") == ["sent", "delivered"])
    message = await twilio.messages(sent.sid).fetch_async()
    assert (sent.status, message.status, message.body, message.direction) == (
        "queued",
        "delivered",
        "Hi",
        "outbound-api",
    )
    assert [it.sid for it in await twilio.messages.list_async(to=CUSTOMER)] == [sent.sid]


async def test_what_is_not_modeled_says_so(twilio: Client, api: aiohttp.ClientSession) -> None:
    assert await refused(twilio.addresses("AD" + "0" * 32).fetch_async()) == (404, 20404)
    async with api.get("Addresses.json") as answer:
        assert "the sandbox does not model GET" in (await answer.json())["message"]
