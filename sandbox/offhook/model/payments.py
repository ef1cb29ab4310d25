"""`<Pay>`: asks for a card field by field, then requests its action.

Source: Twilio docs, TwiML <Pay>; public captures for the masks of its results.
"""

import re

from offhook.model import calls
from offhook.model.messages import AskForKeys
from offhook.model.state import Call, Payment
from offhook.model.transaction import Transaction
from offhook.model.twiml_parser import Verb

CARD_TYPES = {"visa": r"4\d{12,18}", "mastercard": r"(5[1-5]|2[2-7])\d{14}", "amex": r"3[47]\d{13}"}
FIELDS = {
    "PaymentCardNumber": (r"\d{12,19}", "invalid-card-number"),
    "ExpirationDate": (r"(0[1-9]|1[0-2])\d\d", "invalid-date"),
    "SecurityCode": (r"\d{3,4}", "invalid-security-code"),
    "PaymentCardPostalCode": (r"\d+", "invalid-postal-code"),
}
"""What is asked for, in turn, as the action names it: its pattern, and the error of anything else."""


def start(transaction: Transaction, call: Call, verb: Verb, base_url: str) -> None:
    """Ask for the card's number."""
    calls.answer(transaction, call)
    call.gather = Payment(verb, base_url)
    call.activity = "paying"
    _ask(transaction, call, call.gather)


def _ask(transaction: Transaction, call: Call, payment: Payment) -> None:
    transaction.outputs.append(AskForKeys(call.sid))
    _wait(transaction, call, payment)


def _wait(transaction: Transaction, call: Call, payment: Payment) -> None:
    transaction.set_timer(call.sid, "verb", payment.verb.number("timeout", 5.0))


def press(transaction: Transaction, call: Call, payment: Payment, key: str) -> None:
    """Take a key: `#` completes a field, and `*` ends the payment."""
    if key == "*":
        finish(transaction, call, payment, "caller-interrupted-with-star")
    elif key == "#":
        check(transaction, call, payment)
    else:
        payment.digits += key
        _wait(transaction, call, payment)


def check(transaction: Transaction, call: Call, payment: Payment) -> None:
    """Take the field that was keyed in, or ask for it again."""
    asked = _missing(payment)
    digits, payment.digits = payment.digits, ""
    if error := _error(asked[0], digits):
        payment.failures += 1
        if payment.failures > payment.verb.number("maxAttempts", 1):
            finish(transaction, call, payment, "too-many-failed-attempts", error)
        else:
            _ask(transaction, call, payment)
        return
    payment.entered[asked[0]] = digits
    payment.failures = 0
    if asked[1:]:
        _ask(transaction, call, payment)
    else:
        finish(transaction, call, payment, "success")


def _missing(payment: Payment) -> list[str]:
    verb = payment.verb
    left_out = {
        "SecurityCode": not verb.flag("securityCode", default=True),
        "PaymentCardPostalCode": verb.get("postalCode", "true") != "true",
    }
    return [name for name in FIELDS if name not in payment.entered and not left_out.get(name)]


def _error(name: str, digits: str) -> str:
    pattern, error = FIELDS[name]
    if not digits:
        return "input-timeout"
    if not re.fullmatch(pattern, digits):
        return error
    if name == "PaymentCardNumber":
        doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
        if sum(value - 9 * (value > 9) for value in doubled) % 10:  # the check digit (ISO/IEC 7812-1)
            return error
        return "" if _card_type(digits) else "invalid-card-type"
    return ""


def _card_type(number: str) -> str:
    return next((name for name, pattern in CARD_TYPES.items() if re.fullmatch(pattern, number)), "")


def finish(transaction: Transaction, call: Call, payment: Payment, result: str, error: str = "") -> None:
    """Request the action, with what is no secret of the card."""
    call.gather = None
    transaction.stop_timer(call.sid, "verb")
    verb, number = payment.verb, payment.entered.get("PaymentCardNumber", "")
    given_postal_code = verb.get("postalCode") if verb.get("postalCode") not in {"true", "false"} else ""
    form = {
        "Result": result,
        "PaymentMethod": "credit-card",
        "PaymentCardNumber": "x" * len(number[:-4]) + number[-4:],
        "PaymentCardType": _card_type(number),
        "ExpirationDate": payment.entered.get("ExpirationDate", ""),
        "SecurityCode": "x" * len(payment.entered.get("SecurityCode", "")),
        "PaymentCardPostalCode": payment.entered.get("PaymentCardPostalCode", given_postal_code),
        "PaymentError": error,
    }
    if result == "success":
        charges = verb.number("chargeAmount", 0) > 0
        form["PaymentConfirmationCode" if charges else "PaymentToken"] = transaction.new_sid("PK")
    transaction.end_verb(call, verb, payment.base_url, tuple((name, value) for name, value in form.items() if value))
