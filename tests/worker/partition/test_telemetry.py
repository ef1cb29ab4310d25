"""What the metrics say of decisions: bounded words, whatever a session carries."""

import logging
from dataclasses import replace
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import Event, HoldOverdue, LoneOverdue, StageOverdue
from conferral.statemachine.parts import Attempt, TransferState
from conferral.statemachine.reasons import Reason
from conferral.statemachine.session import LOST, Party, Session
from conferral.statemachine.states import Phase, State, TransferMode
from conferral.statemachine.step import CommandReport, CommandStatus, Conclusion, DecisionKind, Step
from conferral.worker.partition import telemetry
from conferral.worker.partition.batch import Decision
from conferral.worker.partition.telemetry import emit_telemetry
from tests.support.each import each
from tests.support.metric_values import value_of
from tests.support.people import ALICE

OVERDUE = StageOverdue(session_id="s", due_ms=1, entry_id="1000-0")


def decided(step: Step, before: Session | None = None, event: Event = OVERDUE) -> tuple[Metrics, list[Any]]:
    """What is counted and logged of a decision at 1.5 s."""
    metrics = Metrics()
    with capture_logs() as lines:
        emit_telemetry([Decision(event, step, before or Session("s"))], 0, metrics, 1_500)
    return metrics, lines


def concluded(*records: Conclusion) -> tuple[Metrics, list[Any]]:
    return decided(Step(Session("s"), DecisionKind.STAYED, conclusions=records))


def transfer(mode: str) -> Conclusion:
    attempts = (Attempt("target", "client:bob", "d1", 1, result="answered"),)
    return Conclusion("o1", "transfer", "s", "completed", mode=mode, to=("client:bob",), attempts=attempts)


def test_each_decision_of_a_commit_is_counted_under_its_event_and_outcome():
    metrics, session = Metrics(), Session("s")
    lone = LoneOverdue(session_id="s", due_ms=1, entry_id="1000-1")
    steps = [
        (OVERDUE, DecisionKind.STAYED),
        (lone, DecisionKind.STALE),
        (OVERDUE, DecisionKind.STAYED),
        (OVERDUE, DecisionKind.STALE),
    ]
    emit_telemetry([Decision(event, Step(session, kind), session) for event, kind in steps], 0, metrics, 1_500)
    counted = [sample for sample in metrics.events.collect()[0].samples if sample.name.endswith("_total")]
    assert [(*sample.labels.values(), sample.value) for sample in counted] == [
        (OVERDUE.name, "stayed", 2), (lone.name, "stale", 1), (OVERDUE.name, "stale", 1)
    ]  # fmt: skip
    assert metrics.registry.get_sample_value("conferral_callback_to_commit_seconds_count") == 4


@each("mode, label", [
    ("warm", "warm"), ("consult", "consult"), ("blind", "blind"), ("park", "park"), ("retrieve", "retrieve"),
    ("teleport", "other"), ("", "other"),
])  # fmt: skip
def test_transfer_is_counted_under_a_mode_that_is_known(mode, label):
    metrics, _ = concluded(transfer(mode))
    counted = metrics.calls.transfers.collect()[0].samples
    assert [sample.labels for sample in counted if sample.name.endswith("_total")] == [
        {"mode": label, "result": "completed"}
    ]


def test_transfer_is_logged_with_its_duration_and_each_attempt_is_counted():
    attempts = tuple(Attempt("target", "client:bob", "d", 1, result=result) for result in ("answered", "busy", ""))
    record = Conclusion("o1", "transfer", "s", "completed", attempts=attempts, started_at_ms=100, ended_at_ms=700)
    metrics, lines = concluded(record)
    assert [(line["attempt"], line["duration_ms"]) for line in lines if line["event"] == "transfer_concluded"] == [
        (3, 600)
    ]
    for result in ("answered", "busy", "cancelled"):
        assert metrics.registry.get_sample_value("conferral_dial_attempts_total", {"result": result}) == 1, result


