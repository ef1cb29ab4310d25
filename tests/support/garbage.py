"""The garbage collector walks over what tests make, not over the modules and the 13,000 tests that stay to the end."""

import gc
from collections.abc import Generator

import pytest

# From here on, while tests are collected, hardly anything is freed.
gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the collector from everything that there is once the tests are collected."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)  # as the program does
        gc.enable()
