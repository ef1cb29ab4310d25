"""What sessions wait for, and which commands they take."""

from conferral.operations.command_forms import CommandForm, command_forms
from conferral.operations.pending import list_waits
from conferral.operations.timeline import EffectRequest
from conferral.statemachine.machine import allowed_commands
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


# ---- suggested commands ----------------------------------------------------------------------------------------------


def of(story: Scenario) -> dict[str, CommandForm]:
    return {one.type: one for one in command_forms(stored(story))}


@each("name", SITUATIONS)
def test_buttons_are_allowed_as_commands_are_and_those_that_are_not_say_why(name: str) -> None:
    session = SITUATIONS[name][0]().session
    found = command_forms(stored(session)) if session.version else ()

    allowed = set(allowed_commands(session))
    idle = {one.type for one in found if one.type in allowed and not one.allowed}
    assert {one.type for one in found if one.allowed} == allowed - idle
    assert idle <= {"convert", "unhold", "unmute"}
    assert all(bool(one.reason) != one.allowed for one in found)
    assert len(found) in (0, 18)


def test_command_with_nothing_to_do_gives_the_reason_unless_that_is_uncertain() -> None:
    settled, asked = of(conferenced()), of(ordering().hold("customer"))
    held = of(ordering().hold("customer").confirms("customer"))

    assert [(settled[kind].allowed, settled[kind].reason) for kind in ("convert", "unhold", "unmute")] == [
        (False, "it is already in a conference"), (False, "no one is on hold"), (False, "no one is muted"),
    ]  # fmt: skip
    assert asked["unhold"].allowed
    assert (held["unhold"].allowed, held["unmute"].reason) == (True, "no one is muted")
    assert of(Scenario().answered())["convert"].allowed


def test_a_reason_is_the_machines_own() -> None:
    assert of(talking("warm"))["swap"].reason == "no consult is in progress: all parties are talking"
    assert of(conferenced().end())["hold"].reason == "the session has ended (command)"


def test_only_what_would_be_taken_can_be_chosen() -> None:
    held = of(ordering().hold("agent").confirms("agent"))

    assert {field.name: field.options for field in held["supervise"].fields}["mode"] == ("monitor", "barge")
    assert held["unhold"].fields[0].options == ("agent",)
    assert of(conferenced())["hold"].fields[0].options == ("customer", "agent")


def test_command_that_hangs_someone_up_warns_of_it() -> None:
    found = of(conferenced())

    assert found["end"].danger == "Disconnects the customer and the agent"
    assert "Removing the customer ends the call" in found["remove"].danger
    assert [one.type for one in found.values() if one.danger] == ["remove", "end"]
