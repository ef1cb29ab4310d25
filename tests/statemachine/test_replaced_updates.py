"""The session names the updates for which it waits: a worker's successor repeats no others."""

from tests.statemachine.command_scenarios import ordering


def test_session_waits_for_the_update_before_a_hold_until_the_next_one():
    story = ordering().hold("customer")
    clear, hold = (effect.effect_id for effect in story.last.effects if effect.party == "customer")
    customer = story.session.parties["customer"]
    assert (customer.clearing_effect_id, customer.update_effect_id) == (clear, hold)
    story.confirms("customer").unhold("customer")
    (unhold,) = (effect.effect_id for effect in story.last.effects)
    customer = story.session.parties["customer"]
    assert (customer.clearing_effect_id, customer.update_effect_id) == ("", unhold)


def test_hold_that_replaces_an_update_of_the_flag_clears_it_again():
    """A successor would not repeat the replaced one, and Twilio ignores the flag of a held party."""
    story = ordering().add().expect("conferenced", "unflag customer", "unflag agent").hold("customer")
    clear, hold = (effect for effect in story.last.effects if effect.party == "customer")
    assert (clear.end_on_exit, hold.hold) == (False, True)
    assert story.session.parties["customer"].clearing_effect_id == clear.effect_id
