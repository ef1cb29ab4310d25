"""Which stories are in every run: of a story with many examples one, in one reading of Twilio's documentation.

`pytest.mark.examples(2)`, on a story or on all of a file, puts more of them into every run. In the long run, those are
played in each other reading as well, and the other examples in one. With `pytest.mark.soak`, the long run plays all.
"""

from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from tests.flows.twilio_variants import PREFIX, READINGS, chosen_for, example_of
from tests.support import left_to_soak, local_system
from tests.support.local_system import LocalSystem
from tests.support.marked_system import running
from tests.support.redis_server import RedisServer

#: Examples of one story in every run (count); `make soak` plays the others.
EXAMPLES_MAX = 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes a test of each story in the reading that was chosen for it, and for the long run in all others, too."""
    chosen = chosen_for(metafunc.definition.nodeid)
    readings = [chosen] if left_to_soak.is_short else READINGS
    metafunc.parametrize("reading", readings, indirect=True, ids=lambda name: f"{PREFIX}{name}")


@pytest.fixture(autouse=True)
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How Twilio behaves in this story."""
    name: str = request.param
    monkeypatch.setattr(local_system, "READING", READINGS[name])
    return name


@pytest.fixture
async def system(redis_server: RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[LocalSystem]:
    """The whole system, as the nearest mark `system` wants it."""
    async with running(LocalSystem, redis_server.url, request) as system:
        yield system


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves examples to the long run, and most of their readings out of it, before -m chooses."""
    stories: dict[str, list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and "reading" in item.fixturenames:
            stories[item.nodeid.partition("[")[0]].append(item)
    dropped: set[pytest.Item] = set()
    for story, tests in stories.items():
        in_every_run, chosen = _in_every_run(tests), chosen_for(story)
        for test in tests:
            is_chosen = test.callspec.params["reading"] == chosen
            if (example_of(test.nodeid) in in_every_run) != is_chosen:
                test.add_marker("soak")
            elif not is_chosen:
                dropped.add(test)
    if dropped:
        config.hook.pytest_deselected(items=list(dropped))
        items[:] = [item for item in items if item not in dropped]


def _in_every_run(tests: list[pytest.Function]) -> set[str]:
    """The examples of one story that `make test` plays; of one that is marked `soak`, those played in each reading."""
    # In an order that is the same in every process, whatever order the tests are run in.
    marker = tests[0].get_closest_marker("examples")
    usual = [test for test in tests if test.get_closest_marker("soak") is None]
    names = sorted({example_of(test.nodeid) for test in (usual if usual or marker is None else tests)})
    most = marker.args[0] if marker is not None else EXAMPLES_MAX
    last = len(names) - 1
    if last < most:
        return set(names)
    return {names[round(last * number / max(1, most - 1))] for number in range(most)}
