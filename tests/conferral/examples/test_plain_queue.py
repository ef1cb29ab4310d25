"""Callers of a plain `<Enqueue>`, handed over by the program of docs/from-a-queue.md."""

import pytest
from twilio.twiml.voice_response import VoiceResponse

from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks
from tests.support.people import CUSTOMER, TARGET

pytestmark = pytest.mark.redis


@pytest.fixture
def serve_next(conferral_stack, twilio_client):
    """The page's function, with its client and URLs."""
    (text,) = blocks(ROOT / "docs/from-a-queue.md", "python")
    program = {"TWILIO": twilio_client, "VOICE_URL": conferral_stack.url, "APP_URL": conferral_stack.app_url}
    exec(text, program)
    return program["serve_next"]


@pytest.fixture
def enqueue(conferral_stack):
    """Let someone wait; every request of theirs to the app is answered with the same queue."""
    requests = []

    def app(environ, start_response):
        requests.append(environ["PATH_INFO"])
        answer = VoiceResponse()
        if environ["PATH_INFO"] != "/left":
            answer.enqueue("support", action="/left")
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [str(answer).encode()]

    def call(from_):
        caller = conferral_stack.call("/inbound", from_=from_)
        conferral_stack.sandbox.wait_until(lambda: caller.activity == "enqueued")
        return caller

    conferral_stack.serve(app)
    call.requests = requests
    return call


def test_caller_at_the_front_is_handed_over(conferral_stack, enqueue, serve_next):
    alice = conferral_stack.sandbox.phones[conferral_stack.agent].script(answer_after_s=1)
    first, second = enqueue(CUSTOMER), enqueue(TARGET)

    assert serve_next("support", conferral_stack.agent) == first.sid
    conferral_stack.sandbox.wait_until(lambda: first.hears(alice))
    assert second.activity == "enqueued"
    assert "/left" in enqueue.requests  # its answer, an empty document, ends no call


def test_caller_whom_no_one_answers_waits_at_the_end_of_the_queue(conferral_stack, enqueue, serve_next):
    conferral_stack.sandbox.phones[conferral_stack.agent].script(outcome="busy")
    first, second = enqueue(CUSTOMER), enqueue(TARGET)

    serve_next("support", conferral_stack.agent)
    conferral_stack.sandbox.wait_until(lambda: "/unanswered" in enqueue.requests and first.activity == "enqueued")
    assert serve_next("support", conferral_stack.agent) == second.sid


def test_no_one_is_handed_over_from_an_empty_queue(conferral_stack, enqueue, serve_next):
    assert serve_next("support", conferral_stack.agent) is None  # and none of that name
    caller = enqueue(CUSTOMER)
    caller.hang_up()
    conferral_stack.sandbox.wait_until(lambda: not caller.is_live)
    assert serve_next("support", conferral_stack.agent) is None
