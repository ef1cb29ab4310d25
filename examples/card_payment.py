"""Take a card payment in a call, then bring the caller back.

Neither the agent nor Conferral hears the card. Needs APP_URL and VOICE_URL (Conferral's), TWILIO_AUTH_TOKEN, and at
Twilio a Pay Connector with the name `Default`. Conferral needs CONFERRAL_RETURN_URLS=APP_URL/pay. Run it with
`flask --app examples/card_payment.py run`.
"""

import os
from urllib.parse import urlencode

from flask import Flask, Response, abort, request
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import VoiceResponse

APP_URL, VOICE_URL = os.environ["APP_URL"], os.environ["VOICE_URL"]
VALIDATOR = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
DUE = {"order-7": "49.90", "order-8": "20.00"}  #: Amounts, by the `ref` of the agent's transfer.

app = Flask(__name__)
#: The processor's confirmation codes, by order; an order is charged once.
paid: dict[str, str] = {}


@app.before_request
def refuse_unsigned_requests() -> None:
    """Accept requests of Twilio only."""
    url, signature = APP_URL + request.full_path.removesuffix("?"), request.headers.get("X-Twilio-Signature", "")
    if not VALIDATOR.validate(url, request.form, signature):
        abort(403)


@app.post("/pay")
def pay() -> Response:
    """Ask for the card; the return URL that `agent` sends the caller to."""
    agent, ref = request.args["agent"], request.args.get("ref", "")
    if ref not in DUE or ref in paid:
        return back(agent, ref, "There was nothing to pay.")
    answer = VoiceResponse()
    answer.say("Please key in your card, each number with a pound key. To go back, press star.")
    answer.pay(charge_amount=DUE[ref], action=f"/paid?{urlencode({'agent': agent, 'ref': ref})}")
    return Response(str(answer), content_type="text/xml")


@app.post("/paid")
def after_payment() -> Response:
    """Note the result, and bring the caller back."""
    agent, ref, result = request.args["agent"], request.args["ref"], request.form["Result"]
    if result != "success":
        return back(agent, ref, f"{ref} is not paid: {result.replace('-', ' ')}.")
    paid[ref] = request.form["PaymentConfirmationCode"]
    return back(agent, ref, f"{ref} is paid.")


def back(agent: str, ref: str, brief: str) -> Response:
    """Hand the caller over to the agent, who first hears how it went."""
    answer = VoiceResponse()
    options = {"to": agent, "ref": ref, "brief": brief, "fallback": "voicemail"}
    answer.redirect(f"{VOICE_URL}/voice/handoff?{urlencode(options)}")
    return Response(str(answer), content_type="text/xml")
