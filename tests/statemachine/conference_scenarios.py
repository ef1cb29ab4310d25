"""Beginnings of scenarios of conferences from the start and of parked calls, and what only they need."""

from collections.abc import Callable
from typing import Any, cast

from conferral.statemachine.events import AccountSwept, ClientCallReceived, Park, Remove, Retrieve
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.policy import Policy
from tests.statemachine.call_legs import Leg
from tests.statemachine.scenario import AGENT_CALL, ALICE, BOB, CONFERENCE, CUSTOMER, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import FLAGS, conferenced

SECOND_CALL = "CA" + "5" * 32
#: What the session of a browser's call is called that names none.
CLIENT_SESSION = AGENT_CALL


class ConferenceScenario(Scenario):
    """A story of those who wait in a conference, from the start or parked."""

    # ---- a browser or app user calls -----------------------------------------------------------------------------

    def calls_from_browser(self, leg: str = "agent", **given: Any) -> "ConferenceScenario":
        call_sid = self.legs[leg].call_sid
        event = ClientCallReceived(
            **self.common(**given), call_sid=call_sid, agent_address=ALICE, customer_address=CUSTOMER
        )
        return cast("ConferenceScenario", self.take(event))

    # ---- the sweep -----------------------------------------------------------------------------------------------

    def sweep_finds(self, finding: str, leg: str = "", *, conference: str = CONFERENCE) -> "ConferenceScenario":
        call_sid = self.legs[leg].call_sid if leg else ""
        event = AccountSwept(
            **self.common(), finding=finding, call_sid=call_sid, conference_sid="" if leg else conference
        )
        return cast("ConferenceScenario", self.take(event))

    # ---- commands ------------------------------------------------------------------------------------------------

    def park(self, command_id: str = "park-1") -> "ConferenceScenario":
        return cast("ConferenceScenario", self.command(Park, command_id))

    def retrieve(self, command_id: str = "retrieve-1", *, to: str = BOB, **options: Any) -> "ConferenceScenario":
        return cast("ConferenceScenario", self.command(Retrieve, command_id, to=to, **options))

    def remove(self, party: str, command_id: str = "remove-1") -> "ConferenceScenario":
        return cast("ConferenceScenario", self.command(Remove, command_id, party=party))

    def takes_part_in(self, conference: str, name: str) -> "ConferenceScenario":
        """Someone who was dialed straight picks up and comes into that conference."""
        return as_conference(self.placed(name).call(name, "in-progress").joins(name, conference=conference))

    # ---- the next agent of a bridge ------------------------------------------------------------------------------

    def next_agent(self) -> "ConferenceScenario":
        """The action's document rings the next agent, who has a call of their own."""
        former = self.legs["agent"]
        self.legs["former agent"] = former
        self.legs["agent"] = Leg(SECOND_CALL, "agent", "agent-1")
        return self


def as_conference(story: Scenario) -> ConferenceScenario:
    """The same moment, as a scenario of a conference."""
    story.__class__ = ConferenceScenario
    return cast("ConferenceScenario", story)


def called(policy: Policy | None = None, **given: Any) -> ConferenceScenario:
    """A caller is to wait in a conference, and is on the way into it."""
    story = ConferenceScenario(policy).comes_in(mode="conference", **given).expect("conferenced", phase="ringing")
    return as_conference(story.expect_timers("read"))


def waiting(policy: Policy | None = None, **given: Any) -> ConferenceScenario:
    """The caller waits in a conference with music, and the agent has just been dialed."""
    story = called(policy, **given).joins("customer", starts=False)
    return as_conference(story.expect("conferenced", "dial agent", phase="ringing").expect_timers())


def received(policy: Policy | None = None, **given: Any) -> ConferenceScenario:
    """Caller and agent talk in a conference that was one from the start."""
    story = waiting(policy, **given).placed("agent").call("agent", "ringing").call("agent", "in-progress")
    story.expect("conferenced", phase="ringing").joins("agent").expect("conferenced", *FLAGS, phase="connected")
    return as_conference(story.confirms("customer", "agent").expect_timers())


