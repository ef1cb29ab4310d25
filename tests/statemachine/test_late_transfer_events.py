"""Events that arrive late during a transfer: they are logged, and nothing follows."""

from dataclasses import replace

from tests.statemachine.scenario import OTHER_CONFERENCE
from tests.statemachine.transfer_scenarios import ringing, talking


def test_join_of_a_conference_that_the_session_has_left_is_late():
    story = talking("warm")
    story.session = replace(story.session, former_conferences=(OTHER_CONFERENCE,))
    story.joins("agent", conference=OTHER_CONFERENCE).expect("transferring", outcome="stale")


def test_decision_of_the_gate_about_a_former_dial_is_only_logged():
    story = ringing("warm")
    story.legs["former target"] = replace(story.legs["target"], dial="former-dial", call_sid="CA" + "9" * 32)
    story.gate("former target", "rejected").expect("transferring", phase="warm")
