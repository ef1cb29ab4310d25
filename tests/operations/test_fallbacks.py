"""What is shown while no one takes a call: its fallback, and the voicemail."""

from conferral.console.messages import row
from conferral.operations.explain import facts
from conferral.operations.explain.attention import RECOVERED, attention_of, is_lone
from conferral.operations.explain.explanation import explain, suggested_commands
from conferral.operations.explain.waits import list_waits
from conferral.statemachine.policy import Policy
from conferral.storage.codecs.session_codec import public
from tests.statemachine import test_lost_agents as lost_agents
from tests.statemachine.conference_scenarios import parked
from tests.statemachine.scenario import CAROL, Scenario
from tests.statemachine.test_bridge_gate import asked
from tests.statemachine.test_fallbacks import in_voicemail, message, unanswered, unreached
from tests.support.each import each
from tests.support.sample_logs import stored


def rings_for_caller() -> Scenario:
    """No agent took the call, and the fallback's phone rings."""
    return unanswered(f"{CAROL},voicemail").placed("target").call("target", "ringing")


def caller_in_voicemail() -> Scenario:
    return message(in_voicemail(unanswered("voicemail")), "in-progress")


def said(story: Scenario) -> tuple[str, ...]:
    return explain(stored(story), (), story.session.updated_at_ms).summary


# ---- an inbound call's fallback is no transfer ---------------------------------------------------------------------


@each("begin", [rings_for_caller, caller_in_voicemail])
def test_an_inbound_fallback_is_shown_as_no_transfer(begin) -> None:
    story = begin()
    session = stored(story)

    assert facts.transfer_line(session) == ""
    assert attention_of(session, story.session.updated_at_ms) is None
    assert not is_lone(session)
    shown = row(session, None, {}, full=False)
    assert (shown["transfer"], shown["transfer_status"]) == ("", "")
    assert not any("transfer:" in sentence for sentence in said(story))


def test_recall_of_a_lost_agent_is_shown_as_no_transfer_beside_an_earlier_one() -> None:
    story = lost_agents.is_live(lost_agents.after_a_transfer().leaves("agent"))
    session = stored(story)

    assert (session.phase, public(session)["transfer"]["status"]) == ("recall", "completed")
    assert facts.transfer_line(session).endswith("completed")
    assert attention_of(session, story.session.updated_at_ms) is None
    assert not is_lone(session)
    assert "Transferring (recall)" in said(story)[0]


def test_a_caller_whom_the_fallback_took_is_not_suggested_another_transfer() -> None:
    story = rings_for_caller().takes_part("target")

    (first, *_) = suggested_commands(stored(story))
    assert first.why == "transfers the customer"


# ---- what is waited for ---------------------------------------------------------------------------------------------


def test_a_caller_in_the_voicemail_is_waited_for() -> None:
    story = caller_in_voicemail()
    waits = list_waits(stored(story), (), story.session.updated_at_ms)

    assert [one.for_ for one in waits][:2] == [
        "the customer to leave a message or hang up",
        "Conferral asks Twilio whether the message is over",
    ]
    assert [one.command for one in suggested_commands(stored(story))] == ["end"]


def test_an_agent_on_a_bridge_is_asked_to_press_a_key() -> None:
    assert "agent to press 1" in [one.for_ for one in list_waits(stored(asked()), (), 0)]


# ---- a transfer that failed, and what follows ----------------------------------------------------------------------


@each(
    "begin, follows",
    [
        (lambda: unreached(f"{CAROL},recall"), "dialing the fallback"),
        (lambda: in_voicemail(unreached("voicemail")), "the customer is in the voicemail"),
    ],
)
def test_a_failed_transfer_needs_no_one_while_its_fallback_goes_on(begin, follows) -> None:
    story = begin()
    found = attention_of(stored(story), story.session.updated_at_ms)

    assert (found.rank, found.text) == (RECOVERED, f"transfer failed: target was busy; {follows}")
    assert any(sentence.startswith("Recovering. Transfer failed") for sentence in said(story))


def test_each_failed_place_is_named() -> None:
    story = unreached(f"{CAROL},recall").placed("target").call("target", "no-answer").placed("agent")
    story.call("agent", "busy")
    found = attention_of(stored(story), story.session.updated_at_ms)

    words = "target was busy, the fallback did not answer, the agent was busy"
    assert found.text == f"transfer failed: {words}; calling the agent back"


def test_a_park_says_where_the_caller_goes() -> None:
    story = parked(Policy(fallback=("voicemail",)))
    waits = list_waits(stored(story), (), story.session.updated_at_ms)

    assert "the parked call goes on to its fallback" in [one.for_ for one in waits]
