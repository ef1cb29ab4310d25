"""Commands about parties: what flows and exploration do not reach."""

import pytest

from conferral.statemachine.events import (
    CallReceived,
    DialOverdue,
    Park,
    ParkOverdue,
    PendingCommandOverdue,
    ReadOverdue,
)
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.policy import Policy
from tests.statemachine.command_scenarios import CHIEF_TOO, Orders, added, ordering, supervised
from tests.statemachine.scenario import ALICE, CONFERENCE, CUSTOMER, CUSTOMER_CALL, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, conferenced, ringing, talking
from tests.support.each import each


def dialed(**options) -> Orders:
    return ordering().add(**options).confirms("customer", "agent")


def test_gated_dial_that_is_found_continues():
    story = dialed(confirm=True).unknown_outcome("lawyer").fires(DialOverdue).found("lawyer").gate("lawyer")
    story.gate("lawyer", "accepted").joins("lawyer").expect_command("add-1", "accepted", "done")


def test_customers_number_is_shown_and_ours_where_twilio_refuses_that():
    story = ordering(policy=Policy(shows_customer_number=True), call_token="token").add().confirms("customer", "agent")
    assert story.last.effects[0].options.caller_id == CUSTOMER
    story.refused("lawyer").expect("conferenced", "dial lawyer")
    assert story.last.effects[0].options.caller_id == ""
    story.takes_part("lawyer").expect_command("add-1", "accepted", "done")


def small() -> Orders:
    """A conference of three at most."""
    story = Orders()
    story.take(
        CallReceived(
            **story.common(token="call_received"), call_sid=CUSTOMER_CALL, customer_address=CUSTOMER,
            agent_address=ALICE, attributes=ConferenceAttributes(max_participants=3),
        )
    )  # fmt: skip
    return story.call("agent", "initiated").call("agent", "in-progress")


def test_no_one_is_added_to_a_full_conference():
    story = small().add().add("expert", "late")
    story.expect_refused("late", "the conference is full")
    story.joins("agent").joins("customer").expect("conferenced", "dial lawyer").add("expert", "later")
    story.expect_refused("later", "the conference is full")
    story.placed("lawyer").call("lawyer", "busy").add("expert", "at-last").expect_command("at-last", "accepted")


def test_parked_customer_talks_to_the_lawyer_when_no_fallback_is_configured():
    story = added(Policy(fallback=("end",))).command(Park, "park-1").confirms("customer").leaves("agent")
    story.expect("conferenced", "hold lawyer", phase="parked").confirms("lawyer").fires(ParkOverdue)
    story.expect("transferring", "unhold customer", "unhold lawyer").confirms("customer").confirms("lawyer")
    story.expect("conferenced", phase="connected")
    assert story.expect_timers().session.parked_until_ms == 0


BOTH = ("customer", "agent")


@pytest.mark.parametrize("begin", [conferenced, lambda: talking("warm")])
@pytest.mark.parametrize("command", ["mute", "unmute", "hold", "unhold"])
def test_supervisor_is_heard_according_to_the_mode(command, begin):
    story = getattr(supervised("monitor", begin), command)("supervisor", "late")
    story.expect_refused("late", "not for a supervisor: use the modes of supervise")


@each("begin, commands, parties", [
    (conferenced, "hold unhold mute unmute press remove", "customer, agent"),
    (lambda: Scenario().answered(), "hold mute press remove", "customer, agent"),
    (lambda: Scenario().answered().convert(), "hold unhold mute unmute press remove", "customer, agent"),
    (lambda: talking("warm"), "hold unhold mute unmute press", "customer, agent, target"),
])  # fmt: skip
def test_command_about_an_unknown_party_is_refused_and_names_those_that_there_are(begin, commands, parties):
    for command in commands.split():
        story = ordering(begin)
        before = story.session
        getattr(story, command)("lawyer", "late").expect_refused("late", f"no such party; parties: {parties}")
        assert (story.session.state, story.session.timers) == (before.state, before.timers)


@pytest.mark.parametrize("command", ["hold", "unhold", "mute", "unmute"])
def test_ringing_party_is_not_in_the_conference(command):
    story = ordering().add().confirms(*BOTH).placed("lawyer").call("lawyer", "ringing")
    getattr(story, command)("lawyer", "late").expect_refused("late", "the party is not in the conference")


