"""Which tests run which line, and how long each takes: one run of the suite under coverage, kept for its commit."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from coverage import CoverageData

from tests.mutation.mutants import CORE

#: Tests that compare pages and the tree with the code, or need a browser: they would notice any change of a text.
LEFT_OUT = ("tests/browser", "tests/benchmarks", "tests/docs")
DURATIONS = "durations.json"


class DurationRecorder:
    """The pytest plug-in that notes how long each test took."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds up the phases of a test; leaves out one that fails even without a mutant."""
        if report.failed:
            self._failed.add(report.nodeid)
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        """Writes what was noted; in the process that collects the reports of all."""
        passed = {test: seconds for test, seconds in self._seconds.items() if test not in self._failed}
        self._path.write_text(json.dumps(passed))


def pytest_configure(config: pytest.Config) -> None:
    """Registers the recorder where the reports arrive: not in the processes of xdist."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(DurationRecorder(Path(config.rootpath) / ".mutants" / DURATIONS))


class CoverageMap:
    """Tests by line. Reads the files of `record`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._data = CoverageData(str(folder / "coverage.sqlite"))
        self._data.read()
        self._lines: dict[str, dict[int, list[str]]] = {}
        self._seconds: dict[str, float] = json.loads((folder / DURATIONS).read_text())
        files = {test.partition("::")[0] for test in self._seconds}
        self._texts = {file: (root / file).read_text("utf-8") for file in files}

    def tests_of(self, path: str, line: int, budget_s: float) -> list[str]:
        """Node ids of tests that run a line: those of its own package first, quick ones first.

        Constants and default values run at import, before any test. Tests in files that import the module come first
        then, and after them all tests that run any line of it.

        Args:
            path: Relative to the root.
            line: From 1.
            budget_s: Together they take at most about this long, seconds; a single slow test is always taken.
        """
        by_line = self._by_line(path)
        contexts = by_line.get(line, [])
        importers: set[str] = set()
        if contexts in ([], [""]):
            contexts = [context for found in by_line.values() for context in found]
            importers = self._importers(path)
        ran = {context.partition("|")[0] for context in contexts}
        tests = ran & self._seconds.keys() | importers
        own = f"tests/{path.removeprefix('conferral/').partition('/')[0]}/"
        chosen, spent_s = [], 0.0

        def order(test: str) -> tuple[bool, bool, float, str]:
            is_near = bool(importers) or test.startswith(own)
            return test not in importers, not is_near, self._seconds[test], test

        for test in sorted(tests, key=order):
            if chosen and spent_s + self._seconds[test] > budget_s:
                continue
            chosen.append(test)
            spent_s += self._seconds[test]
        return chosen

    def _by_line(self, path: str) -> dict[int, list[str]]:
        if path not in self._lines:
            self._lines[path] = self._data.contexts_by_lineno(str(self._root / path))
        return self._lines[path]

    def _importers(self, path: str) -> set[str]:
        """Tests in files that import a module, or import from its package."""
        module = "conferral." + path.removeprefix("conferral/").removesuffix(".py").replace("/", ".")
        package = module.rpartition(".")[0]
        imports = (f"from {module} import", f"from {package} import")
        near = {file for file, text in self._texts.items() if any(line in text for line in imports)}
        return {test for test in self._seconds if test.partition("::")[0] in near}


def record(root: Path, folder: Path, tests: Sequence[str]) -> None:
    """Runs the suite under coverage and keeps which tests run which lines; tests that fail are not asked later.

    Raises:
        SystemExit: pytest could not run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "4", "-m", "not soak", "-p", "tests.mutation.coverage_map",
               *(f"--cov={package}" for package in CORE), "--cov-context=test", "--cov-report=",
               *(f"--ignore={path}" for path in LEFT_OUT), *tests]  # fmt: skip
    ran = subprocess.run(command, cwd=root, check=False)
    if ran.returncode not in (0, 1):
        raise SystemExit(f"the tests could not run without a mutant (exit code {ran.returncode})")
    (root / ".coverage").rename(folder / "coverage.sqlite")
    (root / ".mutants" / DURATIONS).rename(folder / DURATIONS)
