"""The tools that story tests use, on a transfer that is played on the sandbox alone, over HTTP."""

import pytest
from twilio.rest import Client

from conferral.sandbox import CallHandle, Sandbox
from tests.sandbox.model_scenario import BUSINESS, CUSTOMER
from tests.sandbox.webhook_app import WebhookApp
from tests.support.heard_timeline import HeardTimeline
from tests.support.phones import answers, dialed

BOB = "client:bob"


def conference(app: WebhookApp, attributes: str = "waitUrl=''") -> str:
    return (
        f"<Response><Dial action='{app.url}/after'><Conference {attributes} statusCallback='{app.url}/conference' "
        "statusCallbackEvent='start end join leave mute hold modify'>room</Conference></Dial></Response>"
    )


def loop(file: str) -> str:
    return f"<Response><Play loop='0'>/media/{file}</Play></Response>"


@pytest.fixture
def listening(app: WebhookApp, sandbox: Sandbox) -> HeardTimeline:
    app.on("/hold", loop("music.wav"))
    app.on("/wait", loop("ringback.wav"))
    app.on("/after", "<Response><Hangup/></Response>")
    return HeardTimeline(sandbox)


async def in_conference(app: WebhookApp, sandbox: Sandbox, from_: str, attributes: str = "waitUrl=''") -> CallHandle:
    app.on("/voice", conference(app, attributes))
    call = await sandbox.call_in(from_, BUSINESS)
    await sandbox.wait_until(lambda: call.record.activity == "conference")
    return call


async def test_consult_is_heard_by_those_who_shall_hear_it(
    app: WebhookApp, sandbox: Sandbox, twilio: Client, listening: HeardTimeline
) -> None:
    customer = await in_conference(app, sandbox, CUSTOMER)
    agent = await in_conference(app, sandbox, "+14155550124")
    listening.name(customer=customer, agent=agent)
    members = twilio.conferences(customer.record.conference_sid).participants
    sandbox.phone(BOB).script_in_turn(answers(2.0))

    await members(customer.sid).update_async(hold=True, hold_url=f"{app.url}/hold", hold_method="POST")
    await sandbox.wait_until(lambda: listening.hears(customer) == "music")
    held_s = listening.now()
    await members.create_async(to=BOB, from_=BUSINESS, label="target", early_media=True)
    target = await dialed(sandbox, BOB)
    await sandbox.wait_until(lambda: listening.has_heard(agent, target))
    merged_s = listening.now()
    await members(customer.sid).update_async(hold=False)
    await sandbox.wait_until(lambda: listening.has_heard(customer, target))

    listening.name(target=target)
    assert listening.whats(agent, held_s)[-3:] == [
        "ringing", frozenset({target.sid}), frozenset({target.sid, customer.sid}),
    ], listening.described()  # fmt: skip
    assert listening.seconds(agent, "ringing") > 0
    assert listening.never_heard(customer, target, held_s, merged_s)
    assert listening.never_heard(target, customer, until_s=merged_s)
    assert not listening.never_heard(customer, target)
    assert listening.whats(customer, held_s, merged_s) == ["music"]
    assert listening.seconds(customer, "music") >= merged_s - held_s
    (asked,) = app.at("/hold")
    assert asked.method == "POST"
    assert asked.is_signed
    assert "target" in listening.described(agent)


async def test_silence_counts_from_the_answer_in_one_piece_and_between_two_moments(
    app: WebhookApp, sandbox: Sandbox, listening: HeardTimeline
) -> None:
    app.on("/voice", "<Response><Pause length='4'/><Say>Hi</Say><Pause length='3'/><Play>a.wav</Play></Response>")

    call = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: call.status == "completed")

    said, silent, wait_audio = listening.heard(call)[1:]
    assert (said.what, silent.what, wait_audio.what) == ("said Hi", "silence", "music")
    assert listening.longest_silence(call) == pytest.approx(3.0)
    assert listening.longest_silence(call, silent.from_s + 1.0, silent.to_s - 0.5) == pytest.approx(1.5)
    until_s = wait_audio.from_s + 2.0
    assert listening.heard(call, wait_audio.from_s + 1.0, until_s)[0].to_s == pytest.approx(until_s)
