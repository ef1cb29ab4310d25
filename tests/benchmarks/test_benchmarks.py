"""Run every benchmark in a tiny size (`make test` one, `make soak` all others), and test the results file."""

import importlib
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from benchmarks.__main__ import LONG, NAMES, main
from benchmarks.promises import PROMISES, Promise
from benchmarks.support import machine, programs
from benchmarks.support.calls import RecordedCall, call_sids, events_key
from benchmarks.support.figures import Figures, Results, percentile
from tests.conferral.cli_helpers import until

pytestmark = [pytest.mark.redis, pytest.mark.processes]
#: The one that starts the fewest processes; `make soak` runs the others.
SHORT = "start"
WITH_PEERS = {"worker", "transfer"}


@pytest.fixture(autouse=True)
def _on_any_core(monkeypatch):
    """Other tests run next to this one, maybe on these very cores."""
    monkeypatch.setattr(machine, "ALLOWED_CORES", frozenset())


def _marked(name):
    return pytest.param(name, marks=[] if name == SHORT else [pytest.mark.soak])


@pytest.mark.parametrize("name", [_marked(name) for name in (*NAMES, *LONG)])
async def test_benchmark_names_its_question_and_measures_what_is_promised(name):
    if name in WITH_PEERS and not programs.PEERS.exists():
        pytest.skip("taskiq and Flask are not installed; `make soak` does that")
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__.strip().endswith("?")
    assert module.SIZES.keys() == {"full", "quick", "tiny"}

    with machine.pinned_redis() as url:
        redis = Redis.from_url(url)
        figures = await module.measure(module.SIZES["tiny"], random.Random(1), url, redis)
        await redis.aclose()

    assert all(math.isfinite(value) for rounds in figures.rounds.values() for value in rounds)
    promised = {promise for promise in PROMISES if promise.benchmark == name}
    needed = {one.figure for one in promised} | {figure for one in promised for _, figure in one.others}
    assert needed <= figures.rounds.keys()


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the children of a process from /proc")
@pytest.mark.parametrize("name", ["endurance", "simulation"])
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


async def test_program_that_ends_is_reported_with_the_end_of_its_log():
    with pytest.raises(SystemExit, match="no such luck"):
        async with programs.Program(sys.executable, "-c", "raise SystemExit('no such luck')", port=1):
            pass


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["unheard-of"])
    assert f"known: {', '.join((*NAMES, *LONG))}" in " ".join(capsys.readouterr().err.split())


def test_copies_of_a_call_have_sids_of_their_own_and_go_on_at_the_same_time():
    entry = {b"session": b"CAa", b"leg": b"CAb"}
    recorded = RecordedCall(("CAa", "CAb"), [entry | {b"n": b"1"}], [entry | {b"n": b"2"}])

    found = recorded.whole(5, at_once=2)

    sessions, legs = zip(*(call_sids(number) for number in (0, 1, 0, 1, 2)), strict=True)
    assert [stream for stream, _ in found] == [events_key(session) for session in sessions]
    assert [entry[b"session"].decode() for _, entry in found] == list(sessions)
    assert [entry[b"leg"].decode() for _, entry in found] == list(legs)
    assert [entry[b"n"] for _, entry in found] == [b"1", b"1", b"2", b"2", b"1"]


def test_percentiles_are_values_that_were_measured():
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 51.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0


def test_share_may_be_shown_as_how_many_times_more():
    promise = Promise("", "one", "share", "times", most=4, is_inverse=True, others=(("both", "sum"),))
    results = Results({"one": {"figures": {"share": [0.2, 0.25, 0.5], "sum": [3.0]}}})

    assert promise.rounds(results) == [5.0, 4.0, 2.0]
    assert (promise.value(results), promise.is_kept(results), promise.value(results, "sum")) == (4.0, True, 3.0)


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
    results.add("worker", {"commit": "a"}, figures)
    results.add("idle", {"commit": "a"}, figures)
    results.add("worker", {"commit": "b"}, figures)
    results.write(path)

    read = Results.read(path)

    assert read.run_of("worker")["commit"] == "b"
    assert read.run_of("idle")["commit"] == "a"
    assert read.rounds("worker", "cpu_us") == [12.35]
    assert read.rounds("worker", "nothing") == []
    assert "\n" + " " * 6 + '"cpu_us": [12.35]' in path.read_text(), "one line for each figure"


def test_promise_is_kept_only_if_it_was_measured_and_lies_within_its_bound():
    results, figures = Results(), Figures()
    for value in (4.0, 5.0, 9.0):
        figures.add("a_ms", value)
    results.add("any", {}, figures)

    kept = Promise("A", "any", "a_ms", "ms", most=5)
    assert kept.verdict(results) == "ok     A: 5 ms (at most 5)"
    assert Promise("A", "any", "a_ms", "ms", least=5).is_kept(results)
    assert Promise("A", "any", "a_ms", "ms", most=4).verdict(results) == "MISSED A: 5 ms (at most 4)"
    assert not Promise("A", "any", "a_ms", "ms", least=6).is_kept(results)
    assert Promise("A", "any", "b_ms", "ms", most=9).verdict(results) == "MISSED A: not measured (at most 9)"
