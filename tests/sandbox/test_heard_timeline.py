"""The tools that story tests use, on a transfer that is played on the sandbox alone, over HTTP."""

import pytest

from conferral.sandbox import Sandbox
from tests.sandbox.model_scenario import BUSINESS, CUSTOMER
from tests.sandbox.webhook_app import WebhookApp
from tests.support.heard_timeline import HeardTimeline
from tests.support.phones import answers, dialed


@pytest.fixture
def listening(sandbox: Sandbox) -> HeardTimeline:
    return HeardTimeline(sandbox)


async def test_who_heard_whom_and_what_before(bridging: WebhookApp, sandbox: Sandbox, listening: HeardTimeline) -> None:
    sandbox.phone("client:alice").script_in_turn(answers(2.0))
    customer = await sandbox.call_in(CUSTOMER, BUSINESS)
    agent = await dialed(sandbox, "client:alice")
    await sandbox.wait_until(lambda: listening.has_heard(customer, agent))
    bridged_s = listening.now()
    listening.name(customer=customer, agent=agent)

    assert listening.whats(customer)[-2:] == ["ringing", frozenset({agent.sid})], listening.described()
    assert listening.seconds(customer, "ringing") > 0
    assert listening.never_heard(customer, agent, until_s=bridged_s - 1.0)
    assert not listening.never_heard(customer, agent)
    assert not listening.never_heard(agent, customer)
    assert "agent" in listening.described(customer)


async def test_silence_counts_from_the_answer_in_one_piece_and_between_two_moments(
    app: WebhookApp, sandbox: Sandbox, listening: HeardTimeline
) -> None:
    app.on("/voice", "<Response><Pause length='4'/><Say>Hi</Say><Pause length='3'/><Play>a.wav</Play></Response>")

    call = await sandbox.call_in(CUSTOMER, BUSINESS)
    await sandbox.wait_until(lambda: call.status == "completed")

    said, silent, wait_audio = listening.heard(call)[1:]
    assert (said.what, silent.what, wait_audio.what) == ("said Hi", "silence", "music")
    assert listening.longest_silence(call) == pytest.approx(3.0)
    assert listening.longest_silence(call, silent.from_s + 1.0, silent.to_s - 0.5) == pytest.approx(1.5)
    until_s = wait_audio.from_s + 2.0
    assert listening.heard(call, wait_audio.from_s + 1.0, until_s)[0].to_s == pytest.approx(until_s)
