"""A test that leaves a pipelining connection open fails itself.

Otherwise the test fails that runs when the collector finds the socket, and its traceback says nothing about the leak.
"""

import weakref
from collections.abc import Generator

import pytest

from conferral.storage.connection import pipelining

_links: "weakref.WeakSet[pipelining._Link]" = weakref.WeakSet()


class _WatchedLink(pipelining._Link):
    def __init__(self, connection: object, timeout_s: float) -> None:
        super().__init__(connection, timeout_s)
        _links.add(self)


pipelining._Link = _WatchedLink  # type: ignore[misc]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    """Checks the connections whose loop the test has closed."""
    yield
    left = [link for link in _links if link._loop.is_closed()]
    for link in left:
        _links.discard(link)
    still_open = [link._connection for link in left if not link._transport.is_closing()]
    assert not still_open, f"left open: {still_open}"
