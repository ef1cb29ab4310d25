"""Which stories are in every run: of a story with many examples one, each in one reading of Twilio's documentation.

`pytest.mark.examples(1)`, on a story or on all of a file, leaves more of them to the long run. There, those that are in
every run are played in each reading, and the others in one.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.flows.twilio_variants import PREFIX, READINGS, chosen_for, example_of
from tests.support import local_system

#: Examples of one story in every run (count); `make soak` plays the others.
EXAMPLES_MAX = 1

#: The stories stand here, wherever the folder is moved.
FOLDER = Path(__file__).parent


@pytest.fixture(autouse=True, params=READINGS, ids=lambda name: f"{PREFIX}{name}")
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How Twilio behaves in this story."""
    name: str = request.param
    monkeypatch.setattr(local_system, "READING", READINGS[name])
    return name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what is left to the long run; drops its other examples in all readings but one."""
    by_story: dict[str, dict[str, list[pytest.Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        if FOLDER in item.path.parents:
            by_story[item.nodeid.partition("[")[0]][example_of(item.nodeid)].append(item)
    dropped: set[pytest.Item] = set()
    for examples in by_story.values():
        every_run = _in_every_run(examples)
        for example, readings in examples.items():
            for item in readings:
                is_chosen = _reading_of(item) == chosen_for(example)
                if (example in every_run) != is_chosen:
                    item.add_marker(pytest.mark.soak)
                elif not is_chosen:
                    dropped.add(item)
    if dropped:
        config.hook.pytest_deselected(items=list(dropped))
        items[:] = [item for item in items if item not in dropped]


def _in_every_run(examples: Mapping[str, list[pytest.Item]]) -> set[str]:
    """The examples of one story that `make test` plays."""
    # In an order that is the same in every process, whatever order the tests are run in.
    names = sorted(name for name, items in examples.items() if items[0].get_closest_marker("soak") is None)
    if not names:
        return set()
    marker = examples[names[0]][0].get_closest_marker("examples")
    most = marker.args[0] if marker is not None else EXAMPLES_MAX
    last = len(names) - 1
    if last < most:
        return set(names)
    return {names[round(last * number / max(1, most - 1))] for number in range(most)}


def _reading_of(item: pytest.Item) -> str:
    assert isinstance(item, pytest.Function)
    return str(item.callspec.params["reading"])
