"""A real Redis Cluster for tests: three primaries with a replica each, on loopback, with an append-only file."""

import math
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.ports import HOST, is_free, own_ports
from tests.support.redis_node import Node, NodeGroup, bound_to, until
from tests.support.split_network import SplitNetwork

#: `CONFERRAL_PREFIX` for a cluster: the braces keep all keys in one slot.
PREFIX = "{conferral}"
#: After how long without an answer a node counts as dead, milliseconds.
NODE_TIMEOUT_MS = 1_000
#: The node timeout while a cluster is made, milliseconds. A node forgets another that has not answered its handshake
#: within the timeout, redis-cli asks only once, and then waits forever: a busy machine needs more than a second.
#: Source: `clusterCron` in Redis's source.
JOIN_TIMEOUT_MS = 30_000
#: After this time, seconds, Redis gives up a manual failover; its OK is no promise, and a new request starts another.
#: Source: Redis docs, "CLUSTER FAILOVER", and `CLUSTER_MF_TIMEOUT` in its source.
FAILOVER_TIMEOUT_S = 5.0
#: Ports that are tried; the nodes talk to each other 10,000 above, which is below all that the system chooses from.
_PORTS = range(20_000, 22_700)
_BUS_OFFSET = 10_000


class ClusterNode(Node):
    """A node of a cluster, which connects to others from an address of loopback of its own.

    Args:
        announced_port: Where others reach it; by default where it listens.
    """

    def __init__(self, program: Path, folder: Path, port: int, timeout_ms: int, *, announced_port: int = 0) -> None:
        self.timeout_ms, self.announced_port = timeout_ms, announced_port or port
        self.source = f"127.1.{port // 256}.{port % 256}"
        options = [
            # `everysec` keeps writes in memory, which kill -9 loses, while a slow disk takes the ones before.
            "--appendonly", "yes", "--appendfsync", "no",
            "--cluster-enabled", "yes", "--cluster-node-timeout", timeout_ms, "--cluster-config-file", "nodes.conf",
            "--cluster-require-full-coverage", "no",
            # A replica that was cut off for longer may be promoted too: there is only one for each primary.
            "--cluster-replica-validity-factor", 0,
            "--cluster-announce-ip", HOST, "--cluster-announce-port", self.announced_port,
            "--cluster-announce-bus-port", port + _BUS_OFFSET,
            *bound_to(program, self.source), "--bind", self.source, HOST,
        ]  # fmt: skip
        super().__init__(program, folder, port, options)

    def set_timeout(self, timeout_ms: int) -> None:
        """Changes how long this node waits for another, until it starts again."""
        self.ask("CONFIG", "SET", "cluster-node-timeout", str(timeout_ms))


