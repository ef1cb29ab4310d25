"""Boundaries: an unforeseen error costs one item, is logged and counted, and shows nothing that it quotes."""

import asyncio
import io
import json

import pytest

from conferral.runtime import containment, log
from conferral.runtime.containment import ItemKind, contain, run_with_restarts
from conferral.runtime.errors import LeaseLostError
from conferral.runtime.metrics import Metrics
from tests.support import plain_log
from tests.support.strange_errors import ANY_ERRORS, SECRET


@pytest.fixture
def lines():
    stream = io.StringIO()
    log.configure("json", stream, process="test", cache_loggers=False)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    plain_log.configure()


def count(metrics, where):
    return metrics.registry.get_sample_value("conferral_unexpected_errors_total", {"where": where.value}) or 0


@pytest.mark.parametrize("name", ANY_ERRORS)
async def test_any_error_is_kept_logged_and_counted(name, lines):
    metrics, error = Metrics(), ANY_ERRORS[name]()
    with contain(ItemKind.EFFECT, metrics, effect="hold", session_id="CA1") as failure:
        raise error
    assert failure
    assert failure.unexpected is error
    assert failure.reason == f"unexpected {type(error).__name__}"
    assert count(metrics, ItemKind.EFFECT) == 1
    (line,) = lines()
    assert (line["event"], line["level"], line["where"]) == ("unexpected_error", "error", "effect")
    assert (line["effect"], line["session_id"], line["error_type"]) == ("hold", "CA1", type(error).__name__)
    assert "test_containment.py" in line["exception"]
    assert SECRET not in json.dumps(line)
    assert "5550123" not in json.dumps(line)


@pytest.mark.parametrize("error", [LeaseLostError("lost"), SystemExit(1), KeyboardInterrupt(), MemoryError()])
async def test_errors_that_the_caller_handles_and_those_that_end_a_process_pass(error, lines):
    with pytest.raises(type(error)), contain(ItemKind.TIMER, Metrics(), passing=(LeaseLostError,)):
        raise error
    assert lines() == []


async def test_requested_cancellation_propagates(lines):
    async def item():
        with contain(ItemKind.EFFECT, Metrics()):
            await asyncio.Event().wait()

    task = asyncio.create_task(item())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert lines() == []


class Waits:
    """Waits for ever."""

    def __await__(self):
        yield


def test_coroutine_that_is_thrown_away_handles_nothing_more(lines):
    went_on = []

    async def item():
        with contain(ItemKind.EFFECT, Metrics()):
            try:
                await Waits()
            finally:
                _ = {}["a mistake while it is closed"]
        went_on.append(True)

    started = item()
    started.send(None)
    with pytest.raises(KeyError):
        started.close()
    assert (lines(), went_on) == ([], [])


def test_cause_is_shown_with_its_traceback_and_without_its_text(lines):
    def fail():
        try:
            return {}[SECRET]
        except KeyError as error:
            raise LeaseLostError("another worker holds it") from error

    with contain(ItemKind.TASK, Metrics(), task="leases"):
        fail()
    shown = lines()[0]["exception"]
    assert "KeyError\n\nwhich led to:" in shown
    assert shown.endswith("LeaseLostError: another worker holds it")
    assert SECRET not in shown


class Runs:
    """A task that fails so often before it runs until the stop."""

    def __init__(self, stop, failures):
        self.stop, self.failures, self.started = stop, list(failures), 0

    async def __call__(self):
        self.started += 1
        if self.failures:
            raise self.failures.pop(0)
        self.stop.set()


@pytest.fixture
def pauses(monkeypatch):
    waited = []

    async def no_pause(_stop, wait_s):
        waited.append(wait_s)

    monkeypatch.setattr(containment, "wait_at_most", no_pause)
    return waited


async def test_task_that_fails_runs_again_after_a_pause(pauses, lines):
    stop, metrics = asyncio.Event(), Metrics()
    runs = Runs(stop, [make() for make in ANY_ERRORS.values()])
    await run_with_restarts(stop, "gauges", runs, metrics)
    assert runs.started == len(ANY_ERRORS) + 1
    assert count(metrics, ItemKind.TASK) == len(ANY_ERRORS)
    assert pauses == [containment.RESTART_PAUSE_S] * len(ANY_ERRORS)
    assert {line["task"] for line in lines()} == {"gauges"}


async def test_task_that_fails_while_the_process_stops_does_not_run_again(pauses):
    stop = asyncio.Event()
    stop.set()
    runs = Runs(stop, [KeyError(), KeyError()])
    await run_with_restarts(stop, "gauges", runs, Metrics())
    assert (runs.started, pauses) == (1, [])


async def test_error_that_is_to_end_a_task_does(pauses):
    stop = asyncio.Event()
    with pytest.raises(LeaseLostError):
        await run_with_restarts(
            stop, "gauges", Runs(stop, [LeaseLostError("lost")]), Metrics(), passing=(LeaseLostError,)
        )
    assert pauses == []
