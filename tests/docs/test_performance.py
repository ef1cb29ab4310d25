"""The pages show measured figures only: those of the results file, in blocks that are made from it."""

import re
from xml.etree import ElementTree

import pytest

from benchmarks.support.figures import Figures
from benchmarks.support.results import Results
from tests.docs.generated import ROOT, load_script

performance_page = load_script("performance_page")
plots = load_script("plots")
sizing = load_script("sizing")

PAGES = ("README.md", "docs/performance.md", "docs/reliability.md")
RUN = {
    "date": "2026-11-21T21:14:08.509Z", "commit": "abc", "size": "full", "seed": 1, "load_before": [0.1, 0.1, 0.1],
    "machine": {"cores": "2", "processor": "any", "memory": "1 GiB", "system": "any"},
    "versions": {"CPython": "3.11", "Redis": "7"},
}  # fmt: skip


def results(**benchmarks: dict[str, list[float]]) -> Results:
    found = Results()
    for name, rounds in benchmarks.items():
        figures = Figures()
        figures.rounds = rounds
        found.add(name, RUN, figures, 1.0)
    return found


@pytest.fixture
def measured() -> Results:
    """Round figures for the calculation: bridged calls cost nothing but their events."""
    kinds = {"bridged": 10, "converted": 20, "transferred": 50}
    return results(
        calls={f"{kind}.{what}": [n] for kind, n in kinds.items() for what in ("events", "callbacks", "requests")}
        | {f"{kind}.redis_bytes": [1_000.0 * n] for kind, n in kinds.items()}
        | {f"{kind}.index_bytes": [100.0] for kind in kinds},
        worker={"ordinary.cpu_us": [50.0], "conference.cpu_us": [100.0], "ordinary.redis_us": [10.0],
                "conference.redis_us": [20.0]},
        webhooks={"webhooks.loaded_cpu_us": [40.0], "webhooks.redis_us": [5.0]},
        busy={"highest.cpu_us": [50.0], "load_50.cpu_us": [75.0],
              "highest.redis_us": [9.0], "load_50.redis_us": [18.0]},
        sessions={"redis_bytes": [6_000.0], "worker_bytes": [2_000.0]},
    )  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_blocks_of_figures_are_known(name):
    blocks = re.findall(r"<!-- figures: (\w+) -->", (ROOT / name).read_text("utf-8"))

    assert blocks
    assert set(blocks) <= performance_page.BLOCKS.keys()
    assert len(performance_page.BLOCK.findall((ROOT / name).read_text("utf-8"))) == len(blocks), "each block is closed"


def test_performance_page_has_no_figure_outside_its_blocks():
    page = performance_page.BLOCK.sub("", (ROOT / "docs" / "performance.md").read_text("utf-8"))
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)|^\d\. |\bp99\b", "", page, flags=re.MULTILINE)

    assert re.findall(r".*\d.*", prose) == []


def test_unmeasured_figures_are_not_invented():
    nothing = Results()

    assert "Not measured yet" in sizing.scale(nothing)
    assert "not measured yet" in performance_page.BLOCKS["figures"](nothing)
    assert not re.search(r"\d (?:ms|µs|s|times)\b", performance_page.BLOCKS["figures"](nothing))
    assert performance_page.BLOCKS["simulation"](nothing) is None, "what the page has stays"


def test_short_runs_and_busy_machines_are_named():
    quiet = performance_page.BLOCKS["when"](results(idle={"worker.percent": [1.0]}))
    assert "2026-11-21 21:14 UTC, commit `abc`, seed 1: idle (1 s)." in quiet
    assert "**" not in quiet

    found = results(idle={"worker.percent": [1.0]})
    found.runs[RUN["date"]] = RUN | {"size": "quick", "load_before": [5.0, 5.0, 5.0]}
    busy = performance_page.BLOCKS["when"](found)
    assert "A short run" in busy
    assert "load 5.0" in busy


def test_figures_show_median_and_spread():
    page = performance_page.BLOCKS["figures"](results(worker={"ordinary.cpu_us": [52.0, 50.0, 51.0]}))

    assert "| Worker: an event of a bridged call | 51 µs of CPU (50 to 52) |" in page


