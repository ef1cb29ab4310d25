"""A primary, two replicas, and three Sentinels, on loopback: real servers that fail over by themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.ports import HOST, free_port
from tests.support.redis_node import Node, NodeGroup, bound_to, until
from tests.support.split_network import SplitNetwork

#: What the Sentinels call the primary.
NAME = "conferral"
#: What docs/redis.md asks for: a primary that is cut off takes writes for three seconds at most.
MIN_REPLICAS, MAX_LAG_S = 1, 2
#: After how long without an answer the primary counts as dead, milliseconds: shorter than in production, so that tests
#: don't wait, where nothing depends on it.
DOWN_AFTER_MS = 1_000
#: How long a Sentinel waits for a failover that it has begun, milliseconds; twice as long, until it begins another.
FAILOVER_TIMEOUT_MS = 3_000
#: Addresses of loopback for replicas that a network distinguishes.
OWN_HOSTS = ["127.0.0.31", "127.0.0.32"]


class Sentinel(Node):
    """A Sentinel; `lines` are those of its file about the others, as it would write them itself once it knew them."""

    def __init__(
        self, program: Path, folder: Path, port: int, lines: Sequence[str], *, run_id: str, host: str = HOST
    ) -> None:
        super().__init__(program, folder, port, (), host=host)
        self.run_id = run_id
        self.lines = list(lines)

    def arguments(self) -> list[object]:
        bound = bound_to(self.program, self.host)
        own = [f"{name.removeprefix('--')} {value}" for name, value in zip(bound[::2], bound[1::2], strict=True)]
        file = self.folder / "sentinel.conf"
        if not file.exists():  # it keeps there what it has learned
            text = [f"port {self.port}", f"dir {self.folder}", f"logfile {self.folder}/log.txt", *own]
            file.write_text("\n".join([*text, f"sentinel myid {self.run_id}", *self.lines, ""]), "utf-8")
        return [file, "--sentinel"]

    def primary_port(self) -> int:
        """Where it says that the primary is."""
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])


class SentinelServers(NodeGroup):
    """One group of servers.

    Args:
        program: Which redis-server.
        down_after_ms: See `DOWN_AFTER_MS`.
        network: What all of them are reached through; by default directly. Then each replica has an address of its own.
        replicas: How many.
        apart: An address of loopback for the first primary and the last Sentinel, which the network can cut off.
    """

    def __init__(
        self,
        program: Path,
        *,
        down_after_ms: int = DOWN_AFTER_MS,
        network: SplitNetwork | None = None,
        replicas: int = 2,
        apart: str = HOST,
    ) -> None:
        super().__init__("sentinels")
        self.program = program
        self.network = network
        self._ports: dict[int, int] = {}
        self.first = self._server(apart)
        hosts = OWN_HOSTS[:replicas] if network else [HOST] * replicas
        self.servers = [self.first, *(self._server(host, self.first) for host in hosts)]
        self.sentinels = self._made_sentinels([HOST, HOST, apart], down_after_ms)

    def _server(self, host: str, primary: Node | None = None) -> Node:
        port = free_port()
        options: list[object] = [
            "--min-replicas-to-write", MIN_REPLICAS, "--min-replicas-max-lag", MAX_LAG_S,
            "--replica-announce-ip", HOST, "--replica-announce-port", self._published(host, port),
        ]  # fmt: skip
        if primary is not None:
            options += ["--replicaof", HOST, self.port_of(primary)]
        return Node(self.program, self.folder, port, options, host=host)

    def _made_sentinels(self, hosts: Sequence[str], down_after_ms: int) -> list[Sentinel]:
        primary = self.port_of(self.first)
        shared = [
            f"sentinel monitor {NAME} {HOST} {primary} 2",
            f"sentinel down-after-milliseconds {NAME} {down_after_ms}",
            f"sentinel failover-timeout {NAME} {FAILOVER_TIMEOUT_MS}",
            f"sentinel parallel-syncs {NAME} 2",
            *(f"sentinel known-replica {NAME} {HOST} {self.port_of(server)}" for server in self.servers[1:]),
        ]
        places = [(host, free_port(), f"{number:040x}") for number, host in enumerate(hosts, 1)]
        made = []
        for host, port, run_id in places:
            lines = [*shared, f"sentinel announce-ip {HOST}", f"sentinel announce-port {self._published(host, port)}"]
            made.append(Sentinel(self.program, self.folder, port, lines, run_id=run_id, host=host))
        for one in made:
            others = (other for other in made if other is not one)
            one.lines += [f"sentinel known-sentinel {NAME} {HOST} {self.port_of(two)} {two.run_id}" for two in others]
        return made

    def _published(self, host: str, port: int) -> int:
        if self.network is not None and port not in self._ports:
            self._ports[port] = self.network.relay_to(host, port)
        return self._ports.get(port, port)

    def port_of(self, node: Node) -> int:
        """Where others reach a server: its own port, or its relay's."""
        return self._ports.get(node.port, node.port)

    def lag(self) -> None:
        """Holds back what the primary sends to one of its replicas, until the primary has died."""
        assert self.network is not None
        primary = self.primary()
        lagging = next(server for server in self.servers if server is not primary)
        self.network.hold_back(self.port_of(primary), lagging.host)

    def kill_while_it_lags(self) -> None:
        """Kills the primary; what was held back is lost."""
        assert self.network is not None
        primary = self.primary()
        primary.kill()
        self.network.cut(self.port_of(primary))

    def at(self, port: int) -> Node:
        """The server that others reach there."""
        return next(server for server in self.servers if self.port_of(server) == port)

    @property
    def url(self) -> str:
        """Names all Sentinels."""
        hosts = ",".join(f"{HOST}:{self.port_of(sentinel)}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}/0"

    def all_nodes(self) -> list[Node]:
        return [*self.sentinels, *self.servers]

    def start(self) -> None:
        for node in (*self.servers, *self.sentinels):
            node.start()
        self.wait_until_whole()

    def restore(self) -> None:
        """Starts again what is down, and waits until it is whole."""
        for node in (*self.servers, *self.sentinels):
            if not node.is_up:
                node.start()
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Waits until all replicas that are up follow the primary, and all Sentinels that are up know of them."""
        until(self._is_whole, f"{self.url} is whole")

    def _is_whole(self) -> bool:
        sentinels = [one for one in self.sentinels if one.is_up]
        ports = {sentinel.primary_port() for sentinel in sentinels}
        if len(ports) != 1:
            return False
        role = self.at(ports.pop()).ask("ROLE")
        replicas = sum(server.is_up for server in self.servers) - 1
        return role[0] == "master" and len(role[2]) == replicas and all(_knows(one, replicas) for one in sentinels)

    def primary(self) -> Node:
        """The server that most Sentinels call the primary."""
        ports = [sentinel.primary_port() for sentinel in self.sentinels if sentinel.is_up]
        return self.at(max(set(ports), key=ports.count))

    def wait_until_replaced(self, former: Node) -> Node:
        """Waits until the Sentinels name another primary; returns it."""
        until(lambda: self.primary() is not former, f"{former!r} is replaced")
        return self.primary()


def _knows(sentinel: Sentinel, replicas: int) -> bool:
    """Whether a Sentinel could fail over now: it has heard from its peers, and from so many replicas lately."""
    found: list[dict[str, Any]] = [_fields(one) for one in sentinel.ask("SENTINEL", "REPLICAS", NAME)]
    linked = [one for one in found if one["flags"] == "slave" and one.get("master-link-status") == "ok"]
    return len(linked) >= replicas and str(sentinel.ask("SENTINEL", "CKQUORUM", NAME)).startswith("OK")


def _fields(answer: Any) -> dict[str, Any]:
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
