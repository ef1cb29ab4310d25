"""Check that scenarios and explored flows take every row of the transition table.

Each process counts the rows that it takes; with xdist, the controller adds up what the workers report. The check runs
when both folders ran and passed. Leaving out the soak tests is allowed, any other selection turns the check off.
It is a plugin instead of a conftest because the controller of xdist collects no tests.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.row_marks import marked, never_taken

_TESTS = Path(__file__).parent.parent
_FOLDERS = tuple(_TESTS / name for name in ("statemachine", "model_checking"))
_OUTPUT = "rows_taken"


class _RowCoverage:
    """The rows that the tests of the folders have taken, in this process or in all workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.is_worker = hasattr(config, "workeroutput")
        self.taken: Counter[int] = Counter()
        #: Whether all of them were to run, as this process or a worker has collected it.
        self.is_whole = False
        self.never: list[str] = []
        self._files: set[Path] = set()
        self._is_filtered = False

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._files.add(item.path)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._is_filtered |= any(_is_ours(item) and item.get_closest_marker("soak") is None for item in items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        names_tests = any("::" in argument for argument in session.config.args)
        files = {file for folder in _FOLDERS for file in folder.glob("test_*.py")}
        self.is_whole = self._files >= files and not self._is_filtered and not names_tests

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if not _is_ours(item):
            return (yield)
        with marked() as taken:
            result = yield
        self.taken.update(taken)
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        output = getattr(node, "workeroutput", {}).get(_OUTPUT)
        if output is not None:
            self.taken.update({int(position): times for position, times in output["taken"].items()})
            self.is_whole |= output["is_whole"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.is_worker:
            positions = {str(position): times for position, times in self.taken.items()}
            output: dict[str, Any] = session.config.workeroutput  # type: ignore[attr-defined]
            output[_OUTPUT] = {"is_whole": self.is_whole, "taken": positions}
        elif self.is_whole and exitstatus == pytest.ExitCode.OK and not session.config.option.collectonly:
            self.never = never_taken(self.taken)
            if self.never:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.never:
            terminalreporter.section("rows of the table that no test takes", red=True)
            for row in self.never:
                terminalreporter.write_line(row)
            terminalreporter.write_line("Write a scenario in tests/statemachine that takes each, or remove the row.")


def pytest_configure(config: pytest.Config) -> None:
    """Turn the check on."""
    config.pluginmanager.register(_RowCoverage(config), "row-coverage")


def _is_ours(item: pytest.Item) -> bool:
    return item.path.parent in _FOLDERS
