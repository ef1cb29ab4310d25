"""The garbage collector walks over what tests make, not over the modules and the 13,000 tests that stay to the end.

As the programs do; see `conferral/runtime/garbage.py`.
"""

import gc
from collections.abc import Generator

import pytest

from conferral.runtime.garbage import collect_rarely

# From here on, while tests are collected, hardly anything is freed.
gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the collector from everything that there is once the tests are collected."""
    try:
        return (yield)
    finally:
        gc.freeze()
        collect_rarely()
        gc.enable()
