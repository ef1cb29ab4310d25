"""How many examples of a property are tried in `make test`, and in `make soak`."""

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

#: Examples of a property in `make test` (count). `make soak` tries 100 of the same properties.
_EXAMPLES = 25
_SHORT, _LONG = "not soak", "soak"
#: Whether this run leaves the longer tests out, as `make test` and `make test-more`, or is `make soak`.
is_short = is_long = False


def pytest_configure(config: pytest.Config) -> None:
    """Chooses how many examples are tried of a property that doesn't say it itself."""
    # No test may fail because the machine is busy: neither an example nor the making of examples is timed.
    untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("untimed", untimed)
    settings.register_profile("untimed-short", untimed, max_examples=_EXAMPLES)
    global is_short, is_long
    is_short, is_long = config.option.markexpr.startswith(_SHORT), config.option.markexpr == _LONG
    settings.load_profile("untimed-short" if is_short else "untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Has the long run try all properties, before -m chooses."""
    if is_long:
        for item in items:
            if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
                item.add_marker(_LONG)
