"""The examples of hand-offs, with everything between the phones in place."""

import importlib.util
import json
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from twilio.request_validator import RequestValidator
from werkzeug.serving import make_server

from conferral.runtime.web.server import run_server
from offhook.runtime import AUTH_TOKEN
from tests.support.local_system import CUSTOMER, NUMBER, LocalSystem
from tests.support.people import BOB
from tests.support.phones import answers, busy

pytestmark = pytest.mark.redis
FOLDER = Path(__file__).parents[2] / "examples"
APP_URL = "https://app.example.com"


def load(name, monkeypatch, *, app_url, voice_url):
    """An example as a module, with its settings."""
    for variable, value in (("APP_URL", app_url), ("VOICE_URL", voice_url), ("TWILIO_AUTH_TOKEN", AUTH_TOKEN)):
        monkeypatch.setenv(variable, value)
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def serving(app, listening):
    """A Flask app that answers in a thread of its own."""
    server = make_server("127.0.0.1", listening.getsockname()[1], app, threaded=True, fd=listening.fileno())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("is_answered", [True, False])
async def test_flask_app_chooses_the_agent_and_offers_a_callback_if_they_are_busy(
    redis_server, monkeypatch, is_answered
):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with LocalSystem(redis_server.url, speed=20, CONFERRAL_RETURN_URLS=f"{url}/unanswered") as system:
            system.sandbox.phone(BOB).script_in_turn(answers() if is_answered else busy())
            example = load("flask_routing", monkeypatch, app_url=url, voice_url=system.public_url)
            with serving(example.app, listening):
                customer = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{url}/inbound")
                bob = await system.dialed(BOB)
                if is_answered:
                    await system.until_talk(customer, bob)
                    session = await system.until(customer.sid, state="conferenced", phase="connected")
                    assert session["ref"] == f"call-{customer.sid[-6:]}"
                    await system.ended_by_hang_up(customer, customer.sid, "customer-left")
                else:
                    await system.until(customer.sid, state="ended", end_reason="returned")

                    async def is_asked():
                        return customer.record.activity == "gathering"

                    await system.eventually(is_asked, "the app asks whether to call back")
                    customer.press("1")
                    await system.eventually(lambda: example.callbacks, "the app notes the callback")
                    assert example.callbacks == [(CUSTOMER, f"call-{customer.sid[-6:]}")]
                    await system.settled()


def test_flask_app_refuses_what_twilio_did_not_sign(monkeypatch):
    example = load("flask_routing", monkeypatch, app_url=APP_URL, voice_url="https://voice.example.com")

    assert example.app.test_client().post("/inbound", data={"From": CUSTOMER}).status_code == 403


SHARED_KEY = "webhooks_sharedkey_1"


def headers_by_key(url, form, key_id=SHARED_KEY):
    signature = RequestValidator("key=secret").compute_signature(url, form, "HMAC_SHA256")
    named = f"key={key_id},algorithm=HMAC_SHA256"
    return {"X-Twilio-Signature": signature, "X-Twilio-Webhooks-Signature-Settings": named}


async def test_examples_accept_the_shared_key_that_a_request_names(monkeypatch):
    monkeypatch.setenv("TWILIO_WEBHOOK_KEYS", f"{SHARED_KEY}=key=secret")
    form = {"From": CUSTOMER, "CallSid": "CA" + "1" * 32}
    flask = load("flask_routing", monkeypatch, app_url=APP_URL, voice_url="https://voice.example.com")
    bot = load("conversation_relay", monkeypatch, app_url=APP_URL, voice_url="https://voice.example.com")
    async with TestClient(TestServer(bot.make_app())) as client:
        for key_id, status in ((SHARED_KEY, 200), ("another", 403)):
            headers = headers_by_key(f"{APP_URL}/inbound", form, key_id)
            assert flask.app.test_client().post("/inbound", data=form, headers=headers).status_code == status
            headers = headers_by_key(f"{APP_URL}/voice", form, key_id)
            assert (await client.post("/voice", data=form, headers=headers)).status == status


async def test_bot_hands_over_with_a_summary_of_what_the_caller_said(redis_server, monkeypatch):
    async with LocalSystem(redis_server.url, speed=20) as system:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        example = load("conversation_relay", monkeypatch, app_url=url, voice_url=system.public_url)
        said = await talked(example, "seven", "I want to change it")
        assert [message["token"] for message in said[:-1]] == list(example.QUESTIONS)
        # The sandbox opens no WebSocket: its bot ends as the example's did.
        system.sandbox.script_bot(handoff_data=said[-1]["handoffData"])
        async with run_server(example.make_app(), "127.0.0.1", port, shutdown_s=1):
            customer = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{url}/voice")
            await system.until(customer.sid, state="conferenced", phase="connected")
        agent = await system.agent_leg(customer)
        await system.until_talk(customer, agent)
        assert "said Order number: seven. The caller says: I want to change it" in system.sounds(agent)
        assert agent.record.to.endswith("?order=seven")
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")


async def talked(example, *prompts):
    """What the bot sends over its WebSocket to a caller who says this."""
    signature = RequestValidator(AUTH_TOKEN).compute_signature(example.BOT_URL, {})
    heard = []
    async with (
        TestClient(TestServer(example.make_app())) as twilio,
        twilio.ws_connect("/bot", headers={"X-Twilio-Signature": signature}) as bot,
    ):
        await bot.send_json({"type": "setup", "callSid": "CA" + "1" * 32})
        heard.append(await bot.receive_json())
        for text in prompts:
            await bot.send_json({"type": "prompt", "voicePrompt": text[:3], "lang": "en-US", "last": False})
            await bot.send_json({"type": "prompt", "voicePrompt": text, "lang": "en-US", "last": True})
            heard.append(await bot.receive_json())
    assert json.loads(heard[-1]["handoffData"])
    return heard


async def test_bot_refuses_what_twilio_did_not_sign(monkeypatch):
    example = load("conversation_relay", monkeypatch, app_url=APP_URL, voice_url="https://voice.example.com")
    async with TestClient(TestServer(example.make_app())) as client:
        assert (await client.get("/bot")).status == 403
        assert (await client.post("/voice", data={"From": CUSTOMER})).status == 403
