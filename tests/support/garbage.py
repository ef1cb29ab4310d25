"""The garbage collector walks over what tests make, not over the modules and the 13,000 tests that stay to the end.

As the programs do; see `runtime/lifecycle.py`.
"""

import gc
from collections.abc import Generator

import pytest

#: The collector's thresholds (objects, collections, collections).
_THRESHOLDS = (20_000, 20, 20)

# From here on, while tests are collected, hardly anything is let go.
gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the collector from everything that there is once the tests are collected."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.enable()
