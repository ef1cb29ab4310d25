"""A test that fails does not fail the tests that run after it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TWO_TESTS = """
import gc, socket

class Ring: ...

async def work(): ...

def test_fails_and_leaves_much_behind():
    ring = Ring()
    ring.itself, ring.work, ring.socket = ring, work(), socket.socket()
    raise ValueError

def test_next():
    gc.collect()
"""


def test_leftovers_of_a_failed_test_do_not_fail_the_next_one(tmp_path):
    path = tmp_path / "test_two.py"
    path.write_text(TWO_TESTS)
    plugins = ["-p", "tests.support.leak_cleanup", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(tmp_path), *plugins, "-W", "error",
         str(path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 failed, 1 passed" in ran.stdout, ran.stdout + ran.stderr
