"""Figures that tests measure: printed at the end of the run, whichever process measured them."""

from collections.abc import Callable, Iterator

import pytest

_NAME = "figure"


@pytest.fixture
def report_figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a line to be shown at the end of the run."""
    return lambda line: record_property(_NAME, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows the lines, in the order of the tests' names."""
    reported = sorted(set(_lines(terminalreporter)))
    if reported:
        terminalreporter.section("figures")
        for test, line in reported:
            terminalreporter.write_line(f"{test}: {line}")


def _lines(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, str]]:
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, line in getattr(report, "user_properties", ()):
                if name == _NAME:
                    yield report.nodeid.rpartition("::")[2], str(line)
