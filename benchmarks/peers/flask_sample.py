"""A warm transfer as Twilio's samples do it: Flask, twilio-python, and a dictionary in each process.

Source: https://www.twilio.com/docs/voice/tutorials/warm-transfer/python; signatures are checked as Twilio's guide for
Flask does. Nothing follows the calls: what a callback would report, or what fails, no one notices.
"""

import os
from collections.abc import Callable
from functools import wraps

from flask import Flask, Response, abort, request
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import Dial, VoiceResponse

app = Flask(__name__)
client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
client.api.base_url = os.environ["TWILIO_API_URL"]
validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
PUBLIC_URL, NUMBER, AGENT = os.environ["PUBLIC_URL"], os.environ["TWILIO_NUMBER"], os.environ["AGENT"]
#: The conference's parties. Each of gunicorn's processes knows those that it has dialed itself.
active_calls: dict[str, list[str]] = {}


def signed(view: Callable[..., Response]) -> Callable[..., Response]:
    """Refuse a request that Twilio did not sign."""

    @wraps(view)
    def checked(**arguments: str) -> Response:
        url = PUBLIC_URL + request.full_path.rstrip("?")
        if not validator.validate(url, request.form, request.headers.get("X-Twilio-Signature", "")):
            abort(403)
        return view(**arguments)

    return checked


def join(conference: str, *, starts: bool, ends: bool) -> Response:
    """Return the TwiML of a party."""
    dial = Dial()
    dial.conference(
        conference, start_conference_on_enter=starts, end_conference_on_exit=ends, wait_url=f"{PUBLIC_URL}/wait"
    )
    response = VoiceResponse()
    response.append(dial)
    return Response(str(response), mimetype="text/xml")


def call(conference: str, to: str, party: str) -> None:
    """Dial a party, who joins when they answer."""
    client.calls.create(to=to, from_=NUMBER, url=f"{PUBLIC_URL}/conference/{conference}/{party}")
    active_calls.setdefault(conference, []).append(to)


@app.get("/healthz")
def healthz() -> Response:
    """Answer."""
    return Response()


@app.post("/voice")
@signed
def voice() -> Response:
    """Let the caller wait, and dial the agent."""
    call(request.form["CallSid"], AGENT, "agent")
    return join(request.form["CallSid"], starts=False, ends=False)


@app.post("/conference/<conference>/<party>")
@signed
def connect(conference: str, party: str) -> Response:
    """Let the agent or the target join."""
    return join(conference, starts=True, ends=party == "target")


@app.post("/wait")
@signed
def wait() -> Response:
    """Play something while a party waits alone."""
    response = VoiceResponse()
    response.say("Thank you for calling. Please wait in line for a few seconds.")
    response.pause(length=60)
    return Response(str(response), mimetype="text/xml")


@app.post("/transfer/<conference>")
def transfer(conference: str) -> Response:
    """Dial the target, who then talks with both; the agent's page asks for it."""
    call(conference, request.form["to"], "target")
    return Response(status=204)