@pytest.mark.parametrize(("entry_id", "waited_s"), [("1000-0", 0.5), ("1500-0", 0.0), ("1501-0", 0.0)])
def test_time_of_an_event_counts_from_its_entry_on_the_stream(entry_id, waited_s):
    """Redis's clock may have been set back since."""
    metrics, _ = decided(Step(Session("s"), DecisionKind.STAYED), event=replace(OVERDUE, entry_id=entry_id))
    assert metrics.registry.get_sample_value("conferral_callback_to_commit_seconds_sum") == waited_s


def test_decisions_are_counted_by_event_and_outcome():
    event, metrics = LoneOverdue(session_id="s", due_ms=1, entry_id="1000-0"), Metrics()
    before, after = Session("s", lone_until_ms=1), Session("s", State.ENDED, updated_at_ms=1)
    steps = [Step(after, outcome) for outcome in (DecisionKind.MOVED, DecisionKind.MOVED, DecisionKind.STALE)]
    emit_telemetry([Decision(event, step, before) for step in steps], 0, metrics, 1_500)
    for outcome, count in (("moved", 2), ("stale", 1)):
        labels = {"event_name": "lone_overdue", "outcome": outcome}
        assert metrics.registry.get_sample_value("conferral_events_total", labels) == count
    assert metrics.registry.get_sample_value("conferral_lone_conferences_cleaned_total") == 2


@pytest.mark.parametrize(("reason", "label"), [("agent-left", "agent-left"), ("of a later version", "other")])
def test_end_of_a_session_is_counted_by_its_reason_and_is_no_transfer(reason, label):
    metrics, _ = concluded(Conclusion("o1", "session", "s", "ended", reason=reason))
    assert metrics.calls.transfers.collect()[0].samples == []
    assert metrics.registry.get_sample_value("conferral_sessions_ended_total", {"reason": label}) == 1


def test_change_of_state_names_the_calls_of_all_parties():
    parties = {"customer": Party("customer", "customer-1", "CA1"), "agent": Party("agent", "agent-1")}
    _, lines = decided(Step(Session("s", state=State.CONFERENCED, parties=parties), DecisionKind.MOVED))
    assert [line["call_sids"] for line in lines] == ["customer=CA1"]


@pytest.mark.parametrize(
    ("outcome", "before", "event"),
    [
        (DecisionKind.MOVED, State.BRIDGED, "session_moved"),
        (DecisionKind.MOVED, State.CONFERENCED, None),
        (DecisionKind.STAYED, State.CONFERENCED, None),
        (DecisionKind.UNEXPECTED, State.CONFERENCED, "event_unexpected"),
    ],
)
def test_operators_see_changes_of_state_and_what_is_unexpected(monkeypatch, outcome, before, event):
    log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    monkeypatch.setattr(telemetry, "log", log)
    _, lines = decided(Step(Session("s", state=State.CONFERENCED), outcome), Session("s", state=before))
    assert [line["event"] for line in lines] == ([event] if event else [])


def test_message_is_counted_and_ends_no_session():
    metrics, lines = concluded(Conclusion("o1", "voicemail", "s", "recorded", duration_s=7))
    assert metrics.registry.get_sample_value("conferral_messages_total") == 1
    assert metrics.registry.get_sample_value("conferral_sessions_ended_total", {"reason": "other"}) is None
    assert [line["duration_ms"] for line in lines if line["event"] == "message_recorded"] == [7_000]


@pytest.mark.parametrize("result", ["completed", "absent", "failed"])
def test_recording_is_counted_by_its_result_and_ends_no_session(result):
    metrics, lines = concluded(Conclusion("o1", "recording", "s", result, code="16101", duration_s=7))
    assert metrics.registry.get_sample_value("conferral_recordings_total", {"result": result}) == 1
    assert metrics.calls.sessions_ended.collect()[0].samples == []
    (line,) = (line for line in lines if line["event"] == "recording_finished")
    assert (line["outcome"], line["code"], line["duration_ms"]) == (result, "16101", 7_000)


