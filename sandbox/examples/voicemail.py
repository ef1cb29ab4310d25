"""Voicemail: who doesn't get an answer leaves a message.

Run it, then set a number's voice URL to http://127.0.0.1:5000/voice.
"""

from dataclasses import dataclass

import aiohttp
from aiohttp import web
from twilio.twiml.voice_response import VoiceResponse

OWNER = "+12025550177"


@dataclass
class Message:
    """What a caller left."""

    caller: str
    duration_s: int
    wav: bytes


class Voicemail:
    """The application, with the messages so far."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._callers: dict[str, str] = {}  # by the SID of their call

    async def ring(self, request: web.Request) -> web.Response:
        """Dial the owner first."""
        form = await request.post()
        self._callers[str(form["CallSid"])] = str(form["From"])
        twiml = VoiceResponse()
        twiml.dial(timeout=15, action="/after-dial").number(OWNER)
        return answer(twiml)

    async def after_dial(self, request: web.Request) -> web.Response:
        """Take a message, unless the two have talked."""
        twiml = VoiceResponse()
        if (await request.post())["DialCallStatus"] == "completed":
            twiml.hangup()
            return answer(twiml)
        twiml.say("Please leave a message after the beep. Press the pound key when you are done.")
        twiml.record(
            action="/goodbye", max_length=120, timeout=3, finish_on_key="#", recording_status_callback="/recorded"
        )
        twiml.say("I did not hear a message. Goodbye.")
        return answer(twiml)

    async def goodbye(self, _request: web.Request) -> web.Response:
        """End the call after a message."""
        twiml = VoiceResponse()
        twiml.say("Thank you. Goodbye.")
        twiml.hangup()
        return answer(twiml)

    async def keep(self, request: web.Request) -> web.Response:
        """Download a message as soon as its file is complete."""
        form = await request.post()
        url = str(form["RecordingUrl"]) + ".wav"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            response.raise_for_status()
            wav = await response.read()
        caller = self._callers.pop(str(form["CallSid"]))
        self.messages.append(Message(caller, int(str(form["RecordingDuration"])), wav))
        return web.Response()

    def make_app(self) -> web.Application:
        """Create the web application."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/voice", self.ring),
                web.post("/after-dial", self.after_dial),
                web.post("/goodbye", self.goodbye),
                web.post("/recorded", self.keep),
            ]
        )
        return app


def answer(twiml: VoiceResponse) -> web.Response:
    """Return the TwiML as Twilio wants it."""
    return web.Response(text=str(twiml), content_type="text/xml")


if __name__ == "__main__":
    web.run_app(Voicemail().make_app(), host="127.0.0.1", port=5000)
