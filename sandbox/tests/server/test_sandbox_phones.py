"""Phones with scripted behavior, and calls as a person on a phone sees them."""

from typing import Any

import pytest

from control_client import Control
from model_scenario import BUSINESS, CUSTOMER
from offhook import PhoneScript, Sandbox
from offhook.model.messages import RestRequest
from webhook_app import WebhookApp


async def test_script_for_one_call_gives_way_to_the_usual_one(bridging: WebhookApp, sandbox: Sandbox) -> None:
    sandbox.phone("client:alice").script(answer_after_s=0.1).script(outcome="busy", times=1)

    first = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: first.status == "completed")
    second = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: second.status == "in-progress")

    assert [leg.status for leg in sandbox.calls_of("client:alice")] == ["busy", "in-progress"]


async def test_keys_are_pressed_by_script(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", "<Response><Dial><Number url='/gate'>+15550111</Number></Dial></Response>")
    app.on("/gate", "<Response><Gather numDigits='1' action='/pressed'><Say>Press one</Say></Gather></Response>")
    app.on("/pressed", "<Response/>")
    sandbox.phone("+15550111").script(answer_after_s=0.1, digits="1")

    caller = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: sandbox.calls_of("+15550111"))
    (callee,) = sandbox.calls_of("+15550111")
    await sandbox.wait_until(lambda: caller.has_heard(callee))

    assert app.at("/pressed")[0].params["Digits"] == "1"


async def test_caller_goes_through_a_menu_by_script(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", "<Response><Gather numDigits='1' action='/pressed'><Say>Press one</Say></Gather></Response>")
    app.on("/pressed", "<Response><Gather input='speech' speechTimeout='auto' action='/said'/></Response>")
    app.on("/said", "<Response><Record action='/recorded' timeout='1'/></Response>")
    app.on("/recorded", "<Response><Pause length='600'/></Response>")
    sandbox.phone(CUSTOMER).script(keys="1", speaks=("Sales, please", "Call me back"), hang_up_after_s=30)

    call = await sandbox.call_in(CUSTOMER, BUSINESS)
    for activity in ("gathering", "recording", "pausing"):
        await sandbox.wait_until(lambda activity=activity: call.activity == activity)  # type: ignore[misc]
    await sandbox.wait_until(lambda: call.status == "completed")

    assert app.at("/pressed")[0].params["Digits"] == "1"
    said = app.at("/said")[0].params
    assert (said["SpeechResult"], said["Confidence"], "Digits" in said) == ("Sales, please", "0.9", False)
    assert [it.text for it in sandbox.recordings()] == ["Call me back"]
    assert (call.activity, call.record.ended_at_s) == ("idle", pytest.approx(call.record.answered_at_s + 30, abs=5))  # type: ignore[operator]


async def test_caller_presses_keys_after_the_answer(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", "<Response><Gather numDigits='2' action='/pressed'/></Response>")
    sandbox.phone(CUSTOMER).script(digits="42", times=1)

    await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: app.at("/pressed"))
    again = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: again.status == "completed")

    assert [it.params["Digits"] for it in app.at("/pressed")] == ["42"]


async def test_call_from_a_phone_leaves_it_the_scripts_that_only_answer(bridging: WebhookApp, sandbox: Sandbox) -> None:
    bridging.on("/action", f"<Response><Dial><Number>{CUSTOMER}</Number></Dial></Response>")
    sandbox.phone("client:alice").script(outcome="busy")
    sandbox.phone(CUSTOMER).script_in_turn(PhoneScript(outcome="busy"), PhoneScript(answer_after_s=1))
    await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: [it.status for it in sandbox.calls_of(CUSTOMER)] == ["busy"])


async def test_script_goes_on_however_its_phone_is_answered(bridging: WebhookApp, sandbox: Sandbox) -> None:
    sandbox.phone("client:alice").script(hang_up_after_s=1)
    caller = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: sandbox.calls_of("client:alice"))
    (alice,) = sandbox.calls_of("client:alice")
    alice.answer()
    assert [caller.activity, alice.activity] == ["bridged", "bridged"]
    await sandbox.wait_until(lambda: alice.status == "completed")


async def test_script_of_a_phone_that_a_person_plays_does_nothing(app: WebhookApp, sandbox: Sandbox) -> None:
    app.on("/voice", "<Response><Gather numDigits='1' action='/pressed'/><Hangup/></Response>")
    sandbox.phone(CUSTOMER).script(keys="1", keys_after_s=0)
    sandbox.set_manual(CUSTOMER, is_manual=True)
    call = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: call.status == "completed")
    assert not app.at("/pressed")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ({"keys": "a"}, "no phone has the key 'a'"),
        ({"digits": "1w2"}, "no phone has the key 'w'"),
        ({"kind": "fax", "speaks": "Hello"}, "a fax presses no keys, and answers no question"),
        ({"kind": "screened-person", "keys": "1"}, "never picks up, so they can't act"),
        ({"picks_up_after_s": 1}, "picks_up_after_s is for a screened-person"),
        ({"outcome": "busy", "keys": "1"}, "outcome 'busy' is in no call"),
        ({"outcome": "reject", "hang_up_after_s": 1}, "outcome 'reject' is in no call"),
        ({"outcome": "fail", "kind": "mailbox"}, "outcome 'fail' is in no call"),
        ({"outcome": "no-answer", "answer_after_s": 1}, "can't answer by itself"),
        ({"outcome": "no-answer", "kind": "fax"}, "can't answer by itself"),
        ({"times": 0}, "a script for 0 calls can't act"),
        ({"outcome": "sings"}, "no phone has the outcome 'sings': there are answer, busy"),
        ({"kind": "parrot"}, "no phone has the kind 'parrot': there are person"),
        ({"answer_after_s": -1}, "answer_after_s is -1: a time is at least 0 s"),
        ({"keys_after_s": float("nan")}, "keys_after_s is nan"),
        ({"digits": "1", "digits_after_s": 2, "hang_up_after_s": 2}, "can't press digits after it hangs up"),
    ],
)
def test_script_that_can_not_act_is_refused(sandbox: Sandbox, script: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        sandbox.phone("client:alice").script(**script)


def test_misspelled_field_of_a_script_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(TypeError, match=r"no field 'answer_after': there are kind, .*answer_after_s"):
        sandbox.phone("client:alice").script(answer_after=1)


def test_no_script_in_turn_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="give at least one script"):
        sandbox.phone("client:alice").script_in_turn()


