"""The desk of `conferral_stack`, and what it does by itself, as the agent's page does."""

import pytest

from conferral import CommandFailed, CommandRejected
from conferral.testing import ConferralStack
from tests.support.people import BOB

pytestmark = pytest.mark.redis


@pytest.fixture
def twilio_sandbox_options():
    """Phones ring for some seconds, also on a busy machine."""
    return {"speed": 5}


@pytest.fixture
def conferral_stack_settings(tmp_path):
    path = tmp_path / "directory.toml"
    path.write_text('[inbound."+14155550100"]\nagents = ["client:alice", "client:bob"]\n')
    return {"CONFERRAL_DIRECTORY": str(path)}


def results(outcome) -> list[tuple[str, str]]:
    return [(one["to"], one["result"]) for one in outcome.data["attempts"]]


def test_second_caller_finds_the_agent_busy_and_reaches_the_next(conferral_stack: ConferralStack) -> None:
    alice, bob = conferral_stack.desk("alice"), conferral_stack.desk("bob")
    assert (alice.status, repr(alice)) == ("ready", "<Desk alice: ready>")
    first = conferral_stack.call(from_="+12025550101")
    alice.answer()
    assert first.hears(alice.phone)
    assert alice.session["parties"]["customer"]["address"] == "+12025550101"
    second = conferral_stack.call(from_="+12025550102")
    bob.answer()
    assert second.hears(bob.phone)
    assert (alice.status, bob.status) == ("busy", "busy")
    second.hang_up()
    assert results(conferral_stack.outcomes.next()) == [("client:alice", "busy"), ("client:bob", "answered")]


def test_caller_who_is_declined_rings_the_next_agent(conferral_stack: ConferralStack) -> None:
    alice, bob = conferral_stack.desk("alice"), conferral_stack.desk("bob")
    caller = conferral_stack.call()
    alice.decline()
    bob.answer()
    bob.hang_up()
    outcome = conferral_stack.outcomes.next("session")
    assert results(outcome) == [("client:alice", "rejected"), ("client:bob", "answered")]
    assert outcome.data["reason"] == "agent-left"
    assert not caller.is_live


def test_agent_who_is_away_is_not_rung(conferral_stack: ConferralStack) -> None:
    alice, bob = conferral_stack.desk("alice"), conferral_stack.desk("bob")
    alice.go_away()
    assert alice.status == "away"
    conferral_stack.call()
    bob.answer()
    assert not alice.phone.calls
    alice.go_ready()
    assert alice.status == "ready"


def test_call_of_a_crashed_browser_comes_back_by_itself(conferral_stack: ConferralStack) -> None:
    alice = conferral_stack.desk("alice")
    caller = conferral_stack.call()
    alice.answer()
    lost = alice.call
    lost.hang_up()
    conferral_stack.sandbox.wait_until(lambda: caller.hears(alice.phone) and alice.call != lost)


def test_refused_and_failed_commands_say_why(conferral_stack: ConferralStack) -> None:
    alice = conferral_stack.desk("alice")
    with pytest.raises(LookupError, match="alice has no call"):
        alice.hold()
    conferral_stack.call()
    alice.answer()
    with pytest.raises(CommandRejected, match="complete rejected: no transfer is in progress"):
        alice.complete()
    with pytest.raises(CommandRejected, match="transfer rejected: "):
        alice.transfer("client:bob", mode="hot")
    conferral_stack.sandbox.phones[BOB].script(outcome="busy")
    with pytest.raises(CommandFailed, match="add failed: busy"):
        alice.send("add", to=BOB, party="expert")


def test_wait_that_takes_too_long_says_what_happened(conferral_stack: ConferralStack) -> None:
    with pytest.raises(TimeoutError, match=r"(?s)alice was not rung within 0.2 s\nLast events.*Live calls: none"):
        conferral_stack.desk("alice").answer(timeout_s=0.2)
    with pytest.raises(ValueError, match="identity"):
        conferral_stack.desk("alice@example.com")


async def test_coroutines_await_a_desk(conferral_stack: ConferralStack) -> None:
    alice = conferral_stack.desk("alice")
    caller = conferral_stack.call()
    await alice.answer()
    await alice.park()
    assert caller.hears("music")
    assert alice is conferral_stack.desk("alice")
