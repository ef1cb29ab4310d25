"""Which tests run in one process, and in which order tests are handed out.

xdist also counts, after each test, what is pending among all tests that a process was ever given, and searches the list
of all tests for the next one. With 14,000 tests that took a fifth as much of the processor as the tests themselves.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Folders and files whose tests run in one process, by the name of their group.
GROUPS = {
    "tests/browser": "browser",  # few browsers are started
    "tests/conferral/demo/test_demo.py": "demo",  # the demo's ports are the same each time
    "tests/docs/test_distribution.py": "distribution",  # built once
    "tests/docs/test_generated.py": "generated",  # each page is made once
    "tests/soak": "endurance",  # each of these runs needs the machine for itself
}
#: In how many processes a browser is started (count). In `make test` it is one: its tests are in files of one group.
_BROWSERS = 2
#: Folders and files of tests that take seconds each. They come first, so that no process ends the run with one alone;
#: only groups come before them, as xdist hands out the largest first.
_LONG = {
    *("browser", "fault_injection", "model_checking", "processes", "simulation"),
    *("test_contained_sweeps.py", "test_fuzz.py", "test_lost_redis.py", "test_parity.py", "test_processes.py"),
}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the long tests first, in xdist's worker processes."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _LONG.isdisjoint((item.path.name, item.path.parent.name)))


def _group_of(test: str) -> str:
    """The group of a test, by its id; otherwise the test is a group of its own."""
    file = test.partition("::")[0]
    group = GROUPS.get(file) or GROUPS.get(file.rpartition("/")[0]) or test
    return f"{group} {crc32(file.encode()) % _BROWSERS}" if group == "browser" else group


class _Scheduling(LoadScopeScheduling):
    """Hands out tests by group, and forgets those that are done."""

    def _split_scope(self, nodeid: str) -> str:  # xdist's schedulers differ in this alone; it has no public name
        return _group_of(nodeid)

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
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Takes the place of xdist's own."""
    return _Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None
