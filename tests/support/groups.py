"""Tests of one `xdist_group` run in one process, with the pytest that is pinned here.

xdist 3.8 marks a group's tests by writing the attribute `_nodeid` of each. Since pytest 9.2 the id is read from
another, so that the groups had no effect: four browsers were started, and four processes parsed the whole tree.
"""

import pytest
from _pytest.nodeid import coerce_node_id


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Writes what xdist has meant to, in its worker processes."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        meant = getattr(item, "_nodeid", item.nodeid)
        if meant != item.nodeid:
            item._id = coerce_node_id(meant)  # type: ignore[attr-defined]