def waiting_at_gate() -> ConferenceScenario:
    """The caller waits, and the agents, who have to press 1, are dialed to the gate."""
    story = called(Policy(confirm_phones=True), agent_address="+14155550188", other_agents=("+14155550189",))
    return as_conference(story.joins("customer", starts=False).expect("conferenced", "dial agent to the gate"))


def received_with_survey() -> ConferenceScenario:
    """The two talk; the caller goes on with something else when the agent has left."""
    story = waiting(attributes=ConferenceAttributes(after_url="https://example.com/survey")).takes_part("agent")
    story.expect("conferenced", "flag customer", phase="connected").confirms("customer")
    return as_conference(story.expect("conferenced").expect_timers())


def browser(policy: Policy | None = None, **given: Any) -> ConferenceScenario:
    """A browser user waits in a conference with ring-back, and the customer has just been dialed."""
    story = ConferenceScenario(policy, session_id=CLIENT_SESSION).calls_from_browser(**given)
    story.expect("conferenced", phase="ringing").expect_timers("read").joins("agent")
    return as_conference(story.expect("conferenced", "dial customer", phase="ringing").expect_timers())


def browser_talks(policy: Policy | None = None, **given: Any) -> ConferenceScenario:
    """The two talk."""
    story = browser(policy, **given).takes_part("customer")
    story.expect("conferenced", "flag customer", "flag agent", phase="connected").confirms("customer", "agent")
    return as_conference(story.expect_timers())


def calling(policy: Policy | None = None, **options: Any) -> ConferenceScenario:
    """`call` with mode `conference`: the agent is being dialed."""
    story = ConferenceScenario(policy, session_id=OUTBOUND).calls_out(mode="conference", **options)
    story.expect("conferenced", "dial agent to the gate", phase="ringing").expect_command("call-1", "accepted")
    return as_conference(story.expect_timers())


def called_in(policy: Policy | None = None, **options: Any) -> ConferenceScenario:
    """The agent has taken the call at our gate and waits in the conference; the customer has just been dialed."""
    story = calling(policy, **options).placed("agent").call("agent", "ringing").gate("agent").gate("agent", "accepted")
    story.expect("conferenced", phase="ringing").joins("agent")
    return as_conference(story.expect("conferenced", "dial customer", phase="ringing"))


def parked(policy: Policy | None = None) -> ConferenceScenario:
    """Parked out of a conference: the agent is gone, and the customer is held with music."""
    story = as_conference(conferenced(policy)).park().expect("transferring", "unflag agent", phase="park")
    story.confirms("agent").expect("transferring", "hold customer").confirms("customer")
    story.expect("transferring", "hang up agent", phase="park").leaves("agent")
    story.expect_command("park-1", "accepted", "done").expect_held("customer").expect_timers("park")
    return as_conference(story.expect("conferenced", phase="parked"))


def parked_from_bridge(policy: Policy | None = None) -> ConferenceScenario:
    """Parked out of a bridge: the agent is gone, and the customer waits with music, alone in a conference."""
    story = as_conference(Scenario(policy).answered()).park().expect("transferring", "hang up agent", phase="park")
    story.dial_ends("completed").call("agent", "completed").expect("transferring").joins("customer", starts=False)
    story.expect_command("park-1", "accepted", "done").expect_held().expect_timers("park")
    return as_conference(story.expect("conferenced", phase="parked"))


def retrieving(
    begin: Callable[[Policy | None], ConferenceScenario] = parked, policy: Policy | None = None, **options: Any
) -> ConferenceScenario:
    """Someone else is dialed to take the parked call up."""
    story = begin(policy).retrieve(**options).expect("transferring", "dial agent to the gate", phase="retrieve")
    return as_conference(story.expect_command("retrieve-1", "accepted"))
