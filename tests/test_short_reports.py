"""Which messages a worker of xdist leaves out: those that show nothing."""

from types import SimpleNamespace

import pytest

from tests.support import short_reports

PASSED = {"when": "setup", "outcome": "passed", "duration": 0.001, "sections": []}


def sent(name, **fields):
    messages = []
    worker = SimpleNamespace(sendevent=lambda name, **fields: messages.append((name, fields)))
    short_reports.shorten(worker)
    worker.sendevent(name, **fields)
    return messages


@pytest.mark.parametrize(
    "change",
    [{"when": "call"}, {"outcome": "failed"}, {"outcome": "skipped"}, {"duration": 0.01}, {"sections": [("a", "b")]}],
    ids=str,
)
def test_a_phase_that_shows_something_is_reported(change):
    report = PASSED | change

    assert sent("testreport", data=report) == [("testreport", {"data": report})]


def test_quick_setups_and_teardowns_that_passed_are_not_reported():
    assert sent("testreport", data=PASSED) == sent("testreport", data=PASSED | {"when": "teardown"}) == []


def test_other_messages_are_sent():
    assert sent("logstart", nodeid="one") == []
    assert sent("workerfinished", workeroutput={}) == [("workerfinished", {"workeroutput": {}})]
