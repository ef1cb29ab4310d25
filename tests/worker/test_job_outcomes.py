"""The outcome events of an effect."""

from types import SimpleNamespace
from typing import Any

from structlog.testing import capture_logs

from conferral.runtime.errors import ProviderGoneError, ProviderRefusedError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import HangUpCall
from conferral.worker.executor.executor import log_outcome
from conferral.worker.executor.job import Job, JobOutcome, failed, succeeded, unknown
from tests.support.each import each

EFFECT = HangUpCall(effect_id="e1", session_id="S1", party="agent", call_sid="CA1")


def context_of(metrics: Metrics) -> Any:
    core = SimpleNamespace(metrics=metrics, store_clock=SimpleNamespace(now_ms=lambda: 1_000))
    return SimpleNamespace(core=core)


@each(
    "outcome, event, level, result, status, code",
    [
        (succeeded(EFFECT), "effect_performed", "info", "succeeded", 0, 0),
        (failed(EFFECT, ProviderGoneError(http_status=404, code=20404)), "effect_performed", "info", "failed", 404,
         20404),
        (failed(EFFECT, ProviderRefusedError(http_status=400, code=21211)), "effect_abandoned", "error", "failed", 400,
         21211),
        (failed(EFFECT, None), "effect_abandoned", "error", "failed", 0, 0),
        (unknown(EFFECT), "effect_abandoned", "error", "unknown", 0, 0),
    ],
)  # fmt: skip
def test_outcome_is_counted_and_logged_once(
    outcome: JobOutcome, event: str, level: str, result: str, status: int, code: int
) -> None:
    for committed_at_ms, took_ms in ((750, 250), (1_000, 0), (1_001, 0)):
        metrics = Metrics()
        execution: Any = SimpleNamespace(
            job=Job(effect=EFFECT, partition=2, committed_at_ms=committed_at_ms), attempts=3, internal_error="",
            context=context_of(metrics),
        )  # fmt: skip
        with capture_logs() as lines:
            log_outcome(execution, outcome)
        (line,) = lines
        assert (line["event"], line["log_level"]) == (event, level)
        assert (line["outcome"], line["status"], line["code"]) == (result, status, code)
        assert (line["attempt"], line["duration_ms"]) == (3, took_ms)
        assert "reason" not in line
        labels = {"kind": EFFECT.kind, "outcome": result}
        assert metrics.registry.get_sample_value("conferral_effects_total", labels) == 1


def test_internal_error_is_logged_as_the_reason() -> None:
    execution: Any = SimpleNamespace(
        job=Job(effect=EFFECT, partition=2, committed_at_ms=1_000), attempts=1, internal_error="KeyError",
        context=context_of(Metrics()),
    )  # fmt: skip
    with capture_logs() as lines:
        log_outcome(execution, unknown(EFFECT))
    assert [(line["event"], line["reason"]) for line in lines] == [("effect_abandoned", "KeyError")]
