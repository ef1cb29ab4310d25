"""Choose the agent in your own app; Conferral connects the caller.

The number's voice URL is this app's /inbound. Needs APP_URL and VOICE_URL (Conferral's), TWILIO_AUTH_TOKEN, and, if
webhook rules of the account sign with shared keys, TWILIO_WEBHOOK_KEYS. Conferral needs
CONFERRAL_RETURN_URLS=APP_URL/unanswered. Run it with `flask --app examples/flask_routing.py run`.
"""

import os
from urllib.parse import urlencode

from flask import Flask, Response, abort, request
from twilio.request_validator import SIGNATURE_SETTINGS_HEADER, RequestValidator, get_signature_algorithm
from twilio.twiml.voice_response import VoiceResponse

APP_URL, VOICE_URL = os.environ["APP_URL"], os.environ["VOICE_URL"]
KEYS = dict(pair.split("=", 1) for pair in os.environ.get("TWILIO_WEBHOOK_KEYS", "").split(",") if pair)
#: By the id of a shared key; the auth token has none.
SECRETS = KEYS | {"": os.environ["TWILIO_AUTH_TOKEN"]}
#: Who looks after which caller; everyone else gets `DEFAULT_AGENT`.
AGENTS = {"+14155550123": "client:bob"}
DEFAULT_AGENT = "client:alice"

app = Flask(__name__)
#: Numbers to call back, with the reference of their call.
callbacks: list[tuple[str, str]] = []


@app.before_request
def refuse_unsigned_requests() -> None:
    """Accept requests of Twilio only."""
    url, signature = APP_URL + request.full_path.removesuffix("?"), request.headers.get("X-Twilio-Signature", "")
    named = request.headers.get(SIGNATURE_SETTINGS_HEADER, "")  # such as key=ID,algorithm=HMAC_SHA256
    secret = SECRETS.get(dict(part.partition("=")[::2] for part in named.split(",")).get("key", ""))
    algorithm = get_signature_algorithm(named)
    if secret is None or not RequestValidator(secret).validate(url, request.form, signature, algorithm):
        abort(403)


@app.post("/inbound")
def inbound() -> Response:
    """Hand the caller over to their agent."""
    options = {
        "to": AGENTS.get(request.form["From"], DEFAULT_AGENT),
        "ref": f"call-{request.form['CallSid'][-6:]}",
        "timeout": "20",
        "fallback": f"{APP_URL}/unanswered",
    }
    answer = VoiceResponse()
    answer.redirect(f"{VOICE_URL}/voice/handoff?{urlencode(options)}")
    return twiml(answer)


@app.post("/unanswered")
def unanswered() -> Response:
    """Offer a callback; `reason` says why no one took the call."""
    answer = VoiceResponse()
    if request.args["reason"] in ("busy", "no-answer", "rejected"):
        question = answer.gather(num_digits=1, action=f"/callback?{urlencode({'ref': request.args['ref']})}")
        question.say("Everyone is busy. To be called back, press 1.")
    answer.say("Please try again later. Goodbye.")
    return twiml(answer)


@app.post("/callback")
def callback() -> Response:
    """Note that the caller wants to be called back."""
    answer = VoiceResponse()
    if request.form["Digits"] == "1":
        callbacks.append((request.form["From"], request.args["ref"]))
        answer.say("We will call you back. Goodbye.")
    else:
        answer.say("Goodbye.")
    return twiml(answer)


def twiml(answer: VoiceResponse) -> Response:
    """Return TwiML to Twilio."""
    return Response(str(answer), content_type="text/xml")
