"""`<Pay>`: what it asks for, and what its action learns."""

import pytest

from model_scenario import ModelScenario
from offhook.phones import PhoneScript

PAY = "<Response><Pay action='/paid' chargeAmount='10.00'/></Response>"
CARD = "4111111111111111"
NAMES = ("Result", "PaymentCardNumber", "ExpirationDate", "SecurityCode", "PaymentCardPostalCode", "PaymentError")


def result(story: ModelScenario) -> list[str]:
    return [story.sent_to("/paid").get(name, "") for name in NAMES]


def test_valid_card_is_masked_and_has_a_confirmation_code(story: ModelScenario) -> None:
    sid = story.call_in(PAY)
    for keys in (f"{CARD}#", "1230#", "739#", "94109#"):
        assert story.call(sid).activity == "paying"
        story.presses(sid, keys)

    assert result(story) == ["success", "xxxxxxxxxxxx1111", "1230", "xxx", "94109", ""]
    sent = story.sent_to("/paid")
    assert (sent["PaymentConfirmationCode"][:2], sent["PaymentCardType"]) == ("PK", "visa")
    assert "PaymentToken" not in sent


def test_card_without_a_charge_becomes_a_token(story: ModelScenario) -> None:
    twiml = "<Response><Pay action='/paid' securityCode='false' postalCode='94105' tokenType='one-time'/></Response>"
    sid = story.call_in(twiml)
    story.presses(sid, "378282246310005")
    story.passes(5.0)  # which ends a field, too
    story.presses(sid, "0130#")

    assert result(story) == ["success", "xxxxxxxxxxx0005", "0130", "", "94105", ""]
    assert story.sent_to("/paid")["PaymentToken"].startswith("PK")


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ("", "input-timeout"),
        ("4111111111111112", "invalid-card-number"),
        ("411", "invalid-card-number"),
        ("6011111111111117", "invalid-card-type"),
        (f"{CARD}#1330", "invalid-date"),
        (f"{CARD}#1230#12", "invalid-security-code"),
    ],
)
def test_invalid_field_is_asked_for_twice(story: ModelScenario, keys: str, error: str) -> None:
    sid = story.call_in(PAY)
    first, _, last = keys.rpartition("#")
    story.presses(sid, keys)
    story.passes(5.0)
    assert story.call(sid).activity == "paying"
    story.presses(sid, last)
    story.passes(5.0)

    assert (result(story)[0], result(story)[-1]) == ("too-many-failed-attempts", error)
    assert result(story)[1] == ("xxxxxxxxxxxx1111" if first else "")


def test_star_and_hanging_up_end_a_payment(story: ModelScenario) -> None:
    sid = story.call_in(PAY)
    story.presses(sid, f"{CARD}#*")
    assert result(story)[0] == "caller-interrupted-with-star"
    story.serve("/paid", PAY)
    story.hangs_up(sid)
    assert (result(story)[0], story.sent_to("/paid")["CallStatus"]) == ("caller-hung-up", "completed")


def test_page_shows_no_keys_of_a_card() -> None:
    assert str(PhoneScript(keys=(f"{CARD}#", "739#"))).endswith("presses a card's keys")
