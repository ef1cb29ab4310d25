"""The tools that story tests use, on a transfer that is played on the sandbox alone, over HTTP."""

import pytest
from twilio.rest import Client

from conferral.sandbox import CallHandle, Sandbox
from tests.sandbox.model_scenario import BUSINESS, CUSTOMER
from tests.sandbox.webhook_app import WebhookApp
from tests.support.heard_timeline import HeardTimeline
from tests.support.phones import answers, busy, dialed, refuses, rings, unreachable, voicemail

BOB = "client:bob"
PAUSE = "<Response><Pause length='60'/></Response>"
GATE = (
    "<Response><Gather numDigits='1' timeout='2' actionOnEmptyResult='true' action='/key'>"
    "<Say>Press 1</Say></Gather></Response>"
)


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


async def test_voicemail_lets_every_question_pass_and_stays_on_the_line(
    app: WebhookApp, sandbox: Sandbox, twilio: Client, listening: HeardTimeline
) -> None:
    app.on("/gate", GATE)
    app.on("/key", GATE, "<Response><Pause length='600'/></Response>")
    sandbox.phone(BOB).script_in_turn(voicemail(records_for_s=12.0))

    await twilio.calls.create_async(to=BOB, from_=BUSINESS, url=f"{app.url}/gate")
    machine = await dialed(sandbox, BOB)
    await sandbox.wait_until(lambda: machine.status == "completed")

    assert [asked.params["Digits"] for asked in app.at("/key")] == ["", ""]
    lasted_s = (machine.record.ended_at_s or 0.0) - (machine.record.answered_at_s or 0.0)
    assert lasted_s > 11.9
    assert listening.longest_silence(machine) > 1.9


async def test_phone_does_one_thing_after_the_other_and_the_last_from_then_on(sandbox: Sandbox, twilio: Client) -> None:
    sandbox.phone(BOB).script_in_turn(busy(), refuses(), unreachable(), rings(), answers(hangs_up_after_s=0.2))

    seen = []
    for time in range(1, 7):
        ring_s = 2 if time == 4 else 60
        await twilio.calls.create_async(to=BOB, from_=BUSINESS, timeout=ring_s, twiml=PAUSE)
        leg = await dialed(sandbox, BOB, time)
        await sandbox.wait_until(lambda leg=leg: leg.record.is_final)
        seen.append((leg.status, leg.record.sip_code))

    assert seen == [("busy", 486), ("busy", 603), ("failed", 404), ("no-answer", 487), *[("completed", 200)] * 2]


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
