"""Where stories of transfers begin: the moments to which they all have to come."""

from typing import Any

from conferral.statemachine.events import DialOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.scenario import OUTBOUND, Scenario

#: What follows when both are in and nothing else is to come.
FLAGS = ("flag customer", "flag agent")


def converted(policy: Policy | None = None, **given: Any) -> Scenario:
    """Both are in the conference; Twilio was asked that the leaving of each ends it."""
    story = Scenario(policy).comes_in(**given)
    for status in ("initiated", "ringing", "in-progress"):
        story.call("agent", status)
    story.convert().joins("agent").conference_starts().joins("customer")
    return story.expect("conferenced", *FLAGS).expect_timers("read")


def conferenced(policy: Policy | None = None, **given: Any) -> Scenario:
    """Both are in the conference, and Twilio has confirmed that the leaving of each ends it."""
    return converted(policy, **given).confirms("customer", "agent").expect("conferenced").expect_timers()


def outbound(policy: Policy | None = None) -> Scenario:
    """The agent of an outbound session has picked up, has been let in by our gate, and talks to the customer."""
    story = (
        Scenario(policy, session_id=OUTBOUND).calls_out().expect("bridged", "dial agent to the gate", phase="ringing")
    )
    story.placed("agent").call("agent", "ringing").gate("agent").gate("agent", "accepted")
    story.call("customer", "initiated").call("customer", "ringing").call("customer", "in-progress")
    return story.expect("bridged", phase="connected").expect_timers().expect_command("call-1", "accepted", "done")


def dialing(mode: str, *to: str, policy: Policy | None = None, **options: Any) -> Scenario:
    """A transfer out of the conference, and the target has just been dialed."""
    story = conferenced(policy).transfer(mode, *to, **options).expect("transferring", "unflag agent", phase=mode)
    story.confirms("agent")
    if mode != "warm":
        story.confirms("customer")
    if any(effect.party == "agent" and effect.update == "hold" for effect in story.unconfirmed):
        story.confirms("agent")  # hears ringing: the target is dialed to the gate
    return story.expect_transfer("dialing")


def ringing(mode: str) -> Scenario:
    """The target's phone rings."""
    return dialing(mode).placed("target").call("target", "ringing").expect_transfer("ringing")


def talking(mode: str) -> Scenario:
    """The target takes part: all three talk, or agent and target with the customer on hold."""
    story = dialing(mode).takes_part("target").expect("transferring", phase=mode)
    return story.expect_transfer("merged" if mode == "warm" else "consulting")


def blind_from_bridge(*to: str, policy: Policy | None = None, **options: Any) -> Scenario:
    """A blind transfer of an inbound call: the agent left, the customer waits in a conference, the target is dialed."""
    call = {name: options.pop(name) for name in ("call_token", "called_number", "has_caller_id") if name in options}
    story = Scenario(policy).comes_in(**call)
    story.call("agent", "ringing").call("agent", "in-progress").transfer("blind", *to, **options)
    story.expect("transferring", "hang up agent", phase="blind").dial_ends("completed").call("agent", "completed")
    return story.joins("customer", starts=False)


def searched_in_vain(story: Scenario, name: str, how: str = "nothing") -> Scenario:
    """Both searches for the call of a dial with an unknown outcome find nothing, are refused, or have none either."""
    for _ in range(2):
        story.fires(DialOverdue)
        assert f"find {name}" in story.words()
        if how == "nothing":
            story.found(name, call_sid="")
        elif how == "refused":
            story.fails("find_call", story.legs[name].party, status=401)
        else:
            story.is_unknown("find_call", story.legs[name].party)
    return story
