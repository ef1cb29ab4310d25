"""US numbers in national form: two of Twilio's pages disagree about them."""

import pytest

from model_scenario import BUSINESS, CUSTOMER, ModelScenario
from offhook.model.behavior import Behavior
from offhook.model.numbers import Number

WRITTEN = ("415-555-0199", "(415) 555-0199", "4155550199", "1.415.555.0199")


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("tag", ["{}", "<Number>{}</Number>"])
def test_dial_takes_a_national_number_with_a_warning(story: ModelScenario, written: str, tag: str) -> None:
    story.call_in(f"<Response><Dial>{tag.format(written)}</Dial></Response>")
    (ring,) = story.rings
    assert (ring.to, story.call(ring.call_sid).to) == ("+14155550199", "+14155550199")
    assert [(it.code, it.level) for it in story.errors] == [(13223, "warning")]


@pytest.mark.parametrize("path", ["/Calls.json", "/Conferences/room/Participants.json"])
def test_rest_takes_national_numbers_with_a_warning(story: ModelScenario, path: str) -> None:
    story.model.add_number(Number("+12025550100"))
    twiml = (("Twiml", "<Response/>"),) * (path == "/Calls.json")
    assert story.rest("POST", path, ("To", "415 555 0199"), ("From", "202-555-0100"), *twiml)[0] == 201
    assert [(it.from_, it.to) for it in story.rings] == [("+12025550100", "+14155550199")]
    assert [(it.code, it.level) for it in story.errors] == [(21211, "warning"), (21212, "warning")]


@pytest.mark.parametrize("address", ["client:4155550199", "sip:4155550199@example.com", "+4915155550199"])
def test_other_addresses_stay_as_they_are(story: ModelScenario, address: str) -> None:
    assert story.rest("POST", "/Calls.json", ("To", address), ("From", BUSINESS), ("Twiml", "<Response/>"))[0] == 201
    assert [it.to for it in story.rings] == [address]
    assert story.errors == []


def test_other_reading_refuses_them() -> None:
    story = ModelScenario(Behavior(national_numbers="refused"))
    dial = (("To", "4155550199"), ("From", BUSINESS), ("Twiml", "<Response/>"))
    assert story.refused("POST", "/Calls.json", *dial) == (400, 21211)
    story.call_in("<Response><Dial>415-555-0199</Dial></Response>", CUSTOMER)
    assert story.error_codes() == [13223]
    assert story.rings == []
