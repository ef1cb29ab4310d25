"""Every benchmark runs, in a size that measures nothing: so that none rots. What it prints is not looked at closely."""

import importlib
import math

import pytest

from benchmarks import figures, machine
from benchmarks.__main__ import NAMES, main

pytestmark = [pytest.mark.redis, pytest.mark.processes]


@pytest.fixture(autouse=True)
def _on_any_core(monkeypatch):
    """Other tests run beside this one, maybe on these very cores."""
    monkeypatch.setattr(machine, "_ALLOWED_CORES", set())


@pytest.mark.parametrize("name", NAMES)
def test_benchmark_names_its_question_and_prints_ratios(name, capsys):
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__.strip().endswith("?")
    machine.run(module.report(module.TINY))
    printed = capsys.readouterr().out
    assert "(rounds " in printed
    assert "nan" not in printed


def test_machine_is_told():
    described = "\n".join(machine.describe())
    assert "Redis" in described
    assert "aiohttp" in described


def test_unknown_benchmark_is_refused(capsys):
    assert main(["unheard-of"]) == 2
    assert "webhooks, worker, latency, silence" in capsys.readouterr().err


def test_percentiles_are_values_that_were_measured():
    values = [float(number) for number in range(1, 101)]
    assert [figures.percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 51.0, 99.0, 100.0]
    assert figures.percentile([7.0], 0.99) == 7.0
    assert not math.isnan(float(figures.ratio([2.0, 4.0], [1.0, 2.0]).split()[0]))
