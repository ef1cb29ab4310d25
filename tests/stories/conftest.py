"""Which stories are in every run: of a story with many examples, one.

`pytest.mark.examples(1)`, on a story or on all of a file, leaves more of them to the long run.
"""

from collections import defaultdict

import pytest

#: Examples of one story in every run (count); `make soak` plays the others.
EXAMPLES_MAX = 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the examples that are left to the long run."""
    by_story: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        name, bracket, _ = item.nodeid.partition("[")
        if bracket and "/stories/" in name and item.get_closest_marker("soak") is None:
            by_story[name].append(item)
    for examples in by_story.values():
        # In an order that is the same in every process, whatever order the tests are run in.
        examples.sort(key=lambda item: item.nodeid)
        marker = examples[0].get_closest_marker("examples")
        most = marker.args[0] if marker is not None else EXAMPLES_MAX
        last = len(examples) - 1
        kept = {round(last * number / max(1, most - 1)) for number in range(most)}
        for number, item in enumerate(examples):
            if last >= most and number not in kept:
                item.add_marker(pytest.mark.soak)
