"""Parties that have left: they stay for a while, then the session forgets them, so that a long call stays small."""

from collections.abc import Mapping

import pytest

from conferral.statemachine.effects import Dial
from conferral.statemachine.policy import Policy
from conferral.storage.codecs import session_codec
from tests.statemachine.command_scenarios import Orders, added, ordering
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import BOB, CAROL, CONFERENCE
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, dialing, talking
from tests.support.people import AGENT_PHONE

#: How many have left later when a party is forgotten, and how many calls are recognized afterwards.
LATER_DEPARTURES_MAX, FORMER_CALLS_MAX = 20, 100


def comes_and_goes(story: Orders, name: str) -> None:
    """Someone is added, takes part, and leaves."""
    story.add(name, f"add-{name}").takes_part(name)
    story.call(name, "completed").leaves(name)


def group() -> Orders:
    story = added()
    story.decides_twice = False
    return story


def size(fields: Mapping[str, str]) -> int:
    return sum(len(name) + len(text) for name, text in fields.items())


@pytest.mark.parametrize("people", [200, pytest.param(2_000, marks=pytest.mark.soak)])
def test_long_call_with_many_people_stays_small(people):
    story, whole = group(), []
    for number in range(people):
        comes_and_goes(story, f"guest{number}")
        whole.append(size(session_codec.encode(story.session)))
    assert len(story.session.parties) == 3 + LATER_DEPARTURES_MAX
    assert len(story.session.former_calls) == FORMER_CALLS_MAX
    # Only how many digits the numbers have still grows.
    settled = FORMER_CALLS_MAX + LATER_DEPARTURES_MAX
    lately = slice(settled - 24, settled + 1)  # the history grows, and is counted up, again and again
    assert max(whole) < 1.1 * max(whole[lately]) < 64 * 1024


def test_party_is_there_until_twenty_later_ones_have_left():
    story = group()
    comes_and_goes(story, "first")
    for number in range(LATER_DEPARTURES_MAX - 1):
        comes_and_goes(story, f"later{number}")
    assert story.session.parties["first"].is_gone
    call_sid = story.legs["first"].call_sid
    comes_and_goes(story, "last")
    assert "first" not in story.session.parties
    assert call_sid in story.session.former_calls, "what comes late is known to be late"
    assert not story.session.seen.has_gap(CONFERENCE, 0), "the conference's events were all seen"
    story.call("first", "completed").expect("conferenced", outcome="stale")


def test_party_whose_dial_was_refused_is_forgotten_too():
    story = group()
    story.add("refused", "add-refused").refused("refused")
    assert story.session.parties["refused"].is_gone
    assert not story.session.parties["refused"].call_sid
    for number in range(LATER_DEPARTURES_MAX):
        comes_and_goes(story, f"later{number}")
    assert "refused" not in story.session.parties


def test_party_that_something_open_names_stays():
    story = group()
    story.add("slow", "add-slow").unknown_outcome("slow").remove("slow")
    for number in range(LATER_DEPARTURES_MAX + 1):
        comes_and_goes(story, f"later{number}")
    assert "slow" in story.session.parties
    assert {"customer", "agent"} <= story.session.parties.keys()


def test_number_of_a_name_is_never_given_twice():
    story = ordering(conferenced)
    story.decides_twice = False
    for number in range(1, LATER_DEPARTURES_MAX + 3):
        # The target of a transfer is the agent of the next.
        before, after = ("agent", "agent") if number == 1 else ("target", "former target")
        story.transfer("warm", command_id=f"transfer-{number}").confirms(before).takes_part("target")
        story.complete(f"complete-{number}").leaves(after).confirms("target")
        assert story.session.parties[f"agent-{number}"].is_gone
    assert "agent-1" not in story.session.parties
    assert story.session.name_numbers == {"agent": LATER_DEPARTURES_MAX + 2}
    labels = [effect.label for effect in story.effects if isinstance(effect, Dial)]
    assert len(labels) == len(set(labels)) == LATER_DEPARTURES_MAX + 2


def test_targets_of_earlier_transfers_stay_and_their_numbers_are_not_given_twice():
    story = talking("warm").cancel().leaves("target").confirms("agent")
    story.transfer("consult", BOB, CAROL, command_id="transfer-2").confirms("agent").confirms("customer", "agent")
    story.expect_parties(
        customer="connected", agent="connected", target_1="left", target_2="dialing", target_3="dialing"
    )
    for name in ("target-2", "target-3"):
        story.placed(name).call(name, "busy")
    story.expect_transfer("failed", "busy").confirms("customer").confirms("agent").confirms("customer", "agent")
    story.transfer("warm", CAROL, command_id="transfer-3").confirms("agent").takes_part("target")
    story.expect_transfer("merged").expect_attempts((CAROL, "answered"))
    story.cancel("cancel-3").expect("transferring", "hang up target").leaves("target").confirms("agent")
    as_conference(story).park().confirms("agent").confirms("customer").leaves("agent")
    story.expect_parties(
        customer="connected", agent="left", target_1="left", target_2="left", target_3="left", target_4="left"
    )
    assert story.session.targets == ()
    reasons = [story.session.parties[f"target-{number}"].left_reason for number in (1, 2, 3, 4)]
    assert reasons == ["participant_hung_up", "busy", "busy", "participant_hung_up"]


def test_target_that_is_still_leaving_is_no_target_of_the_next_place():
    story = dialing("consult", BOB, CAROL, policy=Policy(fallback=(AGENT_PHONE,))).placed("target-1").placed("target-2")
    story.takes_part("target-1").expect("transferring", "hang up target-2")
    story.leaves("agent").expect("transferring", "unhold customer")
    story.leaves("target-1").expect("transferring", "dial target", phase="fallback")
    assert [party.name for party in story.session.targets] == ["target"]
    assert story.session.parties["target-2"].is_leaving  # its phone may still ring


def test_fallback_fails_for_its_own_reason_and_the_target_stays():
    story = blind_from_bridge(policy=Policy(fallback=(CAROL,))).placed("target").call("target", "busy")
    story.expect("transferring", "dial target").placed("target").call("target", "no-answer")
    story.expect("ended", "say goodbye to customer")
    assert story.session.transfer.reason == "busy, fallback no-answer"
    assert story.session.parties["target-1"].left_reason == "busy"
