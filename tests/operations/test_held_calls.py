"""Which calls keep their customer waiting, and since when."""

from conferral.operations import statistics
from conferral.operations.session_summary import HeldCall, held_call
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.session_codec import stored_session
from conferral.storage.codecs.text_codec import to_iso
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.conference_scenarios import parked
from tests.statemachine.scenario import Scenario
from tests.statemachine.transfer_scenarios import conferenced

Fields = dict[str, str]


def of(story: Scenario) -> Fields:
    return session_codec.encode(story.session)


def test_a_customer_on_hold_waits_from_the_confirmed_hold_on() -> None:
    story = ordering().later(1_000).hold("customer").confirms("customer")
    began = to_iso(story.session.updated_at_ms)
    story.later(9_000).mute("agent").confirms("agent")

    assert held_call(stored_session(of(story))) == HeldCall("on hold", began)


def test_a_parked_call_waits_since_it_was_parked() -> None:
    story = parked()

    assert held_call(stored_session(of(story))) == HeldCall("parked", to_iso(story.session.state_since_ms))


def test_a_call_in_conversation_and_one_that_is_over_keep_no_one_waiting() -> None:
    assert held_call(stored_session(of(conferenced()))) is None
    assert held_call(stored_session(of(parked()) | {"state": "ended"})) is None


def test_calls_that_wait_are_counted_with_the_longest() -> None:
    first, second = of(parked()), of(parked())
    second["state_since"] = to_iso(1_000)

    found = statistics.count_sessions((stored_session(one), None) for one in (first, second, of(conferenced())))

    assert (found.held, found.held_since) == (2, to_iso(1_000))
