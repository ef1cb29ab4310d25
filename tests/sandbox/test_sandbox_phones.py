"""Phones with scripted behavior, and calls as a person on a phone sees them."""

from conferral.sandbox import Sandbox
from tests.sandbox.control_client import Control
from tests.sandbox.model_scenario import BUSINESS, CUSTOMER
from tests.sandbox.webhook_app import WebhookApp
from tests.support.phones import dialed


async def test_phone_answers_and_hangs_up_by_its_script(bridging: WebhookApp, sandbox: Sandbox) -> None:
    sandbox.phone("client:alice").script(answer_after_s=2.0, hang_up_after_s=4.0)

    caller = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: caller.status == "completed")
    await sandbox.wait_until_idle()

    (alice,) = sandbox.calls_of("client:alice")
    assert (alice.status, alice.has_heard(caller), caller.has_heard(alice)) == ("completed", True, True)
    assert bridging.at("/action")[0].params["DialCallDuration"] == "4"
    kinds = [str(it.sound) for it in caller.sounds_heard]
    assert kinds[:3] == ["silence", "ringback", alice.sid]


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
    callee = await dialed(sandbox, "+15550111")
    await sandbox.wait_until(lambda: caller.has_heard(callee))

    assert app.at("/pressed")[0].params["Digits"] == "1"


async def test_what_a_caller_says_to_voicemail_is_listed_as_text(
    app: WebhookApp, sandbox: Sandbox, control: Control
) -> None:
    app.on("/voice", "<Response><Say>Leave a message</Say><Record timeout='2' action='/recorded'/></Response>")
    app.on("/recorded", "<Response><Hangup/></Response>")
    _, caller = await control.post("/calls", **{"from": CUSTOMER, "to": BUSINESS})
    call = sandbox.call(caller["sid"])
    await sandbox.wait_until(lambda: call.record.activity == "recording")

    await control.post(f"/calls/{call.sid}/speak", text="Please call me back about the invoice")
    await sandbox.wait_until(lambda: call.status == "completed")

    (message,) = (await control.get("/recordings"))["messages"]
    assert (message["caller"], message["status"], message["duration_s"]) == (CUSTOMER, "completed", 2)
    assert message["text"] == "Please call me back about the invoice"
    assert app.at("/recorded")[0].params["RecordingSid"] == message["sid"]
