"""Each test is run by `make test`, `make test-more`, or `make soak`, as the page on tests says."""

import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.flows.twilio_variants import example_of
from tests.support.tiers import KEPT, MORE

ROOT = Path(__file__).parents[1]


def runs_of(target: str) -> list[list[str]]:
    """The arguments of each run of pytest that make would start."""
    printed = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [shlex.split(line) for line in printed.splitlines() if " -m pytest " in line]
    return [line[line.index("pytest") + 1 :] for line in lines]


def collected(arguments: list[str]) -> set[str]:
    """The tests of such a run; an example of a flow counts once, whatever Twilio does in it."""
    command = [sys.executable, "-m", "pytest", *arguments, "-n", "0", "--collect-only", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return {example_of(line) for line in ran.stdout.splitlines() if "::" in line}


def test_nothing_is_in_no_tier() -> None:
    (short,), (more,), (soak, alone) = (runs_of(target) for target in ("test", "test-more", "soak"))
    runs = [short, more, soak, alone, ["-q"]]
    with ThreadPoolExecutor(2) as threads:
        of_test, of_more, of_soak, of_soak_alone, everything = threads.map(collected, runs)
    assert of_test | of_more | of_soak | of_soak_alone == everything
    folders = {test.rpartition("/")[0] for test in of_test & of_more}
    assert set(KEPT) <= of_test
    assert folders == {"tests/flows", "tests/fault_injection"}, "these alone are played twice, at two paces"


def test_the_page_on_tests_says_what_the_second_tier_catches() -> None:
    page = (ROOT / "tests/README.md").read_text("utf-8")
    table = page.partition("\n## The second tier\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert sorted(listed) == sorted(MORE)
