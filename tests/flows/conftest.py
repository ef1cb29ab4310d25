"""Which stories are in every run: of a story with many examples one, in one reading of Twilio's documentation.

In the long run, that one is played in other readings as well, which the seed draws, and the other examples in one. A
story that is left to the long run as a whole, by `pytest.mark.soak`, is played there in all of these. A run without -m
has each reading: to repeat a test, name it.
"""

from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from tests.flows.twilio_variants import PREFIX, READINGS, chosen_for, drawn_for, example_of
from tests.support import left_to_soak, local_system
from tests.support.local_system import LocalSystem
from tests.support.marked_system import running
from tests.support.redis_server import RedisServer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes a test of each story in the reading that was chosen for it, and for the long run in others, too."""
    story, readings = metafunc.definition.nodeid, list(READINGS)
    if left_to_soak.is_short:
        readings = [chosen_for(story)]
    elif left_to_soak.is_long:
        readings = [chosen_for(story), *drawn_for(story, metafunc.config.getoption("randomly_seed"))]
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
        # The first name is the same in every process, whatever order the tests are run in.
        usual = [example_of(test.nodeid) for test in tests if test.get_closest_marker("soak") is None]
        if not usual:
            continue
        in_every_run, chosen = min(usual), chosen_for(story)
        for test in tests:
            is_chosen = test.callspec.params["reading"] == chosen
            if (example_of(test.nodeid) == in_every_run) != is_chosen:
                test.add_marker("soak")
            elif not is_chosen:
                dropped.add(test)
    if dropped:
        config.hook.pytest_deselected(items=list(dropped))
        items[:] = [item for item in items if item not in dropped]
