"""What the metrics say of decisions: bounded words, whatever a session carries."""

import pytest

from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import StageOverdue
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.statemachine.step import Conclusion, Outcome, Step
from conferral.statemachine.transfer import Attempt
from conferral.storage.partition import Entry
from conferral.worker.deciding import Decided, Decision
from conferral.worker.telling import tell


def told_of(*conclusions: Conclusion) -> Metrics:
    metrics = Metrics()
    step = Step(Session("s"), Outcome.STAYED, conclusions=conclusions)
    event = StageOverdue(session_id="s", due_ms=1)
    decided = Decided(decisions=[Decision(Entry("1000-0", {}), event, step, State.CONFERENCED)])
    tell(decided, 0, metrics, 1_500)
    return metrics


def transfer(mode: str) -> Conclusion:
    attempts = (Attempt("target", "client:bob", "d1", 1, result="answered"),)
    return Conclusion("o1", "transfer", "s", "completed", mode=mode, to="client:bob", attempts=attempts)


@pytest.mark.parametrize("mode, label", [
    ("warm", "warm"), ("consult", "consult"), ("blind", "blind"), ("park", "park"), ("retrieve", "retrieve"),
    ("teleport", "other"), ("", "other"),
])  # fmt: skip
def test_transfer_is_counted_under_a_mode_that_is_known(mode, label):
    counted = told_of(transfer(mode)).transfers.collect()[0].samples
    assert [sample.labels for sample in counted if sample.name.endswith("_total")] == [
        {"mode": label, "result": "completed"}
    ]


def test_end_of_a_session_is_no_transfer():
    assert told_of(Conclusion("o1", "session", "s", "ended")).transfers.collect()[0].samples == []
