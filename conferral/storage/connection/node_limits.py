"""Concurrency limit per Redis node.

An unresponsive node answers nothing until each command times out. With a single limit for all nodes, its commands would
soon hold every permit, and calls on healthy nodes would wait, too.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from conferral.storage.connection.client import Client


def node_of(client: Client, key: str) -> str:
    """Return a key's node; empty for a single server."""
    address_of: Callable[[str], str] | None = getattr(client, "node_of", None)  # only a cluster client has it
    return address_of(key) if address_of else ""


def grouped_by_node(client: Client, keys: Iterable[str]) -> list[list[str]]:
    """Group keys by node, preserving order."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(node_of(client, key), []).append(key)
    return list(groups.values())


class NodeLimits:
    """Permits per node; holding two would pass one node's delay to another."""

    def __init__(self, client: Client, concurrency: int) -> None:
        self._client = client
        self._nodes: defaultdict[str, _Node] = defaultdict(lambda: _Node(asyncio.Semaphore(concurrency)))

    @asynccontextmanager
    async def permit(self, key: str) -> AsyncIterator[None]:
        """Hold a permit for the node that has a key."""
        node = self._node(key)
        async with node.permits:
            token = object()
            node.started_s[token] = asyncio.get_running_loop().time()
            try:
                yield
            finally:
                del node.started_s[token]

    def is_full(self, key: str) -> bool:
        """Whether a command to a key's node would have to wait for a permit."""
        return self._node(key).permits.locked()

    def is_slow(self, key: str, after_s: float) -> bool:
        """Whether a key's node has not answered a command for `after_s`."""
        return self._node(key).is_slow(after_s)

    def any_is_slow(self, after_s: float) -> bool:
        """Whether any node has not answered a command for `after_s`."""
        return any(node.is_slow(after_s) for node in self._nodes.values())

    def _node(self, key: str) -> "_Node":
        return self._nodes[node_of(self._client, key)]


@dataclass(slots=True)
class _Node:
    permits: asyncio.Semaphore
    #: When each running command was sent, oldest first, seconds of the loop's clock.
    started_s: dict[object, float] = field(default_factory=dict)

    def is_slow(self, after_s: float) -> bool:
        oldest_s = next(iter(self.started_s.values()), None)
        return oldest_s is not None and asyncio.get_running_loop().time() - oldest_s >= after_s
