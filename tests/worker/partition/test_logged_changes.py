"""A session's log has what changed at each version."""

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conferral.statemachine.session import Session
from conferral.worker.partition.log_entry import changes_of
from tests.statemachine.scenario import Scenario
from tests.statemachine.test_grid import MOVES
from tests.statemachine.test_pending_command_histories import BEGINNINGS, ORDER_MOVES, OrderHistory
from tests.statemachine.transfer_scenarios import talking
from tests.support.log_replay import folded
from tests.support.sample_logs import recorded


@pytest.mark.parametrize("beginning", BEGINNINGS)
@given(st.data())
@settings(max_examples=4, deadline=None, derandomize=True, phases=set(hypothesis.Phase) - {hypothesis.Phase.explain})
def test_logged_changes_fold_to_the_session_at_every_version(beginning: str, data: st.DataObject) -> None:
    def play() -> Scenario:
        history = OrderHistory(BEGINNINGS[beginning](), data)
        for name in data.draw(st.lists(st.sampled_from([*MOVES, *ORDER_MOVES]), max_size=15)):
            getattr(history, name)()
        return history.story

    log, sessions = recorded(play)
    for count, session in enumerate(sessions, start=1):
        assert folded(log[:count]) == changes_of(session, Session(session.id))


def test_no_address_is_in_what_was_changed() -> None:
    log, _ = recorded(lambda: talking("consult").complete().leaves("agent").confirms("customer", "target"))

    assert {name for entry in log for name in entry.changes} > {"phase", "party.agent.status", "transfer.stage"}
    for entry in log:
        assert "client:" not in str(entry.changes)
        assert "+1415" not in str(entry.changes)
