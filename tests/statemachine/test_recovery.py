"""What the sweep and reads find: what flows and exploration do not reach."""

import pytest

from conferral.statemachine.events import (
    ConferenceFound,
    LoneOverdue,
    ParkOverdue,
    ParticipantFound,
    ReadOverdue,
)
from tests.statemachine.call_legs import Leg
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.conference_scenarios import (
    ConferenceScenario,
    as_conference,
    browser_talks,
    calling,
    parked,
    retrieving,
    waiting,
)
from tests.statemachine.scenario import ALICE, CONFERENCE, CUSTOMER, OTHER_CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, outbound, talking


def found(story: Scenario, *names: str, session_id: str = "", **changes: dict[str, object]) -> ConferenceScenario:
    """The sweep has found these legs in a conference; `changes` says how some of them differ."""
    participants = []
    for name in names:
        leg = story.legs[name]
        values = {"label": leg.label, "address": CUSTOMER if name == "customer" else ALICE}
        values |= {"came_in": name == "customer"} | changes.get(name, {})
        participants.append(ParticipantFound(call_sid=leg.call_sid, **values))
    event = ConferenceFound(
        **story.common(token="sweep:1"), conference_sid=CONFERENCE, participants=tuple(participants)
    )  # fmt: skip
    return as_conference(story.take(event))


def with_target(story: Scenario) -> Scenario:
    story.legs["target"] = Leg("CA" + "8" * 32, "target", "target-2")
    return story


def test_target_of_a_session_that_redis_lost_is_a_guest_who_talks_on():
    story = found(with_target(Scenario()), "customer", "agent", "target").expect("conferenced", phase="connected")
    story.expect_parties(customer="connected", agent="connected", guest_1="connected")


def test_session_recognized_by_its_bridge_is_read():
    found(Scenario().answered(), "customer").expect("bridged", "look")


@pytest.mark.parametrize("names, came_in, direction, first", [
    (("customer", "agent"), "customer", "inbound", ""),
    (("customer", "agent"), "agent", "outbound", ""),
    (("customer",), "", "outbound", "agent"),
    # The session has the id of a call that isn't the agent's.
    (("agent",), "", "inbound", "customer"),
])  # fmt: skip
def test_found_session_is_inbound_if_its_customer_called(names, came_in, direction, first):
    session = found(Scenario(), *names, **{name: {"came_in": name == came_in} for name in names}).session
    assert (session.direction, session.first_to_leave) == (direction, first)


def with_leg(story: Scenario, name: str, label: str, digit: str = "8", **how: object) -> ConferenceScenario:
    """A call of which the session knows nothing."""
    story.legs[name] = Leg("CA" + digit * 32, name, label, **how)
    return as_conference(story)


def guests_after_loss(begin=conferenced, **target: object) -> ConferenceScenario:
    """As far as known, customer and agent are in the conference; a read follows, because the agent's call is over."""
    story = as_conference(begin().later(30_000)).sweep_finds("call-missing", "agent").expect("conferenced", "look")
    return with_leg(story, "target", "target-1", **target)


def shows(story: Scenario, *inside: str, agent: str = "completed", **given: object) -> ConferenceScenario:
    return as_conference(
        story.reads(customer="in-progress", agent=agent, conference=CONFERENCE, inside=inside, **given)
    )


def is_alone(story: Scenario) -> bool:
    return "lone" in story.session.timers


@pytest.mark.parametrize("muted", [True, False])
def test_customer_is_alone_with_a_guest_who_only_listens(muted):
    """Another program listens, or talks."""
    story = guests_after_loss()
    story.legs["listener"] = Leg("CA" + "7" * 32, "listener", "", muted=muted)
    shows(story, "customer", "listener")
    assert is_alone(story) is muted


def transferring() -> ConferenceScenario:
    """By all that is known the two talk; in truth a transfer was begun, so that no one's leaving ends it."""
    story = guests_after_loss()
    story.legs["customer"].end_on_exit = story.legs["agent"].end_on_exit = False
    return story


def test_customer_whose_hold_shows_during_a_conversion_stays_on_hold():
    story = with_leg(Scenario().answered().convert(), "target", "target-1")
    story.legs["customer"].held = True
    shows(story, "customer", "agent", "target", agent="in-progress")
    story.expect("conferenced", phase="connected").expect_command("convert-1", "accepted", "done")
    assert story.session.customer.is_on_found_hold


def test_customer_expected_to_be_moving_talks_to_the_party_that_took_over():
    story = with_leg(Scenario().answered().convert(), "target", "target-1")
    shows(story, "customer", "target").expect("conferenced").expect_command("convert-1", "accepted", "done")
    assert story.session.parties["guest-1"].call_sid == story.legs["target"].call_sid


def test_customer_leaves_first_of_those_to_whom_redis_lost_the_transfer():
    story = shows(guests_after_loss(), "customer", "target")
    story.leaves("customer").fires(LoneOverdue).expect("ended", "end room", reason="customer-left")


