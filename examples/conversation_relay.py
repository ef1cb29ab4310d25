"""A bot for Twilio's ConversationRelay that hands over to a person.

The number's voice URL is this app's /voice. Needs APP_URL and VOICE_URL (Conferral's), TWILIO_AUTH_TOKEN, and, if
webhook rules of the account sign with shared keys, TWILIO_WEBHOOK_KEYS. The bot follows a script; call your language
model where `Bot.reply` does. Source: Twilio docs, ConversationRelay, WebSocket messages.
"""

import json
import os
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from twilio.request_validator import SIGNATURE_SETTINGS_HEADER, RequestValidator, get_signature_algorithm
from twilio.twiml.voice_response import Connect, VoiceResponse

APP_URL, VOICE_URL = os.environ["APP_URL"], os.environ["VOICE_URL"]
KEYS = dict(pair.split("=", 1) for pair in os.environ.get("TWILIO_WEBHOOK_KEYS", "").split(",") if pair)
#: By the id of a shared key; the auth token has none.
SECRETS = KEYS | {"": os.environ["TWILIO_AUTH_TOKEN"]}
BOT_URL = f"wss://{APP_URL.partition('://')[2]}/bot"
QUESTIONS = ("What is your order number?", "And what can we do for you?")
#: Longest answer in the summary (characters): a `brief` above 500 would be cut.
ANSWER_MAX = 150


@dataclass
class Bot:
    """One conversation."""

    answers: list[str] = field(default_factory=list)

    def reply(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to one of Twilio's messages; None for nothing."""
        match message:
            case {"type": "setup"}:
                return say(QUESTIONS[0])
            case {"type": "prompt", "voicePrompt": str(said), "last": True}:
                self.answers.append(said[:ANSWER_MAX])
                if len(self.answers) < len(QUESTIONS):
                    return say(QUESTIONS[len(self.answers)])
                return self.hand_over()
        return None  # a partial prompt, an interruption, a key, or an error

    def hand_over(self) -> dict[str, Any]:
        """End the session; Conferral's options travel in `handoffData`."""
        order, wish = self.answers
        data = {"brief": f"Order number: {order}. The caller says: {wish}", "params": {"order": order}}
        return {"type": "end", "handoffData": json.dumps(data)}


def say(text: str) -> dict[str, Any]:
    """Return the message that lets the caller hear a text."""
    return {"type": "text", "token": text, "last": True}


async def voice(request: web.Request) -> web.Response:
    """Connect the caller to the bot, and after it to Conferral."""
    form = {name: str(value) for name, value in (await request.post()).items()}
    refuse_unsigned(request, f"{APP_URL}/voice", form)
    answer, connect = VoiceResponse(), Connect(action=f"{VOICE_URL}/voice/handoff")
    connect.conversation_relay(url=BOT_URL, welcome_greeting="Hello.")
    answer.append(connect)
    return web.Response(text=str(answer), content_type="text/xml")


async def talk(request: web.Request) -> web.WebSocketResponse:
    """Talk to one caller over Twilio's WebSocket."""
    refuse_unsigned(request, BOT_URL, {})
    socket, bot = web.WebSocketResponse(), Bot()
    await socket.prepare(request)
    async for received in socket:
        if received.type is WSMsgType.TEXT and (answer := bot.reply(json.loads(received.data))):
            await socket.send_json(answer)
    return socket


def refuse_unsigned(request: web.Request, url: str, form: dict[str, str]) -> None:
    """Accept requests of Twilio only."""
    signature = request.headers.get("X-Twilio-Signature", "")
    named = request.headers.get(SIGNATURE_SETTINGS_HEADER, "")  # such as key=ID,algorithm=HMAC_SHA256
    secret = SECRETS.get(dict(part.partition("=")[::2] for part in named.split(",")).get("key", ""))
    algorithm = get_signature_algorithm(named)
    if secret is None or not RequestValidator(secret).validate(url, form, signature, algorithm):
        raise web.HTTPForbidden


def make_app() -> web.Application:
    """Return the app: the number's voice URL, and the bot's WebSocket."""
    app = web.Application()
    app.add_routes([web.post("/voice", voice), web.get("/bot", talk)])
    return app


if __name__ == "__main__":
    web.run_app(make_app(), port=8090)
