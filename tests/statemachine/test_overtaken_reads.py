"""A read shows nothing of a leg with a newer fact, but still everything else."""

from conferral.statemachine.events import CallsOverdue, ConvertOverdue, ReadOverdue
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.conference_scenarios import as_conference, waiting
from tests.statemachine.scenario import CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import converted


def test_end_in_a_read_counts_although_the_answer_overtook_the_read():
    story = as_conference(Scenario().answered()).sweep_finds("call-missing", "customer")
    began = story.session.version
    story.call("agent", "completed")
    story.reads(customer="completed", agent="in-progress", version=began).expect("ended", reason="customer-left")


def test_parent_in_a_read_from_before_the_childs_end_does_not_show_who_left_first():
    story = as_conference(Scenario().answered()).sweep_finds("call-missing", "customer")
    began = story.session.version
    story.call("agent", "completed")
    story.reads(customer="in-progress", agent="in-progress", version=began).expect("bridged")
    assert not story.session.child_left_first
    story.fires(CallsOverdue).reads(customer="completed", agent="completed").expect("ended", reason="customer-left")


def test_parent_in_a_read_from_before_the_childs_end_was_not_moved_by_another_app():
    story = Scenario().answered().convert()
    story.succeeds("redirect_call", "agent", *story.session.open_redirects)
    began = story.session.version
    story.call("agent", "completed").later(3_000)
    story.reads(customer="in-progress", agent="in-progress", version=began).expect("converting", "look")
    story.reads(customer="in-progress", agent="completed").expect("ended", reason="moved")


def test_leg_that_was_moved_since_a_read_began_is_not_moved_again_but_read_at_once():
    story = Scenario().answered().convert()
    (redirect,) = story.session.open_redirects
    story.fires(ConvertOverdue).expect("converting", "look")
    began = story.session.version
    story.succeeds("redirect_call", "agent", redirect).later(2_000)
    shown = {"conference": CONFERENCE, "inside": ("customer",), "customer": "in-progress", "agent": "in-progress"}
    story.reads(**shown, version=began).expect("converting", "look")


def test_hold_that_was_answered_since_a_read_began_stays_and_the_read_confirms_the_other_partys_flag():
    story = converted().fires(ReadOverdue).expect("conferenced", "look")
    began, flagged = story.session.version, story.does("customer")
    assert flagged.end_on_exit
    story.does("agent").end_on_exit = False
    story.changes("agent", kind="participant-modify").reads(
        conference=CONFERENCE, inside=("customer", "agent"), version=began
    )
    assert story.session.customer.end_on_exit
    assert not story.session.agent.end_on_exit


def test_what_the_sweep_has_found_is_read_again_if_a_leg_changed_meanwhile():
    """After a loss of Redis, the session knows of no mute, and a read that is older than the hold can't show it."""
    story = ordering().hold("customer").confirms("customer")  # the flag, cleared for the hold
    as_conference(story).sweep_finds("writes-lost").expect("conferenced", "look")
    began, customer = story.session.version, story.does("customer")
    customer.muted, shown = True, {"conference": CONFERENCE, "inside": ("customer", "agent")}
    ordering(lambda: story).update_answered("customer")
    story.reads(**shown, version=began).expect("conferenced", "look")
    assert not story.session.customer.muted
    story.reads(**shown).expect("conferenced", "unmute customer")


def test_what_the_sweep_has_found_is_not_read_again_for_legs_that_change_in_turn():
    """Else each answer and callback of the other leg costs one more read."""
    story = ordering().hold("customer").confirms("customer")  # the flag, cleared for the hold
    as_conference(story).sweep_finds("writes-lost").expect("conferenced", "look")
    shown = {"conference": CONFERENCE, "inside": ("customer", "agent")}
    began = story.session.version
    ordering(lambda: story).update_answered("customer")
    story.reads(**shown, version=began).expect("conferenced", "look")  # shows the agent
    began = story.session.version
    story.changes("agent", kind="participant-modify")
    story.reads(**shown, version=began).expect("conferenced")
    assert not any(key.startswith("suspicion") for key in story.session.unsettled_since_ms)


def test_conference_that_someone_joined_since_a_read_began_is_not_over():
    story = waiting().later(20_000).sweep_finds("conference-missing")
    began = story.session.version
    story.conference_ends().joins("customer", conference=OTHER_CONFERENCE, starts=False).later(20_000)
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer",), version=began)
    assert story.session.conference_sid == OTHER_CONFERENCE
    assert story.session.customer.in_conference
