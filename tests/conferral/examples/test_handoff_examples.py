"""The examples of hand-offs, with everything between the phones in place."""

import importlib.util
import json
import socket
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from twilio.request_validator import RequestValidator

from conferral.runtime.web.server import run_server
from offhook import AUTH_TOKEN
from tests.support.local_system import CUSTOMER, NUMBER, LocalSystem
from tests.support.people import BOB, TARGET

pytestmark = pytest.mark.redis
FOLDER = Path(__file__).parents[3] / "examples"
APP_URL = "https://app.example.com"


def load(name, monkeypatch, *, app_url, voice_url):
    """An example as a module, with its settings."""
    for variable, value in (("APP_URL", app_url), ("VOICE_URL", voice_url), ("TWILIO_AUTH_TOKEN", AUTH_TOKEN)):
        monkeypatch.setenv(variable, value)
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def flask_example(conferral_stack, monkeypatch):
    urls = {"app_url": conferral_stack.app_url, "voice_url": conferral_stack.url}
    example = load("flask_routing", monkeypatch, **urls)
    conferral_stack.serve(example.app)
    return example


def test_flask_app_chooses_the_agent(flask_example, conferral_stack):
    bob = conferral_stack.sandbox.phones[BOB].script(answer_after_s=1)
    caller = conferral_stack.call("/inbound", from_=next(iter(flask_example.AGENTS)))
    conferral_stack.sandbox.wait_until(lambda: caller.hears(bob))


def test_flask_app_offers_a_callback_if_the_agent_is_busy(flask_example, conferral_stack):
    conferral_stack.sandbox.phones[conferral_stack.agent].script(outcome="busy")
    conferral_stack.sandbox.phones[TARGET].script(keys="1")
    caller = conferral_stack.call("/inbound", from_=TARGET)
    conferral_stack.sandbox.wait_until(lambda: caller.was_told("We will call you back"))

    assert flask_example.callbacks == [(TARGET, f"call-{caller.sid[-6:]}")]


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
