"""The time of tests stands still while a process that they wait for has no processor."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fair_time import FairLoop


@pytest.fixture
def starved() -> Iterator[int]:
    """A process that has a processor half of the time: it shares one with another that is as busy."""
    code = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\nwhile True: pass"
    busy = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(2)]
    yield busy[0].pid
    for process in busy:
        process.kill()
        process.wait()


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system keeps no account")
def test_time_stands_still_while_another_process_waits_and_never_goes_back(starved: int) -> None:
    alone, together = FairLoop(set()), FairLoop({starved})
    began_s = time.monotonic()
    behind_s, last_s = 0.0, together.time()
    while behind_s < 0.3:
        assert time.monotonic() - began_s < 60, "it never stands still"
        now_s = together.time()
        assert now_s >= last_s
        behind_s, last_s = alone.time() - now_s, now_s
        time.sleep(0.002)  # a delay: twice within the time after which the kernel is asked again
    passed_s = time.monotonic() - began_s
    assert together.time() - began_s >= 0.2 * passed_s, "whatever waits, time goes on"
    alone.close()
    together.close()