def test_ringing_agent_is_hung_up_once_the_call_is_known():
    story = ordering(Scenario().comes_in).remove("agent").expect("bridged").call("agent", "initiated")
    story.expect("bridged", "hang up agent").call("agent", "canceled").dial_ends("no-answer")
    story.expect("ended").expect_command("remove-1", "accepted", "done")


def test_agent_who_is_removed_while_it_converts_for_a_transfer_has_handed_over():
    story = ordering(Scenario().answered).transfer("warm").remove("agent").expect("converting")
    story.joins("agent").joins("customer").expect("transferring", "hold customer", phase="blind").confirms("customer")
    story.expect("transferring", "hang up agent", "dial target").leaves("agent")
    story.expect_command("remove-1", "accepted", "done")


@pytest.mark.parametrize("begin", [lambda: Scenario().answered(), lambda: Scenario().answered().convert()])
def test_hang_up_without_callbacks_is_verified_where_there_is_no_conference(begin):
    story = ordering(begin).remove("agent")
    state = story.session.state.value
    story.fires(ReadOverdue).expect(state, "look").expect_command("remove-1", "accepted")
    story.reads(customer="in-progress", agent="in-progress").fires(PendingCommandOverdue)
    story.expect_command("remove-1", "accepted", "failed")


def test_agent_removed_before_the_target_is_dialed_hands_over_blind():
    story = ordering().transfer("warm").expect("transferring", "unflag agent", phase="warm")
    story.remove("agent").expect("transferring", phase="blind").expect_command("remove-1", "accepted")


def _flags_after(mode: str) -> tuple[str, ...]:
    """Those that are set again: a customer who was on hold has lost theirs."""
    return FLAGS if mode == "consult" else ("flag agent",)


@pytest.mark.parametrize("mode", ["warm", "consult"])
def test_agent_who_is_removed_from_a_transfer_has_completed_it(mode):
    story = ordering(talking, mode).remove("agent")
    if mode == "consult":
        story.expect("transferring", "unhold customer").confirms("customer")
    story.expect("transferring", "hang up agent").leaves("agent").expect("conferenced", *_flags_after(mode))
    story.expect_command("remove-1", "accepted", "done").expect_transfer("completed")


@pytest.mark.parametrize("mode", ["warm", "consult"])
def test_agent_who_is_removed_while_it_rings_makes_it_a_blind_one(mode):
    story = ordering(ringing, mode).remove("agent")
    if mode == "warm":
        story.expect("transferring", "hold customer", phase="blind").confirms("customer")
    assert "hang up agent" in story.words()
    story.leaves("agent").expect_command("remove-1", "accepted", "done").call("target", "in-progress")
    story.expect("transferring", "unhold customer").joins("target").confirms("customer").expect("conferenced", *FLAGS)


def supervisor_dialed(mode: str = "monitor", **options) -> Orders:
    return ordering().supervise(mode, **options).confirms("customer", "agent")


def test_whisper_to_an_agent_who_is_being_called_back_says_so():
    story = supervisor_dialed("whisper").placed("supervisor").transfer("blind").confirms("customer").leaves("agent")
    story.placed("target").call("target", "busy").expect("transferring", "dial agent to the gate")
    story.placed("agent").call("supervisor", "in-progress").joins("supervisor").fires(PendingCommandOverdue)
    story.expect_command("supervise-1", "accepted", "failed", reason="there is no agent to whisper to")


@pytest.mark.parametrize("confirmed", [True, False])
def test_no_one_whispers_to_an_agent_on_hold(confirmed):
    """Twilio refuses it (16027)."""
    story = ordering().hold("agent")
    (story.confirms("agent") if confirmed else story).supervise("whisper").expect_refused(
        "supervise-1", "the agent is on hold"
    )
    story.supervise("monitor", "listens").expect_command("listens", "accepted")


@pytest.mark.parametrize("begin", [conferenced, lambda: talking("warm")])
def test_supervisor_who_is_being_hung_up_is_waited_for(begin):
    """No mode that is requested now would last, and no one else is dialed."""
    story = supervised(begin=begin).remove("supervisor").supervise("barge", "late")
    story.expect_refused("late", "another supervisor is on the call, or still leaving")
    story.supervise(command_id="too", to=CHIEF_TOO).expect_refused(
        "too", "another supervisor is on the call, or still leaving"
    )
    story.leaves("supervisor").supervise("barge", "later").expect_command("later", "accepted")