def test_agent_of_whom_a_transfer_knows_nothing_takes_part_in_it_as_a_guest():
    story = with_leg(blind_from_bridge().placed("target"), "other", "agent-5").fires(ReadOverdue)
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer", "other"), target="ringing")
    assert story.session.parties["guest-1"].call_sid == story.legs["other"].call_sid


def with_gap(story: ConferenceScenario) -> ConferenceScenario:
    """A callback of the conference was lost."""
    story.sequences[CONFERENCE] += 1
    return story


def test_parked_call_with_missing_callbacks_is_read_before_it_returns():
    story = with_leg(with_leg(with_gap(parked()), "taker", "agent-5"), "other", "target-6", "9")
    story.changes("customer").fires(ParkOverdue).expect("conferenced", "look")
    story.legs["customer"].held = False
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer", "taker", "other"))
    assert story.session.phase == "connected"
    assert story.session.parties["guest-1"].takes_part, "no transfer ran"


@pytest.mark.parametrize("inside", [("customer", "target"), ("agent", "target")], ids=" and ".join)
def test_target_without_both_parties_is_in_no_transfer(inside: tuple[str, ...]):
    story = shows(transferring(), *inside, agent="in-progress").expect("conferenced", phase="connected")
    assert story.session.parties["guest-1"].takes_part


def test_target_beside_an_agent_who_is_being_removed_is_in_no_transfer():
    story = transferring().remove("agent")
    shows(story, "customer", "agent", "target", agent="in-progress").expect("conferenced", phase="connected")


def test_parties_who_ring_and_talk_are_guests():
    story = with_leg(transferring(), "second", "target-2", "9", is_ringing=True)
    story = shows(story, "customer", "agent", "target", "second", agent="in-progress")
    story.expect("conferenced", phase="connected")
    assert not [words for words in story.words() if words.startswith("hang up")]
    story.expect_parties(customer="connected", agent="connected", guest_1="ringing", guest_2="connected")


@pytest.mark.parametrize("how, mode", [
    ({"muted": True}, "monitor"), ({"muted": False}, "barge"), ({"muted": False, "coaches": "CA1"}, "whisper"),
])  # fmt: skip
def test_supervisor_of_whom_the_session_knows_nothing_does_what_twilio_shows(how, mode):
    story = with_leg(guests_after_loss(), "supervisor", "supervisor-3", "9", **how)
    shows(story, "customer", "agent", "supervisor", agent="in-progress")
    assert story.session.parties["supervisor"].supervises == mode


def test_participant_of_another_conference_is_not_added():
    story = as_conference(
        guests_after_loss().reads(agent="in-progress", conference=OTHER_CONFERENCE, inside=("target",))
    )
    story.expect_parties(customer="connected", agent="connected")


def test_join_of_a_guest_whom_the_wait_audio_has_shown_repeats_no_hold():
    story = ordering(conferenced).joins("guest", sequence=None, token="wait").confirms("customer", "agent")
    story.hold("guest-1").expect("conferenced", "hold guest-1").joins("guest").expect("conferenced")


#: Sessions in every state, and the calls that are live in each.
LIVE = {
    "ringing": lambda: Scenario().comes_in().call("agent", "ringing"),
    "bridged": lambda: Scenario().answered(),
    "outbound": outbound,
    "converting": lambda: Scenario().answered().convert(),
    "conferenced": conferenced,
    "waiting": lambda: waiting().placed("agent"),
    "browser": browser_talks,
    "calling": lambda: calling().placed("agent"),
    "warm": lambda: talking("warm"),
    "blind": lambda: blind_from_bridge().placed("target"),
    "parked": parked,
    "retrieving": lambda: retrieving().placed("agent"),
}


def later(story):
    return as_conference(story.later(30_000))


@pytest.mark.parametrize("situation", ["bridged", "outbound", "conferenced", "browser", "warm", "parked"])
@pytest.mark.parametrize("way", ["fails", "is_unknown"])
def test_failed_read_is_repeated(situation, way):
    story = later(LIVE[situation]())
    state = story.session.state.value
    story.sweep_finds("call-missing", "customer").expect(state, "look")
    getattr(story, way)("read_calls")
    story.expect(state)
    story.fires(ReadOverdue).expect(state, "look")


# ---- a consult that webhooks know again as a bridge ------------------------------------------------------------------


@pytest.mark.parametrize("is_swept", [True, False], ids=["swept", "not swept"])
def test_consult_known_again_as_a_bridge_goes_on_and_keeps_the_customer_on_hold(is_swept: bool) -> None:
    """Unheld, the customer would hear what agent and target say."""
    story = with_target(Scenario().answered().expect("bridged", phase="connected"))
    story.legs["customer"].held = True
    if is_swept:
        found(story, "customer", "agent", "target").expect("bridged", "look")
    shows(story, "customer", "agent", "target", agent="in-progress", target="in-progress")
    story.expect("conferenced", phase="connected")
    assert story.session.customer.is_on_found_hold
    story.leaves("agent").expect("conferenced", "unhold customer")
