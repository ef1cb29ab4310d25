"""Tests of one `xdist_group` run in one process, with the pytest that is pinned here.

xdist 3.8 marks a group's tests by writing the attribute `_nodeid` of each. Since pytest 9.2 the id is read from
another, so that the groups had no effect: four browsers were started, and four processes parsed the whole tree.

xdist also counts, after each test, what is pending among all tests that a process was ever given, and searches the list
of all tests for the next one. With 14,000 tests that took a fifth as much of the processor as the tests themselves.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from _pytest.nodeid import coerce_node_id
from xdist.scheduler import LoadGroupScheduling

#: Folders and files of tests that take seconds each. They come first, so that no process ends the run with one alone;
#: only groups come before them, as xdist hands out the largest first.
_LONG = {
    *("browser", "model_checking", "processes", "simulation"),
    *("test_contained_sweeps.py", "test_fuzz.py", "test_lost_redis.py", "test_parity.py", "test_processes.py"),
    *("test_races.py", "test_transfer_faults.py"),
}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Writes what xdist has meant to, in its worker processes."""
    if not hasattr(config, "workerinput"):
        return
    items.sort(key=lambda item: _LONG.isdisjoint((item.path.name, item.path.parent.name)))
    for item in items:
        meant = getattr(item, "_nodeid", item.nodeid)
        if meant != item.nodeid:
            item._id = coerce_node_id(meant)  # type: ignore[attr-defined]


class _Scheduling(LoadGroupScheduling):
    """Hands out the same tests in the same order, and forgets those that are done."""

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        super().add_node_collection(node, collection)
        if node in self.registered_collections:
            self.registered_collections[node] = _Tests(collection)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        super().mark_test_complete(node, item_index, duration)
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][scope].values()):
            del self.assigned_work[node][scope]


class _Tests(list[str]):
    """A list that knows where each of its tests is."""

    def __init__(self, tests: Sequence[str]) -> None:
        super().__init__(tests)
        self._positions = {test: position for position, test in enumerate(tests)}

    def index(self, test: str, *_range: Any) -> int:
        return self._positions[test]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadGroupScheduling | None:
    """Takes xdist's place where tests are spread in groups."""
    return _Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None
