"""The pages show measured figures only: those of the results file, in blocks that are made from it."""

import re

import pytest

from benchmarks.support.figures import Figures, Results
from tests.docs.generated import ROOT, load_script

performance_page = load_script("performance_page")

PAGES = ("README.md", "docs/performance.md", "docs/reliability.md")
RUN = {
    "date": "2026-11-21T21:14:08+00:00", "commit": "abc", "size": "full", "seed": 1, "load_before": 0.1,
    "machine": "2 cores", "versions": {"CPython": "3.11"},
}  # fmt: skip


def results(**benchmarks: dict[str, list[float]]) -> Results:
    found = Results()
    for name, rounds in benchmarks.items():
        figures = Figures()
        figures.rounds = rounds
        found.add(name, RUN, figures)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_blocks_of_figures_are_known(name):
    blocks = re.findall(r"<!-- figures: (\w+) -->", (ROOT / name).read_text("utf-8"))

    assert blocks
    assert set(blocks) <= performance_page.BLOCKS.keys()
    assert len(performance_page.BLOCK.findall((ROOT / name).read_text("utf-8"))) == len(blocks), "each block is closed"


def test_performance_page_has_no_figure_outside_its_blocks():
    page = performance_page.BLOCK.sub("", (ROOT / "docs" / "performance.md").read_text("utf-8"))

    assert not re.findall(r"\d[\d.,]* (?:ms|µs|MB|KB|GB|times|events)", page)


def test_what_was_not_measured_is_said_to_be_so():
    for make in performance_page.BLOCKS.values():
        text = make(Results())
        assert "not measured yet" in text
        assert not re.search(r"\d (?:ms|µs|s|times)\b", text)


def test_page_names_the_commit_of_its_figures_and_what_else_the_machine_did():
    measured = results(idle={"worker.percent": [1.0]})
    assert "- Commit `abc`, 2026-11-21, seed 1: idle.\n" in performance_page.BLOCKS["when"](measured)

    measured.benchmarks["idle"]["run"] = RUN | {"load_before": 3.0, "size": "quick"}
    when = performance_page.BLOCKS["when"](measured)
    assert "A short run" in when
    assert "load 3.0" in when


def test_figure_is_the_median_of_its_rounds_next_to_its_promise():
    page = performance_page.BLOCKS["figures"](
        results(worker={"taskiq_to_worker_times": [5.0, 3.0, 4.0], "worker.cpu_us": [50.0], "taskiq.cpu_us": [200.0]})
    )
    assert "| at least 3 | 4 times (3 to 5) | Conferral, µs: 50, taskiq, µs: 200 |" in page
