"""Rare reads that show participants of whom the session knows nothing."""

import pytest

from tests.statemachine.command_scenarios import ordering
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import OTHER_CONFERENCE
from tests.statemachine.test_guests import rolled_back, shows, transferring, with_leg
from tests.statemachine.transfer_scenarios import conferenced


@pytest.mark.parametrize("inside", [("customer", "target"), ("agent", "target")], ids=" and ".join)
def test_target_without_both_parties_is_in_no_transfer(inside: tuple[str, ...]):
    story = shows(transferring(), *inside, agent="in-progress").expect("conferenced", phase="")
    assert story.session.parties["guest-1"].takes_part


def test_target_beside_an_agent_who_is_being_removed_is_in_no_transfer():
    story = transferring().remove("agent")
    shows(story, "customer", "agent", "target", agent="in-progress").expect("conferenced", phase="")


def test_target_who_rings_while_another_talks_to_all_is_no_part_of_the_transfer():
    story = with_leg(transferring(), "second", "target-2", "9", is_ringing=True)
    story = shows(story, "customer", "agent", "target", "second", agent="in-progress")
    story.expect("transferring", phase="warm").expect_transfer("merged")
    story.expect_parties(customer="connected", agent="connected", target="connected", guest_1="ringing")


def test_party_who_rings_is_not_hung_up_because_another_talks():
    story = with_leg(with_leg(rolled_back(), "lawyer", "lawyer-1"), "expert", "expert-2", "9", is_ringing=True)
    story = shows(story, "customer", "agent", "lawyer", "expert", agent="in-progress")
    assert not [words for words in story.words() if words.startswith("hang up")]
    assert story.session.parties["expert"].status == "ringing"


def test_participant_of_another_conference_is_not_added():
    story = as_conference(rolled_back().reads(agent="in-progress", conference=OTHER_CONFERENCE, inside=("target",)))
    story.expect_parties(customer="connected", agent="connected")


def test_added_party_whose_join_came_before_their_dial_takes_part_once_the_dial_is_answered():
    story = with_leg(ordering(conferenced).add(), "lawyer", "lawyer-1").joins("lawyer")
    story.confirms("customer", "agent").expect("conferenced", "dial lawyer")
    story.legs["lawyer"].call_sid = story.legs["former lawyer"].call_sid
    story.placed("lawyer").expect_command("add-1", "accepted", "done")
    story.expect_parties(customer="connected", agent="connected", lawyer="connected")


def test_name_of_a_guest_who_turns_out_to_be_the_dialed_party_is_not_given_again():
    story = ordering(conferenced).add().confirms("customer", "agent").expect("conferenced", "dial lawyer")
    story.legs["guest"].call_sid = story.legs["lawyer"].call_sid
    story = with_leg(story.joins("guest").placed("lawyer"), "third", "Boss", "6").joins("third")
    story.expect_parties(customer="connected", agent="connected", lawyer="connected", guest_2="connected")


def test_join_of_a_guest_whom_the_wait_audio_has_shown_repeats_no_hold():
    story = ordering(conferenced).joins("guest", sequence=None, token="wait").confirms("customer", "agent")
    story.hold("guest-1").expect("conferenced", "hold guest-1").joins("guest").expect("conferenced")
