"""The examples, each tested as its author would: through the fixture `twilio_sandbox`."""

import io
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import menu
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from twilio.rest import Client
from voicemail import OWNER, Voicemail
from warm_transfer import WarmTransfer

from offhook.testing import TwilioSandbox

NUMBER, CALLER = "+14155550100", "+12025550123"
Serve = Callable[[web.Application], Awaitable[str]]


@pytest.fixture
async def serve(twilio_sandbox: TwilioSandbox) -> AsyncIterator[Serve]:
    """Starts an application behind the number, and returns its URL."""
    async with AsyncExitStack() as servers:

        async def start(app: web.Application) -> str:
            server = await servers.enter_async_context(TestServer(app))
            twilio_sandbox.add_number(NUMBER, voice_url=str(server.make_url("/voice")))
            return str(server.make_url(""))

        yield start


async def test_menu_connects_a_caller_who_asks_for_sales(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    await serve(menu.make_app())
    sales = twilio_sandbox.phones[menu.SALES].script(answer_after_s=2)
    call = twilio_sandbox.phones[CALLER].script(speaks=["Pizza", "I want to talk to sales."]).call(NUMBER)
    await twilio_sandbox.wait_until(lambda: call.hears(sales))
    assert call.was_told("For sales, press 1")
    assert call.was_told("did not understand")
    assert call.was_told("connecting you to sales")
    assert sales.rang_for_s > 1.9


async def test_menu_answers_a_pressed_key(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    await serve(menu.make_app())
    call = twilio_sandbox.phones[CALLER].script(keys="2").call(NUMBER)
    await twilio_sandbox.wait_until(lambda: call.status == "completed")
    assert call.was_told("from nine to five")


async def test_message_can_be_played(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    voicemail = Voicemail()
    await serve(voicemail.make_app())
    twilio_sandbox.phones[OWNER].script(outcome="busy")
    call = twilio_sandbox.phones[CALLER].script(speaks="Please call me back tomorrow morning.").call(NUMBER)
    await twilio_sandbox.wait_until(lambda: call.status == "completed" and voicemail.messages)
    (message,) = voicemail.messages
    assert message.caller == CALLER
    with wave.open(io.BytesIO(message.wav)) as sound:
        assert int(sound.getnframes() / sound.getframerate()) == message.duration_s > 0
    assert twilio_sandbox.recordings[0].text == "Please call me back tomorrow morning."
    assert call.was_told("Thank you. Goodbye.")


async def test_silent_caller_leaves_no_message(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    voicemail = Voicemail()
    await serve(voicemail.make_app())
    twilio_sandbox.phones[OWNER].script(outcome="no-answer")
    call = twilio_sandbox.phones[CALLER].call(NUMBER)
    await twilio_sandbox.wait_until(lambda: call.status == "completed")
    await twilio_sandbox.wait_until_idle()
    assert call.was_told("I did not hear a message")
    assert voicemail.messages == []


async def test_caller_talks_to_the_colleague_after_the_agent_left(
    twilio_sandbox: TwilioSandbox, twilio_client: Client, serve: Serve
) -> None:
    url = await serve(WarmTransfer(twilio_client, NUMBER).make_app())
    agent = twilio_sandbox.phones["client:agent"].script(answer_after_s=3)
    colleague = twilio_sandbox.phones["client:colleague"].script(answer_after_s=2)
    call = twilio_sandbox.phones[CALLER].call(NUMBER)
    await twilio_sandbox.wait_until(lambda: call.hears(agent))
    assert call.was_told("Please hold")

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/transfer", data={"conference": call.sid}) as answer,
    ):
        assert answer.status == 200
    await twilio_sandbox.wait_until(lambda: len(twilio_sandbox.conference(call.sid).participants) == 3)
    await twilio_sandbox.wait_until_idle()
    agent.last_call.hang_up()
    assert twilio_sandbox.conference(call.sid).participants == [call, colleague.last_call]
    assert call.hears(colleague)
    colleague.last_call.hang_up()
    await twilio_sandbox.wait_until(lambda: call.status == "completed")
