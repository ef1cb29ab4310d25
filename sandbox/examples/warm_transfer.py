"""A warm transfer: an agent brings a colleague into the call, then leaves.

Run it with `TWILIO_ACCOUNT_SID`, `TWILIO_AUTH_TOKEN`, `TWILIO_API_URL`, and `TWILIO_NUMBER`. Set the voice URL of that
number to http://127.0.0.1:5000/voice. In a call: `curl -d conference=CALL_SID http://127.0.0.1:5000/transfer`.
"""

import asyncio
import os

from aiohttp import web
from twilio.rest import Client
from twilio.twiml.voice_response import Dial, VoiceResponse

AGENT, COLLEAGUE = "client:agent", "client:colleague"


class WarmTransfer:
    """The application. A conference has the name of the caller's call."""

    def __init__(self, client: Client, number: str) -> None:
        self._client = client
        self._number = number

    async def receive(self, request: web.Request) -> web.Response:
        """Dial the agent into a conference, and let the caller wait there."""
        conference = str((await request.post())["CallSid"])
        await self._dial(conference, AGENT, label="agent", end_conference_on_exit=True)
        twiml = VoiceResponse()
        dial = Dial()
        dial.conference(conference, start_conference_on_enter=False, end_conference_on_exit=True, wait_url="/wait")
        twiml.append(dial)
        return answer(twiml)

    async def wait(self, _request: web.Request) -> web.Response:
        """Entertain the caller until the agent answers."""
        twiml = VoiceResponse()
        twiml.say("Please hold for the next agent.")
        twiml.pause(length=10)
        return answer(twiml)

    async def transfer(self, request: web.Request) -> web.Response:
        """Dial the colleague into the conference."""
        conference = str((await request.post())["conference"])
        answered = str(request.url.with_path("/answered").with_query(conference=conference))
        callback = {"status_callback": answered, "status_callback_event": ["answered"]}
        await self._dial(conference, COLLEAGUE, label="colleague", end_conference_on_exit=True, **callback)
        return web.Response()

    async def release(self, request: web.Request) -> web.Response:
        """Let the agent leave without ending the call: the colleague is in."""
        conference = request.query["conference"]

        def change() -> None:
            (live,) = self._client.conferences.list(friendly_name=conference, status="in-progress", limit=1)
            live.participants("agent").update(end_conference_on_exit=False)

        await asyncio.to_thread(change)
        return web.Response()

    async def _dial(self, conference: str, to: str, **options: object) -> None:
        participants = self._client.conferences(conference).participants
        await asyncio.to_thread(participants.create, to=to, from_=self._number, **options)

    def make_app(self) -> web.Application:
        """Create the web application."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/voice", self.receive),
                web.post("/wait", self.wait),
                web.post("/transfer", self.transfer),
                web.post("/answered", self.release),
            ]
        )
        return app


def answer(twiml: VoiceResponse) -> web.Response:
    """Return the TwiML as Twilio wants it."""
    return web.Response(text=str(twiml), content_type="text/xml")


def main() -> None:
    """Serve the application of the account in the environment."""
    client = Client()
    client.api.base_url = os.environ.get("TWILIO_API_URL", client.api.base_url)
    web.run_app(WarmTransfer(client, os.environ["TWILIO_NUMBER"]).make_app(), host="127.0.0.1", port=5000)


if __name__ == "__main__":
    main()
