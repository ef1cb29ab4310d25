"""A session as it was at any version, and its history as a file."""

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conferral.operations.explain import people
from conferral.statemachine.session import Session
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import stored_session
from tests.statemachine.scenario import Scenario
from tests.statemachine.test_grid import MOVES
from tests.statemachine.test_pending_command_histories import BEGINNINGS, ORDER_MOVES, OrderHistory
from tests.statemachine.transfer_scenarios import conferenced, talking
from tests.support.log_replay import at_version, shown
from tests.support.sample_logs import recorded


def assert_same_at_every_version(log: list[LogEntry], sessions: list[Session]) -> None:
    last = session_codec.encode(sessions[-1])
    for session in sessions:
        folded = at_version(log, session.version, last)
        assert shown(folded) == shown(session_codec.encode(session))


@pytest.mark.parametrize("beginning", BEGINNINGS)
@given(st.data())
@settings(max_examples=4, deadline=None, derandomize=True, phases=set(hypothesis.Phase) - {hypothesis.Phase.explain})
def test_logged_changes_fold_to_the_session_at_every_version(beginning: str, data: st.DataObject) -> None:
    def play() -> Scenario:
        history = OrderHistory(BEGINNINGS[beginning](), data)
        for name in data.draw(st.lists(st.sampled_from([*MOVES, *ORDER_MOVES]), max_size=15)):
            getattr(history, name)()
        return history.story

    assert_same_at_every_version(*recorded(play))


def completed() -> Scenario:
    return talking("consult").complete().leaves("agent").confirms("customer", "target")


def test_parties_have_the_addresses_that_belong_to_their_legs_whatever_they_are_called_by_now() -> None:
    log, sessions = recorded(completed)
    last = session_codec.encode(sessions[-1])
    version = next(one.version for one in sessions if one.transfer and one.transfer.status == "consulting")

    then = at_version(log, version, last)

    addresses = {party: then[f"party.{party}.address"] for party in ("customer", "agent", "target")}
    assert addresses == {party: sessions[version - 1].parties[party].address for party in addresses}
    assert (
        people.activity_line(stored_session(then))
        == "agent client:alice and target client:bob are talking; customer +…23 is on hold"
    )
    assert [one.text for one in people.audibility(stored_session(then))][1:] == [
        "agent hears target",
        "target hears agent",
    ]


def test_no_address_is_in_what_was_changed() -> None:
    log, _ = recorded(completed)

    for entry in log:
        assert "client:" not in str(entry.changes)
        assert "+1415" not in str(entry.changes)


def test_without_the_beginning_of_the_log_what_was_never_changed_since_is_as_it_is_now() -> None:
    log, sessions = recorded(lambda: conferenced().transfer("warm"))
    last = session_codec.encode(sessions[-1])
    late = [entry for entry in log if entry.version >= 6]

    then = at_version(late, 6, last)

    assert then["party.customer.call_sid"] == last["party.customer.call_sid"]
    assert "transfer.mode" not in then
    assert at_version(late, sessions[-1].version, last)["transfer.mode"] == "warm"
