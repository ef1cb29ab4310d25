"""What `make test` leaves to `make soak` is not made at all: every process of the run would make it, and drop it."""

from collections.abc import Generator

import pytest


# Outermost: after every hook that marks parameters.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, object, object]:
    """Drops the parameters that are marked for the long run."""
    result = yield
    if metafunc.config.option.markexpr == "not soak":
        is_left = metafunc.definition.get_closest_marker("soak") is not None
        kept = [call for call in metafunc._calls if not (is_left or any(mark.name == "soak" for mark in call.marks))]
        # Without any, there would be a test without parameters; -m drops the one that is left here.
        metafunc._calls = kept or metafunc._calls[:1]
    return result
