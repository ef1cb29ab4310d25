"""Redis Cluster client that repeats only what a node refused.

redis-py provides nodes, connections, and the slot map. Routing a command to its node is our own code, because redis-py

- asks a node for the position of XREAD's key, twice before each read. If that node dies, reads fail for good.
- fails a whole pipeline when a node dies, even what other nodes have stored, and keeps asking the dead node. If the
  connection breaks midway, errors come back as answers, which look like stored results.
- reloads the map after each failure while everything waits, even calls on healthy nodes.
- raises AttributeError for a slot that is migrating to a node it does not know yet.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis import exceptions as redis_errors
from redis.asyncio.cluster import ClusterNode, PipelineCommand, RedisCluster

from conferral.storage.connection.errors import NoClusterError, NoNodeError, set_redis_node
from conferral.storage.connection.redis_classes import as_connection_error, connection_class
from conferral.storage.scripts import SCRIPT_COMMANDS

#: Minimum interval between map reloads, seconds: while a primary is dead, every command to it fails.
REFRESH_EVERY_S = 0.5
#: Maximum redirections per command, count; more means that the nodes disagree.
REDIRECTIONS_MAX = 8

#: The node is gone, or no longer serves its slots: the command may or may not have been executed.
_FAILURES = (redis_errors.ConnectionError, redis_errors.TimeoutError, redis_errors.ClusterDownError, OSError)


class ClusterClient(RedisCluster):
    """Sends each command to the primary that has its key."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands_parser = _NoCommandsParser()  # type: ignore[assignment]
        ours = self.connection_kwargs["connection_class"] = connection_class(self.connection_kwargs["connection_class"])
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = ours
        self._seed_nodes = dict(self.nodes_manager.startup_nodes)
        #: Whether the slot map is loaded, and no answer has shown that it is old.
        self.has_valid_map = False
        #: When the map may be loaded next, seconds of the loop's clock.
        self._next_load_s = 0.0
        self._failed_node: str | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command once; resend only what a node refused."""
        if "target_nodes" in options or args[0] in self.command_flags:
            with as_connection_error():
                await self._ensure_slot_map()
                return await super().execute_command(*args, **options)  # addressed to nodes, not to a key
        (answer,) = await self._run([PipelineCommand(0, *args, **options)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run_all(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """Send commands in one pipeline per node; return answers and errors."""
        return await self._run([PipelineCommand(index, *arguments) for index, arguments in enumerate(commands)])

    def node_of(self, key: str) -> str:
        """Return a key's primary by the last slot map; empty if unknown."""
        nodes = self.nodes_manager.slots_cache.get(self.keyslot(key))
        return str(nodes[0].name) if nodes else ""

    def replica_counts(self) -> dict[str, int]:
        """Return the number of replicas of each primary, by its address."""
        return {nodes[0].name: len(nodes) - 1 for nodes in self.nodes_manager.slots_cache.values()}

    async def aclose(self) -> None:
        """Close all connections, even those of a map that was never loaded."""
        await super().aclose()
        await self.nodes_manager.aclose()
        await self.nodes_manager.aclose("startup_nodes")

    async def initialize(self, *args: Any, **options: Any) -> "ClusterClient":
        """See redis-py, which calls it before commands to named nodes."""
        with self._as_no_node_error():
            await super().initialize(*args, **options)
        return self

    async def _ensure_slot_map(self) -> None:
        """Load the slot map if it is invalid, at most every `REFRESH_EVERY_S`."""
        if self.has_valid_map:
            return
        now_s = asyncio.get_running_loop().time()
        if self.nodes_manager.slots_cache and now_s < self._next_load_s:
            return
        self._next_load_s = now_s + REFRESH_EVERY_S
        with self._as_no_node_error():
            await self.nodes_manager.initialize(last_failed_node_name=self._failed_node)
        self.has_valid_map = True

    @contextmanager
    def _as_no_node_error(self) -> Iterator[None]:
        """Raise NoNodeError if no known node answers, or NoClusterError.

        Adds the URL's nodes for the next time: their host name may resolve to new nodes.
        """
        try:
            yield
        except redis_errors.RedisClusterException as error:
            for name, node in self._seed_nodes.items():
                self.nodes_manager.startup_nodes.setdefault(name, node)
            # redis-py replaces an error that a node answered, which is then its error's context.
            refusal = error.__cause__ and (error.__cause__.__context__ or error.__cause__)
            if "cluster support disabled" in str(refusal):
                raise NoClusterError("not a cluster") from error
            raise NoNodeError("no node of the cluster returned the slot map") from refusal or error

    def _primary_of(self, args: Sequence[Any]) -> ClusterNode:
        nodes = self.nodes_manager.slots_cache.get(self.keyslot(key_of(args)))
        if not nodes:
            raise NoNodeError("no node has the key's slot")
        return nodes[0]

    async def _invalidate_node(self, node: ClusterNode) -> None:
        """Drop a failed node's connections; its slots may have moved."""
        self._failed_node = node.name
        self.has_valid_map = False
        node.update_active_connections_for_reconnect()
        await node.disconnect_free_connections()

    async def _redirect_target(self, error: redis_errors.AskError) -> ClusterNode:
        """Return a redirection's node; after MOVED, correct the slot map."""
        manager = self.nodes_manager
        if isinstance(error, redis_errors.MovedError):
            self.has_valid_map = False  # other slots may have moved, too
            await manager.move_slot(error)
        found = manager.get_node(error.host, error.port)
        if found is None:  # new in the cluster, without a slot yet
            found = ClusterNode(error.host, error.port, "primary", **self.connection_kwargs)
            manager.set_nodes(manager.nodes_cache, {found.name: found})
        return found

    async def _run(self, commands: Sequence[PipelineCommand]) -> list[Any]:
        of_node: dict[ClusterNode, list[PipelineCommand]] = {}
        with as_connection_error():
            await self._ensure_slot_map()
            for command in commands:
                of_node.setdefault(self._primary_of(command.args), []).append(command)
            await asyncio.gather(*(self._send(node, *own) for node, own in of_node.items()))
            for command in commands:  # in sequence, to preserve the order per key
                await self._follow_redirections(command)
        return [command.result for command in commands]

    async def _follow_redirections(self, command: PipelineCommand) -> None:
        """Send a command where its slot is; nodes that refused have not run it."""
        for _ in range(REDIRECTIONS_MAX):
            if not isinstance(error := command.result, redis_errors.AskError):
                return
            node = await self._redirect_target(error)
            asking = () if isinstance(error, redis_errors.MovedError) else (PipelineCommand(0, "ASKING"),)
            await self._send(node, *asking, command)
        if isinstance(command.result, redis_errors.AskError):
            command.result = redis_errors.TryAgainError("the nodes disagree about the slot", status_code="TRYAGAIN")

    async def _send(self, node: ClusterNode, *commands: PipelineCommand) -> None:
        """Send commands to a node; store each one's answer or error in it."""
        try:
            with as_connection_error():
                await node.execute_pipeline(list(commands))
        except _FAILURES as error:
            for command in commands:
                command.result = error
        failures = [command.result for command in commands if isinstance(command.result, _FAILURES)]
        for failure in failures:
            set_redis_node(failure, node.name)
        if any(not isinstance(one, redis_errors.MaxConnectionsError) for one in failures):
            await self._invalidate_node(node)


class _NoCommandsParser:
    """Replaces redis-py's, which asks a node for the positions of keys."""

    async def initialize(self, _node: ClusterNode | None = None) -> None:
        """Do nothing."""


def key_of(args: Sequence[Any]) -> Any:
    """Return the first key of a command."""
    if args[0] in SCRIPT_COMMANDS:
        return args[3]
    if args[0] == "XREAD":
        return args[args.index(b"STREAMS") + 1]
    return args[1]
