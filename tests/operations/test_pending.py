"""What sessions wait for."""

from conferral.operations.pending import list_waits
from conferral.operations.timeline import EffectRequest
from tests.statemachine.command_scenarios import added, ordering
from tests.statemachine.conference_scenarios import parked
from tests.statemachine.scenario import Scenario
from tests.statemachine.test_allowed import SITUATIONS
from tests.statemachine.transfer_scenarios import conferenced, dialing, talking
from tests.support.each import each
from tests.support.sample_logs import stored

LOST = ("sweep", "the sweep, which detects lost callbacks", 0)


def waits(story: Scenario) -> list[tuple[str, str, int]]:
    """By whom, for what, and how soon, milliseconds."""
    now_ms = story.session.updated_at_ms
    found = list_waits(stored(story), now_ms)
    return [(one.by, one.for_, one.comes_at_ms and one.comes_at_ms - now_ms) for one in found]


def test_ringing_agent_is_waited_for_until_twilio_is_queried() -> None:
    assert waits(Scenario().comes_in().call("agent", "ringing")) == [
        ("person", "agent to answer", 0),
        ("timer", "Conferral asks Twilio about the calls", 40_000),
        LOST,
    ]


def test_a_hold_is_waited_for_until_twilio_confirms_it() -> None:
    story = ordering().hold("customer")
    found = list_waits(stored(story), story.session.updated_at_ms)

    assert [one.for_ for one in found][:2] == [
        "Twilio's confirmation that customer is on hold",
        "the command 'hold customer' to finish",
    ]
    assert found[0].since_ms == story.session.updated_at_ms


def test_waits_list_held_parties_and_those_talking_meanwhile() -> None:
    two, three = ordering().hold("customer").confirms("customer"), added().hold("lawyer").confirms("lawyer")

    assert [what for by, what, _ in waits(two) if by == "person"] == ["someone to take customer off hold (unhold)"]
    assert [what for by, what, _ in waits(three) if by == "person"] == [
        "someone to take lawyer off hold (unhold)",
        "a party to hang up",
    ]


def test_a_hold_waits_for_its_limit_but_not_for_the_notice_before() -> None:
    for story in (ordering().hold("customer").confirms("customer"), talking("consult")):
        assert [found for found in waits(story) if found[0] == "timer"][-1] == (
            "timer",
            "Conferral ends the hold, and a consult with it (CONFERRAL_HOLD_LIMIT)",
            story.policy.hold_limit_ms - (story.now_ms - story.session.parties["customer"].held_since_ms),
        )


def test_parked_call_waits_to_be_retrieved_and_returns_after_timeout() -> None:
    assert waits(parked())[:2] == [
        ("person", "someone to retrieve the parked call", 0),
        ("timer", "the parked call goes back to the agent who parked it", 300_000),
    ]


def test_a_transfer_waits_for_the_target_then_for_the_agents_next_step() -> None:
    assert waits(dialing("consult").call("target", "ringing"))[0] == ("person", "target to answer", 0)
    assert waits(talking("consult"))[0] == ("person", "the agent to complete, cancel, swap, or merge", 0)
    assert waits(talking("warm"))[0] == ("person", "the agent to complete or cancel", 0)


def test_twilio_request_is_waited_for_even_at_the_end() -> None:
    asked = EffectRequest("e1", "hang_up_call", "agent", "hang up agent", 5)

    (wait,) = list_waits(stored(conferenced().end()), 10, [asked])

    assert (wait.by, wait.for_, wait.since_ms) == ("twilio", "Twilio's answer: hang up agent", 5)


@each("name", SITUATIONS)
def test_every_live_session_waits_for_something(name: str) -> None:
    session = SITUATIONS[name][0]().session
    if session.version and session.state != "ended":
        found = list_waits(stored(session), session.updated_at_ms)
        assert {one.by for one in found} > {"sweep"}