class ClusterServers(NodeGroup):
    """Three primaries and three replicas of one program."""

    def __init__(
        self, program: Path, *, node_timeout_ms: int = NODE_TIMEOUT_MS, network: SplitNetwork | None = None
    ) -> None:
        super().__init__("cluster")
        self.program, self.network = program, network
        self.nodes = []
        for port in free_cluster_ports(6):
            announced = port if network is None else network.relay_to(HOST, port)
            self.nodes.append(ClusterNode(program, self.folder, port, node_timeout_ms, announced_port=announced))

    @property
    def url(self) -> str:
        """Names all nodes."""
        return f"redis://{','.join(f'{HOST}:{node.announced_port}' for node in self.nodes)}/?cluster=true"

    def all_nodes(self) -> list[ClusterNode]:
        return self.nodes

    def start(self) -> None:
        for node in self.nodes:
            node.start()
            node.set_timeout(JOIN_TIMEOUT_MS)
        addresses = [f"{HOST}:{node.port}" for node in self.nodes]
        command = [_command_line(self.program), "--cluster", "create", *addresses, "--cluster-replicas", "1"]
        made = subprocess.run([*map(str, command), "--cluster-yes"], capture_output=True, timeout=60, check=False)
        assert made.returncode == 0, made.stdout.decode() + made.stderr.decode()
        for node in self.nodes:
            node.set_timeout(node.timeout_ms)
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Waits until every node that is up agrees that all slots are served, and every replica has its primary's
        data."""
        until(lambda: all(map(_is_well, self.up())), "the cluster is whole")

    def up(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.is_up]

    def primaries(self) -> list[ClusterNode]:
        return [node for node in self.up() if node.is_primary()]

    def owner_of(self, key: str) -> ClusterNode:
        """The primary that holds a key now."""
        slot = int(self.up()[0].ask("CLUSTER", "KEYSLOT", key))
        for start, end, primary, *_ in self.up()[0].ask("CLUSTER", "SLOTS"):
            if int(start) <= slot <= int(end):
                return self.at(int(primary[1]))
        raise AssertionError(f"nobody has slot {slot}")

    def replica_of(self, primary: Node) -> ClusterNode:
        """The replica that would follow a primary."""
        (found,) = [node for node in self.up() if node is not primary and self._primary_of(node) is primary]
        return found

    def _primary_of(self, node: ClusterNode) -> ClusterNode | None:
        role = node.ask("ROLE")
        return self.at(int(role[2])) if role[0] == "slave" else None

    def lag(self) -> None:
        """Holds back what the primary sends to its replica, until the primary has died."""
        assert self.network is not None
        primary = self.primary()
        self.network.hold_back(primary.announced_port, self.replica_of(primary).source)

    def kill_while_it_lags(self) -> None:
        """Kills the primary; what was held back is lost."""
        assert self.network is not None
        primary = self.primary()
        primary.kill()
        self.network.cut(primary.announced_port)

    def primary(self) -> ClusterNode:
        """The node that has all keys of an installation with `PREFIX`."""
        return self.owner_of(PREFIX)

    def wait_until_replaced(self, former: Node) -> ClusterNode:
        """Waits until another node is the primary; returns it."""
        until(lambda: self.primary() is not former, f"{former!r} is replaced")
        return self.primary()

    def fail_over(self, primary: Node) -> ClusterNode:
        """Hands a primary's slots to its replica in good order; returns the new primary."""
        replica = self.replica_of(primary)
        asked_at_s = -math.inf

        def has_taken_over() -> bool:
            nonlocal asked_at_s
            if replica.is_primary():
                return True
            if time.monotonic() - asked_at_s >= FAILOVER_TIMEOUT_S:
                asked_at_s = time.monotonic()
                replica.ask("CLUSTER", "FAILOVER")
            return False

        until(has_taken_over, f"{replica} has taken over")
        return replica

    def move_slot(self, slot: int, source: Node, target: Node, *, between: Callable[[], None] = lambda: None) -> None:
        """Moves a slot with all its keys, as an operator's tool does; `between` is called when half of it is there."""
        source_id, target_id = source.ask("CLUSTER", "MYID"), target.ask("CLUSTER", "MYID")
        target.ask("CLUSTER", "SETSLOT", str(slot), "IMPORTING", source_id)
        source.ask("CLUSTER", "SETSLOT", str(slot), "MIGRATING", target_id)
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", str(slot), "100000")
        for at, key in enumerate(keys):
            if at == len(keys) // 2:
                between()
            source.ask("MIGRATE", HOST, str(target.port), key, "0", "5000")
        for node in (target, source, *self.primaries()):
            node.ask("CLUSTER", "SETSLOT", str(slot), "NODE", target_id)

    def restore(self) -> None:
        """Starts again what is down, and waits until it is whole."""
        for node in self.nodes:
            if not node.is_up:
                node.start()
        self.wait_until_whole()

    def at(self, port: int) -> ClusterNode:
        return next(node for node in self.nodes if node.announced_port == port)


def _command_line(program: Path) -> Path:
    """The command line that belongs to a server program."""
    beside = program.with_name(program.name.replace("-server", "-cli"))
    found = beside if beside.exists() else shutil.which("redis-cli")
    assert found, f"no command line beside {program}"
    return Path(found)


def _is_well(node: ClusterNode) -> bool:
    info = dict(line.split(":", 1) for line in str(node.ask("CLUSTER", "INFO")).splitlines() if ":" in line)
    known = int(info["cluster_known_nodes"])
    role = node.ask("ROLE")
    is_linked = role[0] == "master" or role[3] == "connected"
    return info["cluster_state"] == "ok" and known == 6 and info["cluster_slots_ok"] == "16384" and is_linked


def free_cluster_ports(count: int) -> list[int]:
    """Returns free ports of which the ports of the cluster bus are free, too."""
    free = [port for port in own_ports(_PORTS) if is_free(port) and is_free(port + _BUS_OFFSET)]
    assert len(free) >= count, f"of {len(free)} free ports, {count} are needed"
    return free[:count]
