"""Which commands a session takes, with which choices, and why not others."""

from conferral.commands.forms import CommandForm, command_forms
from conferral.statemachine.events import COMMANDS
from conferral.statemachine.machine import allowed_commands
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.scenario import Scenario
from tests.statemachine.test_allowed import SITUATIONS
from tests.statemachine.transfer_scenarios import conferenced, talking
from tests.support.each import each
from tests.support.sample_logs import stored


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
    assert len(found) in (0, len([one for one in COMMANDS if not one.opens_session]))


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
