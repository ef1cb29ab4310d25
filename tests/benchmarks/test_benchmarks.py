"""Every benchmark runs, in a tiny size, so that none breaks unnoticed. Its output is hardly checked."""

import importlib
import math
from collections.abc import Callable
from statistics import median

import pytest

from benchmarks import figures, machine, neighbours
from benchmarks.__main__ import NAMES, main

pytestmark = [pytest.mark.redis, pytest.mark.processes]


@pytest.fixture(autouse=True)
def _on_any_core(monkeypatch):
    """Other tests run next to this one, maybe on these very cores."""
    monkeypatch.setattr(machine, "_ALLOWED_CORES", set())


#: Those that start so many processes that they are left to the long run.
LONG = {"latency", "neighbours", "worker"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.soak] if n in LONG else []) for n in NAMES])
def test_benchmark_names_its_question_and_prints_ratios(name, capsys):
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__.strip().endswith("?")
    machine.run(module.report(module.TINY))
    printed = capsys.readouterr().out
    assert "(rounds " in printed
    assert "nan" not in printed


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_neighbours_of_a_noisy_session_wait_hardly_longer(tell_figure: Callable[[str], None]) -> None:
    """Side by side in one run: what else the machine does slows both down. The figure is to be below two.

    The bounds allow for a busy machine, on which the noise itself takes the CPU that both are measured with.
    """
    measured = machine.run(neighbours.measure(neighbours.Size(rounds=3, samples=80)))
    quiet, noisy, unshed = (measured[kind] for kind in neighbours.KINDS)
    ratios = {
        share: median(one / other for one, other in zip(noisy.of_rounds(share), quiet.of_rounds(share), strict=True))
        for share in (0.5, 0.95)
    }
    tell_figure(
        f"neighbours beside 200 speaker events a second: p50 x {ratios[0.5]:.2f}, p95 x {ratios[0.95]:.2f}; "
        f"{median(noisy.stored_per_s):.0f} of them stored a second"
    )
    assert median(unshed.stored_per_s) > 150, "there was noise"
    assert median(noisy.stored_per_s) < 100, "fifty, and once the burst"
    assert ratios[0.5] < 3
    assert ratios[0.95] < 5


def test_machine_is_described():
    described = "\n".join(machine.describe())
    assert "Redis" in described
    assert "aiohttp" in described


def test_unknown_benchmark_is_refused(capsys):
    assert main(["unheard-of"]) == 2
    assert "webhooks, worker, latency, silence, neighbours" in capsys.readouterr().err


def test_percentiles_are_values_that_were_measured():
    values = [float(number) for number in range(1, 101)]
    assert [figures.percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 51.0, 99.0, 100.0]
    assert figures.percentile([7.0], 0.99) == 7.0
    assert not math.isnan(float(figures.ratio([2.0, 4.0], [1.0, 2.0]).split()[0]))
