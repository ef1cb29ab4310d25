"""Mutation testing of the core packages: `make mutants`, or `python -m tests.mutation --mutants 50 --seed 7`.

Draws mutants by seed, runs the tests that reach each of them, and lists those that no test kills. A survivor is a hole
in the tests, or equivalent: known equivalent ones are in `equivalent.txt`, each with its reason, and are not counted.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.coverage_map import LEFT_OUT, CoverageMap, record
from tests.mutation.mutants import CORE, Mutant, sample

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".mutants"
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
#: Packages whose tests involve neither processes nor time: a failure there needs no second run.
PURE = ("tests/statemachine/", "tests/telephony/")
#: A process imports so many files of tests first: most mutants need no others.
FILES_FIRST = 8


@dataclass(frozen=True, slots=True)
class Result:
    """What the tests made of a mutant."""

    mutant: Mutant
    #: The first test that failed; `time-out`, `crash`, or `import` where there is none; empty: it survived.
    killed_by: str
    #: Tests that reach it (count).
    tests: int
    source: str


def main() -> int:
    """Exit code 0: the score is reached. 1: it is not."""
    arguments = _arguments()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(100_000)
    _say(f"seed {seed}: repeat with `make mutants MUTANTS={arguments.mutants} SEED={seed}`")
    paths = [
        path for path in _git("ls-files", *(f"{package}/*.py" for package in arguments.only or CORE)).split() if path
    ]
    drawn = sample(ROOT, paths, arguments.mutants, seed)
    folder = CACHE / _git("rev-parse", "HEAD").strip()
    if not (folder / "coverage.sqlite").exists():
        record(ROOT, folder, arguments.tests)
    coverage_map = CoverageMap(ROOT, folder)
    with tempfile.TemporaryDirectory(prefix="mutants-") as copies:
        results = list(_run(drawn, coverage_map, Path(copies), arguments))
    return _report(results, arguments.score)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants")
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", nargs="*", choices=CORE)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budget-s", type=float, default=90.0, help="seconds of tests for each mutant, at most")
    parser.add_argument("--score", type=float, default=93.0, help="percent that must be killed")
    parser.add_argument("--tests", nargs="+", default=["tests"])
    return parser.parse_args()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _run(drawn: list[Mutant], coverage_map: CoverageMap, folder: Path, arguments: argparse.Namespace) -> list[Result]:
    # Coverage is read in this thread: a connection to SQLite belongs to one.
    trials = [_Trial.of(mutant, coverage_map, arguments.budget_s) for mutant in drawn]
    free: SimpleQueue[_Copy] = SimpleQueue()

    def one(trial: _Trial) -> Result:
        copy = free.get()
        try:
            result = Result(trial.mutant, copy.killer(trial), len(trial.tests), trial.source)
        finally:
            free.put(copy)
        _say(f"{'killed  ' if result.killed_by else 'SURVIVED'} {result.mutant} {result.killed_by}")
        return result

    for number in range(arguments.workers):
        free.put(_Copy(folder / str(number)))
    with ThreadPoolExecutor(arguments.workers) as pool:
        return list(pool.map(one, trials))


@dataclass(frozen=True, slots=True)
class _Trial:
    mutant: Mutant
    changed: str
    tests: list[str]
    #: The line.
    source: str

    @classmethod
    def of(cls, mutant: Mutant, coverage_map: CoverageMap, budget_s: float) -> "_Trial":
        tests = coverage_map.tests_of(mutant.path, mutant.line, budget_s)
        line = (ROOT / mutant.path).read_text("utf-8").splitlines()[mutant.line - 1]
        return cls(mutant, mutant.code(ROOT), tests, line.strip())


class _Copy:
    """A copy of the checkout, in which one mutant after the other is tried."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
        # Compiles all files. Later processes compile none: a mutant may have the size and the second of another.
        self._pytest(["--collect-only", *(f"--ignore={path}" for path in LEFT_OUT), "tests"], compiles=True)
        #: Whether a test that failed passes without a mutant.
        self._passes: dict[str, bool] = {}

    def killer(self, trial: _Trial) -> str:
        """What kills a mutant, as in `Result`; a test that fails by chance does not."""
        tests = trial.tests
        while (killer := self._failure_of(trial, tests)) in tests and not self._is_killed(trial, killer):
            tests = tests[tests.index(killer) + 1 :]
        return killer

    def _is_killed(self, trial: _Trial, test: str) -> bool:
        if test not in self._passes:
            self._passes[test] = not self._failure([test])
        return self._passes[test] and (test.startswith(PURE) or bool(self._failure_of(trial, [test])))

    def _failure_of(self, trial: _Trial, tests: list[str]) -> str:
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))[:FILES_FIRST]
        first = [test for test in tests if test.partition("::")[0] in files]
        others = [test for test in tests if test.partition("::")[0] not in files]
        with _changed_file(self._folder / trial.mutant.path, trial.changed):
            return self._failure(first) or self._failure(others)

    def _failure(self, tests: list[str]) -> str:
        """The first of these tests that fails; `import` if they could not be collected; empty when all pass."""
        if not tests:
            return ""
        listed = self._folder / "tests.txt"
        listed.write_text("\n".join(tests))
        try:
            ran = self._pytest(["-x", "--timeout", "60", "--no-header", "--tb", "no", f"@{listed.name}"])
        except subprocess.TimeoutExpired:
            return "time-out"
        if ran.returncode == 0:
            return ""
        lost = f"ERROR: not found: {self._folder}/"
        if unknown := {line.removeprefix(lost) for line in ran.stderr.splitlines() if line.startswith(lost)}:
            # pytest ran none of them; the mutant has changed the node ids of some.
            return self._failure([test for test in tests if test not in unknown])
        failed = [line.partition(" ")[2] for line in ran.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return next((test for test in tests if failed and f"{failed[0]} - ".startswith(f"{test} - ")), "import")

    def _pytest(self, arguments: list[str], *, compiles: bool = False) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider"]
        environ = {**os.environ, "PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "" if compiles else "1"}
        return subprocess.run(
            [*command, *arguments], cwd=self._folder, env=environ, capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip


@contextmanager
def _changed_file(file: Path, changed: str) -> Iterator[None]:
    before = file.read_text("utf-8")
    file.write_text(changed, "utf-8")
    try:
        yield
    finally:
        file.write_text(before, "utf-8")


def _report(results: list[Result], score: float) -> int:
    known = _equivalents()
    survived = [one for one in results if not one.killed_by]
    equivalent = [one for one in survived if f"{one.mutant.path} {one.mutant.operator} {one.source}" in known]
    counted = len(results) - len(equivalent)
    reached = 100 * (len(results) - len(survived)) / counted if counted else 100.0
    left = len(survived) - len(equivalent)
    _say(f"\n{len(results)} mutants, {len(equivalent)} known to be equivalent, {left} survived")
    for package in CORE:
        of_package = [one for one in results if one.mutant.path.startswith(f"{package}/") and one not in equivalent]
        killed = sum(bool(one.killed_by) for one in of_package)
        _say(f"  {package:<14} {killed} of {len(of_package)} killed")
    for one in survived:
        if one not in equivalent:
            _say(f"survived: {one.mutant} ({one.tests} tests reach it)\n    {one.source}")
    _say(f"{reached:.1f} % killed; {score:.0f} % are asked for")
    return 0 if reached >= score else 1


def _equivalents() -> set[str]:
    """`PATH OPERATOR SOURCE` of mutants that change no behavior; the line after each says why."""
    lines = EQUIVALENT.read_text("utf-8").splitlines()
    return {line for line in lines if line and not line.startswith((" ", "#"))}


if __name__ == "__main__":
    sys.exit(main())