@pytest.mark.parametrize(
    ("number_before", "tried_before", "tried", "place"),
    [
        (2, 0, 1, "recall"), (2, 1, 2, "destination"), (2, 2, 3, "voicemail"), (2, 2, 2, None),
        (1, 3, 1, "recall"), (1, 3, 0, None),
    ],
)  # fmt: skip
def test_places_of_a_fallback_are_counted_as_they_begin(number_before, tried_before, tried, place):
    def session(places_tried: int, number: int = 2) -> Session:
        fallback = ("recall", "client:bob", "voicemail")
        return Session("s", transfer=TransferState(number, TransferMode.BLIND, ("client:alice",), fallback=fallback,
                                                   places_tried=places_tried))  # fmt: skip

    metrics, lines = decided(Step(session(tried), DecisionKind.STAYED), session(tried_before, number_before))
    assert [line["place"] for line in lines if line["event"] == "fallback_begun"] == ([place] if place else [])
    if place:
        assert metrics.registry.get_sample_value("conferral_fallbacks_total", {"place": place}) == 1


def test_agent_who_is_rung_again_after_a_loss_is_counted_once():
    lost = Session("s", parties={"agent": Party("agent", "agent-1")})
    rung = Session("s", parties={"agent": Party("agent", "agent-2", rung_again_because=LOST)})
    metrics, lines = decided(Step(rung, DecisionKind.STAYED), lost)
    assert [line["event"] for line in lines if line["event"] == "lost_agent_rung"] == ["lost_agent_rung"]
    assert value_of(metrics.calls.lost_agents) == 1
    again, _ = decided(Step(rung, DecisionKind.STAYED), rung)
    assert value_of(again.calls.lost_agents) == 0


def test_skipped_agents_are_counted_once():
    skipped = tuple(Attempt("agent", ALICE, f"d{number}", 0, result="away") for number in range(3))
    one, all_three = Session("s", attempts=skipped[:1]), Session("s", attempts=skipped)
    metrics, lines = decided(Step(all_three, DecisionKind.STAYED), one)
    assert [line["count"] for line in lines if line["event"] == "agents_skipped"] == [2]
    assert value_of(metrics.calls.agents_skipped) == 2


@pytest.mark.parametrize(
    "kind, phase, outcome, reason, logged, counted",
    [
        (HoldOverdue, Phase.CONNECTED, DecisionKind.STAYED, Reason.HOLD_LIMIT, "hold_limit_reached", "hold"),
        (HoldOverdue, Phase.CONSULT, DecisionKind.STAYED, Reason.HOLD_LIMIT, "hold_limit_reached", "consult"),
        (HoldOverdue, Phase.CONNECTED, DecisionKind.STAYED, "", None, None),  # fired early
    ],
)
def test_limit_of_a_hold_is_logged_and_counted_when_reached(kind, phase, outcome, reason, logged, counted):
    before = Session("s", phase=phase)
    event = kind(session_id="s", due_ms=1, entry_id="1000-0")
    metrics, lines = decided(Step(before, outcome, reason), before, event)
    assert [line["event"] for line in lines if line["event"].startswith("hold_")] == ([logged] if logged else [])
    found = {kind: value_of(metrics.calls.hold_limits.labels(kind)) for kind in ("hold", "consult")}
    assert found == {"hold": int(counted == "hold"), "consult": int(counted == "consult")}


def test_commands_whose_deadline_has_passed_are_counted_and_logged():
    reports = tuple(
        CommandReport("c1", status, Reason.EXPIRED) for status in (CommandStatus.REJECTED, CommandStatus.FAILED)
    )
    other = CommandReport("c2", CommandStatus.REJECTED, "dial-limit")
    metrics, lines = decided(Step(Session("s", version=2), DecisionKind.REFUSED, reports=(*reports, other)))
    assert [value_of(metrics.commands_expired.labels(status)) for status in ("rejected", "failed")] == [1, 1]
    expired = [line for line in lines if line["event"] == "command_expired"]
    assert [(line["command_id"], line["outcome"]) for line in expired] == [("c1", "rejected"), ("c1", "failed")]
