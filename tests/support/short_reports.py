"""Workers of xdist report a test in three messages instead of six, because each costs both processes a tenth of a ms.

Left out are the start of a test, and a setup or teardown that passed, was quick, and printed nothing. pytest shows
nothing of these, `--durations` neither.
"""

from typing import Any

import pytest

#: Shorter phases are not listed by `--durations`, seconds. Source: pytest docs, `--durations-min`.
_SHORT_S = 0.005


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Let a worker of xdist send only what the controller shows."""
    for plugin in session.config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor":
            shorten(plugin)


def shorten(worker: Any) -> None:
    send = worker.sendevent

    def send_if_shown(name: str, **fields: Any) -> None:
        if name != "logstart" and not (name == "testreport" and _shows_nothing(fields["data"])):
            send(name, **fields)

    worker.sendevent = send_if_shown


def _shows_nothing(report: dict[str, Any]) -> bool:
    return bool(
        report["when"] != "call"
        and report["outcome"] == "passed"
        and report["duration"] < _SHORT_S
        and not report["sections"]
    )
