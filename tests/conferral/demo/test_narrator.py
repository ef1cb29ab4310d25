"""The demo's words for entries of a session's log."""

from conferral.demo.narrator import narrate_entry
from conferral.storage.codecs.log_codec import LogEntry

PEOPLE = {"customer": "the customer", "target": "bob"}


def result(update, party, **changes):
    """An entry of a request's result."""
    details = {"kind": "update_participant", "party": party, "detail": update}
    return LogEntry(version=2, event="effect_succeeded", details=details, changes=changes)


def callback(update, party, **changes):
    """An entry of a conference callback."""
    details = {"kind": f"participant-{update}", "party": party}
    return LogEntry(version=2, event="participant_changed", details=details, changes=changes)


HELD, UNHELD = {"party.target.held": "true"}, {"party.customer.held": "false"}


def narrated(*log):
    return [words for entry in log if (words := narrate_entry(entry, PEOPLE))]


def test_hold_that_twilio_confirmed_first_is_narrated_first_whatever_the_order_of_callbacks():
    results = result("hold", "target", **HELD), result("unhold", "customer", **UNHELD)
    late = callback("unhold", "customer"), callback("hold", "target")
    assert narrated(*results, *late) == ["bob is on hold", "the customer is off hold"]


def test_hold_that_its_callback_shows_first_is_narrated_once():
    log = callback("hold", "target", **HELD), result("hold", "target")
    assert narrated(*log) == ["bob is on hold"]
