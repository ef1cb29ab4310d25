"""Servers behind a plain `redis://`: one with an append-only file, and a primary with a replica that takes its place.

No Sentinel and no cluster is there: a test does what an operator, or a service's own failover, does.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.support.ports import HOST, free_port
from tests.support.redis_node import Node, NodeGroup, until
from tests.support.redis_sentinels import MAX_LAG_S, MIN_REPLICAS, OWN_HOSTS
from tests.support.split_network import SplitNetwork


class LoneServer(NodeGroup):
    """One server with an append-only file; killed, it comes back with what the file has."""

    def __init__(self, program: Path) -> None:
        super().__init__("lone")
        # `everysec` keeps writes in memory, which kill -9 loses, while a slow disk takes the ones before.
        self.node = Node(program, self.folder, free_port(), ["--appendonly", "yes", "--appendfsync", "no"])

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.node.port}/0"

    def all_nodes(self) -> Sequence[Node]:
        return [self.node]

    def start(self) -> None:
        self.node.start()

    def primary(self) -> Node:
        return self.node

    def wait_until_replaced(self, _former: Node) -> None:
        """Starts it again, if it is down."""
        self.restore()

    def restore(self) -> None:
        if not self.node.is_up:
            self.node.start()


class PlainServers(NodeGroup):
    """A primary and a replica behind one address, which leads to the primary."""

    def __init__(self, program: Path, network: SplitNetwork) -> None:
        super().__init__("plain")
        self.network = network
        options = ["--min-replicas-to-write", MIN_REPLICAS, "--min-replicas-max-lag", MAX_LAG_S]
        self.nodes = [Node(program, self.folder, free_port(), options, host=host) for host in OWN_HOSTS]
        self._primary = self.nodes[0]
        self._ports = {node.port: network.relay_to(node.host, node.port) for node in self.nodes}
        self._front = network.relay_to(self._primary.host, self._primary.port)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self._front}/0"

    def all_nodes(self) -> Sequence[Node]:
        return self.nodes

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        self._follow()

    def primary(self) -> Node:
        return self._primary

    @property
    def _replica(self) -> Node:
        return next(node for node in self.nodes if node is not self._primary)

    def lag(self) -> None:
        """Holds back what the primary sends to the replica, until the primary has died."""
        self.network.hold_back(self._ports[self._primary.port], self._replica.host)

    def kill_while_it_lags(self) -> None:
        """Kills the primary; what was held back is lost."""
        self._primary.kill()
        self.network.cut(self._ports[self._primary.port])

    def wait_until_replaced(self, former: Node) -> None:
        """Lets the replica take the place of a primary that is down."""
        if former.is_up:
            return
        self._replica.ask("REPLICAOF", "NO", "ONE")
        self._primary = self._replica
        self.network.lead_to(self._front, self._primary.host, self._primary.port)

    def restore(self) -> None:
        """Starts again what is down, as a replica."""
        if not self._replica.is_up:
            self._replica.start()
        self._follow()

    def _follow(self) -> None:
        self._replica.ask("REPLICAOF", HOST, str(self._ports[self._primary.port]))
        until(lambda: self._replica.ask("ROLE")[3] == "connected", "the replica follows")
