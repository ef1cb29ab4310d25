"""What a failed test leaves behind is freed before the next test, silently: it would fail there as a warning.

Its traceback keeps coroutines and sockets alive. They are freed at some later moment, and with warnings as errors the
test that runs at that moment fails for them.
"""

import gc
import sys
from collections.abc import Generator
from traceback import clear_frames

import pytest

_FAILED = pytest.StashKey[list[BaseException]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remembers what a test failed with; its report is text by then."""
    report = yield
    if report.failed and call.excinfo is not None:
        item.stash.setdefault(_FAILED, []).append(call.excinfo.value)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Frees it after the test's last phase."""
    result = yield
    errors = item.stash.get(_FAILED, [])
    if errors:
        hook, sys.unraisablehook = sys.unraisablehook, lambda _unraisable: None
        try:
            while errors:
                clear_frames(errors.pop().__traceback__)
            for name in ("last_exc", "last_type", "last_value", "last_traceback"):
                vars(sys).pop(name, None)
            gc.collect()
        finally:
            sys.unraisablehook = hook
    return result
