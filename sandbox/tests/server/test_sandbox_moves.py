"""Calls that other programs move, that come back to a voice URL, that arrive over a SIP domain or from a browser."""

import pytest

from control_client import Control
from model_scenario import APP, BUSINESS, CUSTOMER, ModelScenario, conference_twiml
from offhook import Sandbox
from offhook.model.messages import InboundCall
from offhook.model.numbers import Number
from offhook.model.twilio_model import UnknownNumberError
from webhook_app import WebhookApp

ELSEWHERE = "<Response><Pause length='600'/></Response>"
APPLICATION = "AP" + "1" * 32
DOMAIN = "acme.sip.twilio.com"


async def test_call_that_is_not_in_progress_cannot_be_moved(bridging: WebhookApp, sandbox: Sandbox) -> None:
    caller = await sandbox.call_in(CUSTOMER, BUSINESS)

    with pytest.raises(ValueError, match="not in-progress"):
        caller.move(twiml=ELSEWHERE)
    with pytest.raises(ValueError, match="either"):
        caller.move()


@pytest.mark.parametrize(
    "to",
    [
        f"sip:+14155550101@{DOMAIN}",
        f"sip:+14155550101@{DOMAIN}:5061;user=phone",
        f"sips:%2B14155550101@{DOMAIN}",
        "sip:+14155550101@acme.sip.ashburn.twilio.com",
    ],
)
def test_call_over_a_sip_domain_brings_its_uris_and_headers(story: ModelScenario, to: str) -> None:
    story.model.add_number(Number(DOMAIN, f"{APP}/sip"))
    caller = "sip:+12025550123@pbx.example.com"

    sid = story.happens(InboundCall(caller, to, headers=(("X-Account", "7"),))).call_sid

    fields = story.sent_to("/sip")
    assert (fields["From"], fields["To"], fields["Direction"]) == (caller, to, "inbound")
    assert fields["SipDomain"] == to.partition("@")[2].partition(":")[0].partition(";")[0]
    assert fields["SipDomainSid"].startswith("SD")
    assert fields["SipCallId"] == f"{sid[2:]}@{fields['SipSourceIp']}"
    assert fields["SipHeader_X-Account"] == "7"
    assert not {"CallToken", "FromCountry", "ToCountry"} & fields.keys()


def test_sip_domain_of_another_account_cannot_be_called(story: ModelScenario) -> None:
    story.model.add_number(Number(DOMAIN, f"{APP}/sip"))

    for to in ("sip:alice@other.sip.twilio.com", "sip:alice@acme.example.com"):
        with pytest.raises(UnknownNumberError):
            story.happens(InboundCall("sip:bob@pbx.example.com", to))


async def test_moves_and_sip_calls_are_made_from_outside(app: WebhookApp, sandbox: Sandbox, control: Control) -> None:
    app.on("/sip", ELSEWHERE.replace("<Pause", "<Say>Hello</Say><Pause"))
    await control.post("/numbers", number=DOMAIN, voice_url=f"{app.url}/sip")
    call = {"from": "sip:bob@pbx.example.com", "to": f"sip:support@{DOMAIN}", "headers": {"X-Account": "7"}}
    status, caller = await control.post("/calls", **call)
    assert status == 201
    await sandbox.wait_until(lambda: sandbox.call(caller["sid"]).status == "in-progress")

    status, moved = await control.post(f"/calls/{caller['sid']}/move", twiml="<Response><Hangup/></Response>")

    assert (status, moved["status"]) == (200, "completed")
    assert app.asked[0].params["SipHeader_X-Account"] == "7"
    assert (await control.post(f"/calls/{caller['sid']}/move", twiml=ELSEWHERE))[0] == 422


def test_browser_brings_its_own_parameters_through_an_application(story: ModelScenario) -> None:
    story.model.add_number(Number(APPLICATION, f"{APP}/client", application_sid=APPLICATION))
    custom = (("To", "client:bob"), ("SessionID", "abc"), ("CallSid", "CA-not-mine"), ("Muted", "true"))

    sid = story.happens(InboundCall("client:alice", APPLICATION, custom)).call_sid

    sent = story.asked("/client").params
    fields = dict(reversed(sent))
    assert (fields["From"], fields["To"], fields["Direction"], fields["CallStatus"]) == (
        "client:alice", "client:bob", "inbound", "ringing",
    )  # fmt: skip
    assert (fields["SessionID"], fields["ApplicationSid"], fields["CallSid"], fields["Muted"]) == (
        "abc", APPLICATION, sid, "true",
    )  # fmt: skip
    assert [value for name, value in sent if name == "CallSid"] == [sid, "CA-not-mine"]
    assert len(sent) == len(fields) + 1
    assert not {"CallToken", "FromCountry"} & fields.keys()
    story.serve("/client", conference_twiml())
    assert story.call(sid).activity == "conference"
