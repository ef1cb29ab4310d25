"""A seed repeats exactly: every callback of the loop, in two processes whose hashes differ."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEED = 4


def traced(folder: Path, hash_seed: str) -> bytes:
    file = folder / f"trace-{hash_seed}"
    subprocess.run(
        [sys.executable, "-m", "tests.simulation", f"--seed={SEED}", "--sessions=1000", f"--trace={file}",
         "--set=arrivals_per_s=5", "--set=talk_max_s=240",
         "--set=redis_refused=0.005", "--set=redis_reply_lost=0.005"],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, check=False, timeout=600,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return file.read_bytes()


# Sets with more than a handful in them, whose order differs by the process; sweeps; timers by the thousand.
@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_a_seed_repeats_to_the_last_callback(tmp_path: Path) -> None:
    first, second = (traced(tmp_path, hash_seed) for hash_seed in "12")
    assert first.count(b"\n") > 10_000
    if first != second:
        pairs = enumerate(zip(first.splitlines(), second.splitlines(), strict=False))
        number, (one, other) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
        raise AssertionError(f"callback {number} is {one.decode()} in one run and {other.decode()} in the other")
    assert sha256(first).digest() == sha256(second).digest()
