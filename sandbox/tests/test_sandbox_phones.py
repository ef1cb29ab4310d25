"""Phones with scripted behavior, and calls as a person on a phone sees them."""

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


async def test_phone_that_is_answered_by_hand_keeps_its_kind(bridging: WebhookApp, sandbox: Sandbox) -> None:
    sandbox.phone("client:alice").script(kind="silent-person")
    await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: sandbox.calls_of("client:alice"))
    (alice,) = sandbox.calls_of("client:alice")

    alice.answer()

    assert (alice.status, alice.record.phone_kind) == ("in-progress", "silent-person")
