"""A menu: callers press a key, or say what they want.

Run it, then set a number's voice URL to http://127.0.0.1:5000/voice.
"""

from aiohttp import web
from twilio.twiml.voice_response import Gather, VoiceResponse

SALES = "client:sales"


async def greet(_request: web.Request) -> web.Response:
    """Ask until the caller answers."""
    twiml = VoiceResponse()
    gather = Gather(input="dtmf speech", num_digits=1, speech_timeout="auto", hints="sales, hours", action="/choice")
    gather.say("For sales, press 1, or say: sales. For our opening hours, press 2, or say: hours.")
    twiml.append(gather)
    twiml.redirect("/voice")
    return answer(twiml)


async def choose(request: web.Request) -> web.Response:
    """Do what the caller wants."""
    form = await request.post()
    key, said = form.get("Digits", ""), str(form.get("SpeechResult", "")).lower()
    twiml = VoiceResponse()
    if key == "1" or "sales" in said:
        twiml.say("I am connecting you to sales.")
        twiml.dial().client(SALES.removeprefix("client:"))
    elif key == "2" or "hours" in said:
        twiml.say("We are open from nine to five.")
    else:
        twiml.say("Sorry, I did not understand that.")
        twiml.redirect("/voice")
    return answer(twiml)


def answer(twiml: VoiceResponse) -> web.Response:
    """Return the TwiML as Twilio wants it."""
    return web.Response(text=str(twiml), content_type="text/xml")


def make_app() -> web.Application:
    """Create the application."""
    app = web.Application()
    app.add_routes([web.post("/voice", greet), web.post("/choice", choose)])
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=5000)
