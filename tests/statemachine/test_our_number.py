"""Which of our numbers a session is about: the one that was called, or that the customer sees."""

import pytest

from conferral.statemachine.events import ClientCallReceived, ConferenceFound, ParticipantFound
from conferral.statemachine.policy import Policy
from tests.statemachine.call_legs import CONFERENCE, CUSTOMER_CALL
from tests.statemachine.scenario import CUSTOMER, Scenario
from tests.statemachine.transfer_scenarios import conferenced
from tests.support.people import NUMBER, SALES

POLICY = Policy(own_number=NUMBER)


@pytest.mark.parametrize("called, number", [(SALES, SALES), ("", NUMBER)])
def test_inbound_session_is_about_the_number_that_was_called(called: str, number: str) -> None:
    assert Scenario(POLICY).comes_in(called_number=called).session.number == number


@pytest.mark.parametrize("caller_id, number", [(SALES, SALES), ("", NUMBER)])
def test_call_is_about_the_number_that_the_customer_sees(caller_id: str, number: str) -> None:
    assert Scenario(POLICY, session_id="CS1").calls_out(caller_id=caller_id).session.number == number


def test_call_whose_caller_id_twilio_refuses_is_about_the_number_shown_instead() -> None:
    story = Scenario(POLICY, session_id="CS1").calls_out(caller_id=SALES).refused("agent")
    assert (story.words(), story.session.number) == (["dial agent to the gate"], NUMBER)


def test_browser_s_call_is_about_the_number_that_the_customer_sees() -> None:
    story = Scenario(POLICY)
    story.take(
        ClientCallReceived(
            **story.common(), call_sid=CUSTOMER_CALL, agent_address="client:ann", customer_address=CUSTOMER
        )
    )
    assert story.session.number == NUMBER


def test_recovered_session_is_about_the_number_that_twilio_s_list_shows() -> None:
    story = Scenario(POLICY)
    customer = ParticipantFound(CUSTOMER_CALL, "customer-1", address=CUSTOMER, came_in=True, called=SALES)
    story.take(ConferenceFound(**story.common(), conference_sid=CONFERENCE, participants=(customer,)))
    assert story.session.number == SALES


def test_outcomes_name_customer_number_and_direction() -> None:
    story = conferenced(POLICY, called_number=SALES).transfer("warm").cancel().end()
    shown = {(one.customer, one.our_number, one.direction) for one in story.conclusions}
    assert shown == {(CUSTOMER, SALES, "inbound")}
    assert {one.kind for one in story.conclusions} == {"transfer", "session"}
