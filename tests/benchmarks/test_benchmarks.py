"""Run every benchmark in a tiny size (`make test` one, `make soak` all others), and test the results file."""

import importlib
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from benchmarks import endurance, neighbors
from benchmarks.__main__ import LONG, NAMES, main
from benchmarks.support import machine
from benchmarks.support.figures import Figures, percentile
from benchmarks.support.results import Results
from tests.conferral.cli_helpers import until

pytestmark = [pytest.mark.redis, pytest.mark.processes]
#: The benchmark that starts no processes besides Redis; `make soak` runs the others.
SHORT = "calls"
WITH_PEERS = {"worker", "latency", "idle"}


@pytest.fixture(autouse=True)
def _on_any_core(monkeypatch):
    """Other tests run next to this one, maybe on these very cores."""
    monkeypatch.setattr(machine, "ALLOWED_CORES", frozenset())


def _marked(name):
    return pytest.param(name, marks=[] if name == SHORT else [pytest.mark.soak])


@pytest.mark.parametrize("name", [_marked(name) for name in (*NAMES, *LONG)])
def test_benchmark_names_its_question_and_measures(name):
    if name in WITH_PEERS and not machine.PEER_PROGRAMS.exists():
        pytest.skip("taskiq and arq are not installed; `make soak` does that")
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__.strip().endswith("?")
    assert module.SIZES.keys() == {"full", "quick", "tiny"}

    figures = machine.run(module.measure(module.SIZES["tiny"], random.Random(1)))

    assert figures.rounds
    assert all(math.isfinite(value) and value >= 0 for rounds in figures.rounds.values() for value in rounds)


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the children of a process from /proc")
@pytest.mark.parametrize("name", ["sessions", "simulation"])
def test_terminated_run_leaves_no_process(name):
    """As a background job of a shell, which ignores SIGINT."""
    run = f"trap '' INT; exec {sys.executable} -m benchmarks {name} --size full"
    process = subprocess.Popen(["sh", "-c", run], cwd=machine.REPOSITORY, stdout=subprocess.DEVNULL)
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        until(lambda: len(listed.read_text().split()) >= 2, "the run has two children", process)
        children = listed.read_text().split()
        process.terminate()
        process.wait(60)
    finally:
        process.kill()
        process.wait()

    # A child that was killed while it started is listed until init, its new parent, reaps it.
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "no child is left")


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_neighbors_of_a_noisy_session_wait_hardly_longer(report_figure: Callable[[str], None]) -> None:
    """Side by side in one run: what else the machine does slows both down. The ratio should be below two.

    The bounds allow for a busy machine, on which the noise itself takes the CPU that both are measured with.
    """
    figures = machine.run(neighbors.measure(neighbors.Size(rounds=3, samples=80), random.Random(1)))
    found = {name: median(rounds) for name, rounds in figures.rounds.items()}
    report_figure(
        f"neighbors of 200 speaker events a second: p50 x {found['noisy_to_quiet_p50_times']:.2f}, "
        f"p95 x {found['noisy_to_quiet_p95_times']:.2f}; {found['noisy.stored_per_s']:.0f} of them stored a second"
    )
    assert found["unshed.stored_per_s"] > 150, "there was noise"
    assert found["noisy.stored_per_s"] < 100, "fifty, and once the burst"
    assert found["noisy_to_quiet_p50_times"] < 3
    assert found["noisy_to_quiet_p95_times"] < 5


def test_machine_is_described():
    described = machine.describe()
    assert {"cores", "processor", "memory", "system"} == described["machine"].keys()
    assert {"Redis", "aiohttp", "taskiq", "arq"} < described["versions"].keys()


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["unheard-of"])
    assert f"known: {', '.join((*NAMES, *LONG))}" in " ".join(capsys.readouterr().err.split())


def test_percentiles_are_values_that_were_measured():
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 51.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0


def test_ratio_is_that_of_each_round():
    figures = Figures()
    for one, other in ((2.0, 1.0), (9.0, 3.0)):
        figures.add("a", one)
        figures.add("b", other)
    figures.add_ratio("a_to_b_times", "a", "b")
    assert figures.rounds["a_to_b_times"] == [2.0, 3.0]


def test_results_keep_each_benchmark_with_its_run(tmp_path: Path):
    path = tmp_path / "results.json"
    figures = Figures()
    figures.add("cpu_us", 12.34567)
    results = Results.read(path)
    results.add("worker", {"date": "monday", "seed": 1}, figures, 5.4)
    results.add("idle", {"date": "monday", "seed": 1}, figures, 5.4)
    results.add("worker", {"date": "tuesday", "seed": 2}, figures, 5.4)
    results.write(path)

    read = Results.read(path)

    assert read.run_of("worker")["seed"] == 2
    assert read.run_of("idle")["seed"] == 1
    assert read.runs.keys() == {"monday", "tuesday"}
    found = read.figure("worker", "cpu_us")
    assert found is not None
    assert found.median == 12.35
    assert read.figure("worker", "nothing") is None
    assert "\n" + " " * 8 + '"cpu_us": [12.35]' in path.read_text(), "one line for each figure"


def test_steady_calls_have_as_many_live_sessions_at_any_time():
    calls = endurance.Calls(sessions=70)
    begun = {event.session_id for event in calls.fill()}
    assert len(begun) == 60

    for _ in range(3):
        events = calls.next(10)
        assert len(events) == 10 * calls.events_of_a_call
        assert len({event.session_id for event in events}) == 70
