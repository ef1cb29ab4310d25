"""Which stories are in every run: of a story with many examples one, each in one reading of Twilio's documentation.

`pytest.mark.examples(1)`, on a story or on all of a file, leaves more of them to the long run. There, those that are in
every run are played in each reading, and the others in one.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Generator, Mapping

import pytest
from _pytest.python import CallSpec

from tests.flows.twilio_variants import PREFIX, READINGS, chosen_for, example_of
from tests.support import local_system
from tests.support.local_system import LocalSystem
from tests.support.marked_system import running
from tests.support.redis_server import RedisServer

#: Examples of one story in every run (count); `make soak` plays the others.
EXAMPLES_MAX = 1


@pytest.fixture(autouse=True, params=READINGS, ids=lambda name: f"{PREFIX}{name}")
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


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, object, object]:
    """Marks what is left to the long run; drops its other examples in all readings but one.

    Before there are tests of them: of a story with ten examples, fifty would be made and most of them dropped.
    """
    result = yield
    story = metafunc.definition
    by_example: dict[str, list[CallSpec]] = defaultdict(list)
    for call in metafunc._calls:
        by_example[example_of(f"{story.nodeid}[{call.id}]")].append(call)
    every_run = _in_every_run(story, by_example)
    dropped: set[int] = set()
    for example, readings in by_example.items():
        for call in readings:
            is_chosen = call.params["reading"] == chosen_for(example)
            if (example in every_run) != is_chosen:
                call.marks.append(pytest.mark.soak.mark)
            elif not is_chosen:
                dropped.add(id(call))
    metafunc._calls = [call for call in metafunc._calls if id(call) not in dropped]
    return result


def _in_every_run(story: pytest.Item, by_example: Mapping[str, list[CallSpec]]) -> set[str]:
    """The examples of one story that `make test` plays."""
    if story.get_closest_marker("soak") is not None:
        return set()
    # In an order that is the same in every process, whatever order the tests are run in.
    names = sorted(name for name, calls in by_example.items() if "soak" not in {mark.name for mark in calls[0].marks})
    if not names:
        return set()
    marker = story.get_closest_marker("examples")
    most = marker.args[0] if marker is not None else EXAMPLES_MAX
    last = len(names) - 1
    if last < most:
        return set(names)
    return {names[round(last * number / max(1, most - 1))] for number in range(most)}