async def test_no_phone_rings_at_a_number_of_the_account(bridging: WebhookApp, sandbox: Sandbox) -> None:
    bridging.on("/gate", "<Response><Gather numDigits='1' timeout='60'/></Response>")
    sandbox.phone("client:alice").script(answer_after_s=0.1)
    form = (("To", BUSINESS), ("From", BUSINESS), ("Url", f"{bridging.url}/gate"))

    sandbox.apply(RestRequest("POST", "/Calls.json", form))
    await sandbox.wait_until(lambda: bool(bridging.at("/gate")))

    assert [entry.to for entry in sandbox.request_log.dials] == [BUSINESS, "client:alice"]
    assert BUSINESS not in sandbox.phones


async def test_mailbox_records_what_it_hears_after_its_greeting(
    app: WebhookApp, sandbox: Sandbox, control: Control
) -> None:
    app.on(
        "/gate",
        "<Response><Say>Press one</Say><Gather timeout='10'/>"
        "<Say>Sorry, no one answered your call.</Say><Gather timeout='1'/></Response>",
    )
    await control.post("/phones", address="+15550111", name="Bob", kind="mailbox-with-beep", answer_after_s=1)
    form = (("To", "+15550111"), ("From", BUSINESS), ("Url", f"{app.url}/gate"), ("MachineDetection", "Enable"))
    sandbox.apply(RestRequest("POST", "/Calls.json", form))
    (leg,) = sandbox.calls_of("+15550111")
    await sandbox.wait_until(lambda: leg.status == "completed")

    assert app.at("/gate")[0].params["AnsweredBy"] == "machine_start"
    assert (leg.record.digits_sent, leg.record.ended_at_s is not None) == ("", True)
    (message,) = (await control.get("/recordings"))["messages"]
    assert (message["mailbox"], message["caller"]) == ("Bob", BUSINESS)
    assert message["text"] == "Sorry, no one answered your call."


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("mailbox", "answers after 12 s as a mailbox, hangs up 120 s later"),
        ("mailbox-with-beep", "answers after 12 s as a mailbox with a beep, hangs up 120 s later"),
        ("fax", "answers after 12 s as a fax, hangs up 120 s later"),
    ],
)
async def test_machine_answers_by_itself_and_presses_no_keys(control: Control, kind: str, words: str) -> None:
    assert str(PhoneScript(kind=kind)) == words
    assert (await control.post("/phones", address="+15550111", kind=kind))[0] == 201
    status, answer = await control.post("/phones", address="+15550111", kind=kind, keys=["1"])
    assert (status, "presses no keys" in answer["error"]) == (422, True)


def test_phone_that_screens_calls_says_what_it_does() -> None:
    left = PhoneScript(kind="screened-person")
    taken = PhoneScript(kind="screened-person", picks_up_after_s=5, keys=("1",))
    assert str(left) == "answers after 0 s, asks who calls, hangs up 30 s later"
    assert str(taken) == "answers after 0 s, asks who calls, is picked up 5 s later, presses 1"


@pytest.mark.parametrize(("picks_up_after_s", "asked"), [(0.5, 1), (3.0, 2)])
async def test_screened_person_answers_what_is_asked_once_they_pick_up(
    app: WebhookApp, sandbox: Sandbox, picks_up_after_s: float, asked: int
) -> None:
    question = "<Response><Gather numDigits='1' timeout='2' actionOnEmptyResult='true' action='{}'/></Response>"
    app.on("/first", question.format("second"))
    app.on("/second", question.format("third"))
    app.on("/third", "<Response><Hangup/></Response>")
    sandbox.phone("+15550111").script(kind="screened-person", picks_up_after_s=picks_up_after_s, keys="1")
    form = (("To", "+15550111"), ("From", BUSINESS), ("Url", f"{app.url}/first"), ("MachineDetection", "Enable"))
    sandbox.apply(RestRequest("POST", "/Calls.json", form[:3]))
    (leg,) = sandbox.calls_of("+15550111")
    await sandbox.wait_until(lambda: leg.status == "completed")

    pressed = [app.at(path)[0].params.get("Digits", "") for path in ("/second", "/third")]
    assert pressed == ["1" if asked == number else "" for number in (1, 2)]

    sandbox.apply(RestRequest("POST", "/Calls.json", form))
    await sandbox.wait_until(lambda: len(app.at("/first")) == 2)
    assert app.at("/first")[1].params["AnsweredBy"] == "machine_start"


async def test_phone_that_is_answered_by_hand_keeps_its_kind(bridging: WebhookApp, sandbox: Sandbox) -> None:
    sandbox.phone("client:alice").script(kind="silent-person")
    await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: sandbox.calls_of("client:alice"))
    (alice,) = sandbox.calls_of("client:alice")

    alice.answer()

    assert (alice.status, alice.record.phone_kind) == ("in-progress", "silent-person")