def test_supervisor_about_to_be_dialed_is_waited_for():
    why = "a supervisor is still being dialed"
    story = ordering().supervise().supervise("barge", "late")
    story.expect_refused("late", why)
    story = ordering(lambda: conferenced().transfer("warm")).supervise().expect("transferring", "unflag customer")
    story.supervise("barge", "late").expect("transferring").expect_refused("late", why)
    story.confirms("customer", "agent").expect("transferring", "dial target", "dial supervisor")


def refuse(story: Orders, number: int, *, gone: bool = False) -> Orders:
    """Twilio refuses one of the requests that the announcement needs."""
    effect = [one for one in story.effects if one.kind == "play_announcement"][number]
    status = 404 if gone else 400
    return story.fails(effect.kind, effect.party, gone=gone, status=status, effect_id=effect.effect_id)


@pytest.mark.parametrize("begin", [conferenced, lambda: talking("warm")])
def test_announcement_that_twilio_refuses_fails_the_command(begin):
    state = begin().session.state.value
    story = refuse(ordering(begin).announce(), 0).expect(state).expect_no_orders()
    story.expect_command("announce-1", "accepted", "failed", reason="Twilio refused (HTTP 400, code 0)")


def test_announcement_to_several_goes_on_without_one_who_has_left_but_not_if_twilio_refuses_it():
    story = refuse(added().remove("lawyer").announce(), 0)
    story.expect_command("announce-1", "accepted", "failed", reason="Twilio refused (HTTP 400, code 0)")
    story = refuse(added().remove("lawyer").announce(), 0, gone=True).expect_command("announce-1", "accepted")
    refuse(story, 1, gone=True)
    story.expect_command("announce-1", "accepted", "failed", reason="no one is there to hear it")


def test_call_of_a_party_who_was_there_before_is_kept_by_its_sid():
    story = added().leaves("lawyer").call("lawyer", "completed")
    former = story.legs["lawyer"].call_sid
    story.add("lawyer", "add-2").expect_command("add-2", "accepted")
    assert story.session.parties.keys() == {"customer", "agent", "lawyer"}
    assert story.session.former_calls == (former,)


@pytest.mark.parametrize("begin", [conferenced, lambda: talking("warm")])
def test_announcement_of_unknown_outcome_may_still_report_its_end(begin):
    story = ordering(begin).announce()
    story.is_unknown("play_announcement", "", story.effects[-1].effect_id).expect_command("announce-1", "accepted")
    story.played().expect_command("announce-1", "accepted", "done").expect_no_orders()


def test_party_who_is_being_hung_up_hears_no_announcement():
    added().remove("lawyer").announce().expect("conferenced", "play to customer", "play to agent")


@pytest.mark.parametrize("names", [("",), ("customer", "agent")])
def test_end_of_another_announcement_ends_none(names):
    story = added()
    if names != ("",):
        story.hold("lawyer").confirms("lawyer")
    story.announce(url="https://example.com/one")
    for name in names:
        story.played(name, url="https://example.com/two").expect("conferenced")
    story.expect_command("announce-1", "accepted").played("lawyer", url="https://example.com/one")
    for name in names:
        story.expect_command("announce-1", "accepted").played(name, url="https://example.com/one")
    story.expect_command("announce-1", "accepted", "done")


@pytest.mark.parametrize("command", ["hold", "mute"])
def test_lost_callback_is_recovered_by_a_read(command):
    story = getattr(ordering(), command)("customer").fires(ReadOverdue).expect("conferenced", "look")
    story.does("customer")
    story.reads(conference=CONFERENCE, inside=BOTH).expect("conferenced")
    story.expect_command(f"{command}-1", "accepted", "done").expect_timers()


def test_agent_whom_a_command_holds_is_unheld_before_a_blind_transfer_releases_them() -> None:
    """Twilio ignores changes of a held party's flag, so the transfer would fail with `end-flag-unconfirmed`."""
    story = ordering().hold("agent").confirms("agent").transfer("blind").expect("transferring", "unhold agent")
    story.confirms("agent").expect("transferring", "hold customer")
    story.confirms("customer").expect("transferring", "hang up agent", "dial target", phase="blind")
    story.leaves("agent").takes_part("target").confirms("customer").expect("conferenced", *FLAGS)
    story.expect_command("transfer-1", "accepted", "done")
