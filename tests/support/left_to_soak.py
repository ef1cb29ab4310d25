"""What `make test` leaves to `make soak`, and how many examples of a property each of them tries.

Tests that are left are not made at all: every process of the run would make them, and drop them.
"""

from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings
from hypothesis.internal.conjecture import providers

#: Examples of a property in `make test` (count). `make soak` tries 100 of the same properties.
_EXAMPLES = 25
_SHORT, _LONG = "not soak", "soak"
#: Whether this run is `make test`.
is_short = False


def pytest_configure(config: pytest.Config) -> None:
    """Chooses how many examples are tried of a property that doesn't say it itself."""
    # No test may fail because the machine is busy: neither an example nor the making of examples is timed.
    untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("untimed", untimed)
    settings.register_profile("untimed-short", untimed, max_examples=_EXAMPLES)
    global is_short
    is_short = config.option.markexpr == _SHORT
    settings.load_profile("untimed-short" if is_short else "untimed")
    if is_short:
        # Hypothesis tries constants of our code as values. Each process would parse every module for them.
        providers._get_local_constants = lambda: providers._local_constants


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Has the long run try all properties, before -m chooses."""
    if config.option.markexpr == _LONG:
        for item in items:
            if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
                item.add_marker(_LONG)


# Outermost: after every hook that marks parameters.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, object, object]:
    """Drops the parameters that are marked for the long run."""
    result = yield
    if metafunc.config.option.markexpr == _SHORT:
        is_left = metafunc.definition.get_closest_marker(_LONG) is not None
        kept = [call for call in metafunc._calls if not (is_left or any(mark.name == _LONG for mark in call.marks))]
        # Without any, there would be a test without parameters; -m drops the one that is left here.
        metafunc._calls = kept or metafunc._calls[:1]
    return result
