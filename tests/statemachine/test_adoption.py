"""Two members of another program's conference are moved, the agent first."""

from conferral.statemachine.events import Adopt, ConvertOverdue, ReadOverdue
from conferral.statemachine.events.commands import COMMANDS_BY_NAME
from tests.statemachine.scenario import AGENT_CALL, ALICE, CONFERENCE, CUSTOMER, CUSTOMER_CALL, Scenario
from tests.support.each import each

THEIRS = "CF" + "9" * 32


def adopting(*, desk: bool = False) -> Scenario:
    """A session whose parties are about to be able to leave."""
    story = Scenario(session_id="taken-over").command(
        Adopt, "adopt-1", customer=CUSTOMER_CALL, agent=AGENT_CALL, conference=THEIRS, customer_address=CUSTOMER,
        agent_address=ALICE, number="+14155550100", desk=desk,
    )  # fmt: skip
    return story.expect("converting", "clear flags")


def moving_agent() -> Scenario:
    return adopting().succeeds("clear_end_on_exit").expect("converting", "move agent")


def moved(story: Scenario, party: str) -> Scenario:
    return story.succeeds("redirect_call", party, effect_id=story.session.open_redirects[-1])


def moving_customer() -> Scenario:
    return moved(moving_agent(), "agent").expect("converting", "move customer")


def are_left_alone(story: Scenario) -> None:
    """The command has failed, and no request follows: both are where they were."""
    story.expect("ended")
    assert story.reports["adopt-1"][-1] == ("failed", "convert-failed")
    assert story.session.end_reason == "convert-failed"


def test_customer_follows_the_agent_and_the_command_is_done_when_both_are_there() -> None:
    story = moving_customer().joins("agent").expect("converting")
    moved(story, "customer").joins("customer")
    assert story.session.state == "conferenced"
    assert story.reports["adopt-1"] == [("accepted", ""), ("done", "")]
    assert {effect.left_conference for effect in story.effects if effect.kind == "redirect_call"} == {THEIRS}


def test_customer_follows_once_if_the_agent_joins_before_twilio_answers() -> None:
    story = moving_agent().joins("agent").expect("converting", "move customer")
    story.succeeds("redirect_call", "agent", effect_id=story.session.open_redirects[0]).expect("converting")


@each("outcome", ["fails", "is_unknown"])
def test_conference_that_they_may_not_leave_keeps_them(outcome: str) -> None:
    are_left_alone(getattr(adopting(), outcome)("clear_end_on_exit"))


@each("gone", [False, True])
def test_agent_whom_twilio_does_not_move_stays(gone: bool) -> None:
    story = moving_agent()
    are_left_alone(story.fails("redirect_call", "agent", gone=gone, effect_id=story.session.open_redirects[0]))


def test_adoption_without_answers_ends_when_its_time_is_over() -> None:
    are_left_alone(adopting().fires(ConvertOverdue))


@each("gone", ["customer", "agent"])
def test_someone_who_hangs_up_before_they_are_moved_ends_it(gone: str) -> None:
    others = {name: "in-progress" for name in ("customer", "agent") if name != gone}
    are_left_alone(adopting(desk=True).reads(**{gone: "completed"}, **others))


def test_party_that_ended_their_conference_by_leaving_does_so_again_after_a_failure() -> None:
    story = Scenario(session_id="taken-over").command(
        Adopt, "adopt-1", customer=CUSTOMER_CALL, agent=AGENT_CALL, conference=THEIRS, ending=("customer",)
    )
    story.fails("clear_end_on_exit").expect("ended", "flag customer")
    assert story.last.effects[0].conference_sid == THEIRS


def test_agent_is_not_moved_again_after_the_customer_has_hung_up() -> None:
    story = moving_agent().later(3_000)
    story.is_unknown("redirect_call", "agent", story.session.open_redirects[0]).expect("converting", "look")
    are_left_alone(story.reads(customer="completed", agent="in-progress"))


@each("is_inside", [False, True])
def test_agent_of_whom_nothing_is_known_when_the_time_is_over_is_read_first(is_inside: bool) -> None:
    story = moving_agent().fires(ConvertOverdue).reads(customer="in-progress", agent="in-progress")
    story.is_unknown("redirect_call", "agent", story.session.open_redirects[0]).expect("converting", "look")
    if is_inside:
        story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
        story.expect("converting", "move customer")
    else:
        are_left_alone(story.reads(customer="in-progress", agent="in-progress"))


def test_agent_of_whom_nothing_is_known_is_moved_again_before_the_customer_is() -> None:
    story = moving_agent().later(3_000)
    story.is_unknown("redirect_call", "agent", story.session.open_redirects[0]).expect("converting", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE).expect("converting", "move agent")
    moved(story, "agent").expect("converting", "move customer")


def test_customer_follows_an_agent_whose_move_redis_has_lost() -> None:
    story = adopting().reads(customer="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect("converting", "move customer").fails("clear_end_on_exit").expect("converting")
    moved(story, "customer").joins("customer")
    assert story.reports["adopt-1"] == [("accepted", ""), ("done", "")]


def test_customer_whom_twilio_does_not_move_twice_is_left_alone_and_the_agent_is_not_left_waiting() -> None:
    story = moving_customer().joins("agent").later(3_000)
    story.fails("redirect_call", "customer", effect_id=story.session.open_redirects[-1]).expect("converting", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect("converting", "move customer")
    moved(story, "customer").fires(ReadOverdue).expect("converting", "look").later(10_000).fires(ReadOverdue)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect("ended", "end room")
    assert story.reports["adopt-1"][-1] == ("failed", "convert-failed")


@each("command", ["end", "remove"])
def test_no_one_is_hung_up_in_the_other_conference(command: str) -> None:
    """Its flag may not be cleared yet, so the hang-up might end it."""
    fields = {"party": "agent"} if command == "remove" else {}
    for story in (adopting(), moving_agent()):
        story.command(COMMANDS_BY_NAME[command], "stop-1", **fields)
        story.expect_refused("stop-1", "the parties are still in the other program's conference")