def test_calculation_follows_from_the_measurements(measured):
    costs = sizing.Costs.of(measured)
    # 0.7 x 10 + 0.2 x 20 + 0.1 x 50 = 16 events; 10 of them at 50 us, 6 at 100 us.
    assert costs.mix.events == pytest.approx(16)
    assert costs.mix.worker_us == pytest.approx(1_100)
    assert costs.small_batches_times == pytest.approx(1.5)
    assert costs.mix.webhooks_us == pytest.approx(640)
    assert costs.mix.redis_us == pytest.approx(2 * (10 * 10 + 6 * 20) + 16 * 5)
    assert costs.mix.rest_dials == pytest.approx(0.1)

    assert costs.kinds["transferred"].worker_us == pytest.approx(10 * 50 + 40 * 100)
    shown = sizing.assumptions(measured)
    assert "| Redis memory of the session | 10.0 KB | 20.0 KB | 50.0 KB | 16.0 KB |" in shown

    table = [line.strip("| ").split(" | ") for line in sizing.scale(measured).splitlines()]
    rows = {row[0]: row[1:] for row in table}
    # 100,000 calls of 180 s are 556 new ones a second, 0.61 of a worker's highest rate: two workers at half of it.
    assert rows["New calls per second (concurrent calls / duration)"] == ["5.6", "56", "560"]
    assert rows["Workers, and one spare"] == ["1 + 1", "1 + 1", "2 + 1"]
    assert rows["Redis memory, live sessions"] == ["16.0 MB", "160 MB", "1.6 GB"]
    assert rows["Redis memory, ended sessions of 1 h"] == ["320 MB", "3.2 GB", "32.0 GB"]
    assert rows["Redis memory, index of the calls of 7 days (`CONFERRAL_REPLAY_WINDOW`)"] == [
        "336 MB",
        "3.4 GB",
        "33.6 GB",
    ]
    dials = rows["Of these, dials (Twilio's calls per second)"]
    assert [text.partition(": ")[2] for text in dials] == [
        "the default is enough", "set it in Twilio's Console", "more than you can set yourself; ask Twilio",
    ]  # fmt: skip


def test_each_limit_of_twilio_names_its_page():
    lines = sizing.twilio(Results()).splitlines()[2:]

    assert lines
    assert all(re.search(r"\| \[[^]]+\]\(https://(?:www|support)\.twilio\.com/[^)]+\) \|$", line) for line in lines)


def test_plot_shows_medians_and_their_spread():
    line = [plots.Point(1, 50, 40, 60), plots.Point(100, 80, 70, 95)]
    drawn = plots.svg("title", "about", [plots.Chart("chart", "x", "y", [("name", line)], is_log=True)])

    shown = "".join(ElementTree.fromstring(drawn).itertext())
    assert "50 (40 to 60)" in shown
    assert "80 (70 to 95)" in shown
    assert drawn.count("<circle") == 2


def test_plot_of_nothing_says_so():
    drawn = plots.svg("title", "about", [plots.Chart("chart", "x", "y", [("name", [])])])

    assert "chart: not measured yet" in drawn


@pytest.mark.parametrize(("most", "ticks"), [(95, [0, 20, 40, 60, 80, 100]), (4, [0, 1, 2, 3, 4])])
def test_plot_begins_at_zero_with_round_numbers(most, ticks):
    assert plots._ticks(most, 1, is_log=False) == ticks


def test_each_size_has_one_row(measured):
    busy = {f"load_{load}.{name}": [1.0] for load in (10, 50) for name in ("events_per_s", "p50_ms", "p99_ms")}
    takeover = {f"live_{live}.{name}_s": [1.0] for live in (1_000, 50_000) for name in ("takeover", "p50", "p99")}
    found = results(busy=busy, takeover=takeover)

    assert [row.split(" | ")[0] for row in performance_page._latencies(found).splitlines()[2:]] == ["| 10 %", "| 50 %"]
    assert re.findall(r"`kill -9`, ([\d,]+) live", performance_page._figures(found)) == ["1,000", "50,000"]
