"""A client of a Redis Cluster: repeats nothing but what a node has refused, and soon finds a replica that took over.

Nodes, connections and the map of the slots are redis-py's; how a command finds its node is ours, for these reasons:

- redis-py asks a node for the place of XREAD's key, twice before each read, and asks it by a connection of its own
  choice. When that node dies, reading fails for good: the failure is none that makes it look for the others.
- When a node dies, redis-py's pipeline fails as a whole, with what other nodes have stored, and asks the same dead node
  ever after. Where the connection breaks in the middle, the errors come as answers, to be taken for what was stored.
- Each failure makes it read the map anew, while everybody waits. Two thirds of the calls, whose nodes are well, shall
  not wait for that.
- A slot that is being moved to a node that is not known yet ends in an AttributeError.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.cluster import ClusterNode, ClusterPipeline, PipelineCommand, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MaxConnectionsError,
    MovedError,
    RedisClusterException,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.storage.connection.error_mapping import as_connection_error, map_errors
from conferral.storage.connection.packing import pack_with_hiredis
from conferral.storage.scripts import SCRIPT_COMMANDS

#: The map is read anew at most so often, seconds: while a primary is dead and no replica has taken over yet, every
#: command to it fails.
REFRESH_EVERY_S = 0.5
#: Nodes that one command may be sent on to, count; more means that they don't agree.
REDIRECTIONS_MAX = 8
#: Pause before a node is asked again that has only a part of the keys, because the slot is being moved, seconds: a
#: command succeeds at most this long after Redis could have taken it.
TRY_AGAIN_AFTER_S = 0.02
#: For how long it is asked again, seconds; together with the last answer less than a command may take.
TRY_AGAIN_FOR_S = 1.5

#: The node is gone, or does not serve its slots any more: nobody knows whether a command took place.
_FAILURES = (RedisConnectionError, RedisTimeoutError, ClusterDownError, OSError)


class ClusterClient(RedisCluster):
    """Sends each command to the primary that has its key."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, reinitialize_steps=0)
        self.commands_parser = _KeyPositions()  # type: ignore[assignment]
        quick = map_errors(pack_with_hiredis(self.connection_kwargs["connection_class"]))
        self.connection_kwargs["connection_class"] = quick
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = quick
        #: The nodes of the URL, by their address.
        self._seed_nodes = dict(self.nodes_manager.startup_nodes)
        #: From when on the map may be read anew, seconds of the loop's clock.
        self._next_refresh_s = 0.0
        self._failed_node: str | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Sends one command, once; only what a node refused to do is sent again."""
        with as_connection_error():
            if "target_nodes" in options or args[0] in self.command_flags:
                return await super().execute_command(*args, **options)  # meant for nodes, not for a key
            await self._ensure_slot_map()
            return await self._execute_command(self._owner(args), *args, **options)

    async def exchange(
        self, commands: Sequence[tuple[Any, ...]], on_answer: Callable[[int, Any], None] | None = None
    ) -> list[Any]:
        """Sends commands to their nodes, one pipeline for each, and returns all answers in order.

        An answer that is an exception is that of its command alone, also where its node is gone.

        Args:
            commands: What is sent.
            on_answer: Told the place of a command and its answer as soon as its node has answered: another node may be
                silent. Not told of what is sent on to other nodes.
        """
        waiting = [PipelineCommand(at, *command) for at, command in enumerate(commands)]
        await self._exchange(waiting, on_answer)
        return [command.result for command in waiting]

    def pipeline(self, transaction: Any | None = None, shard_hint: Any | None = None) -> ClusterPipeline:
        """Commands that go out together; without a transaction they may be of any slots."""
        return super().pipeline(transaction, shard_hint) if transaction else _Pipeline(self)

    def node_of(self, key: str) -> str:
        """The address of the primary that has a key, as the map was read last; empty while that is not known."""
        nodes = self.nodes_manager.slots_cache.get(self.keyslot(key))
        return str(nodes[0].name) if nodes else ""

    def replica_counts(self) -> dict[str, int]:
        """How many replicas each primary has (count), by its address; as the map was read last."""
        owners = self.nodes_manager.slots_cache.values()
        return {nodes[0].name: len(nodes) - 1 for nodes in owners}

    async def aclose(self) -> None:
        """Closes all connections; redis-py leaves them open while the map is in doubt."""
        self._initialize = False
        await super().aclose()

    # ---- the map -------------------------------------------------------------------------------------------------

    async def initialize(self, *args: Any, **options: Any) -> "ClusterClient":
        """Reads the map.

        Raises:
            redis.exceptions.ConnectionError: no node tells it; redis-py's own error here is none of Redis's errors.
        """
        try:
            await super().initialize(*args, **options)
        except RedisClusterException as error:
            # Of those that were known none answers: next the URL is asked again, whose name may lead to new ones.
            for name, node in self._seed_nodes.items():
                self.nodes_manager.startup_nodes.setdefault(name, node)
            raise RedisConnectionError("no node of the cluster tells its map") from error
        return self

    async def _ensure_slot_map(self) -> None:
        """Reads the map where there is none, or where it is in doubt; whoever comes meanwhile goes by the old one."""
        if not self._initialize:
            return
        now_s = asyncio.get_running_loop().time()
        if self.nodes_manager.slots_cache and now_s < self._next_refresh_s:
            return
        self._next_refresh_s = now_s + REFRESH_EVERY_S
        await self.initialize(last_failed_node_name=self._failed_node)

    def _owner(self, args: Sequence[Any]) -> ClusterNode:
        nodes = self.nodes_manager.slots_cache.get(self.keyslot(key_of(args)))
        if not nodes:
            raise RedisConnectionError("no node has the key's slot")
        return nodes[0]

    async def _invalidate_node(self, node: ClusterNode) -> None:
        """A node has failed: its connections are worth nothing, and another one may have its slots."""
        self._failed_node = node.name
        self._initialize = True
        node.update_active_connections_for_reconnect()
        await node.disconnect_free_connections()

    async def _redirect_target(self, error: AskError) -> ClusterNode:
        """The node that a redirection names."""
        manager = self.nodes_manager
        if isinstance(error, MovedError):
            self._initialize = True  # more may have moved than this slot
            await manager.move_slot(error)
        found = manager.get_node(error.host, error.port)
        if found is None:  # new in the cluster, and has no slot yet
            found = ClusterNode(error.host, error.port, "primary", **self.connection_kwargs)
            manager.set_nodes(manager.nodes_cache, {found.name: found})
        return found

    # ---- commands ------------------------------------------------------------------------------------------------

    async def _execute_command(self, target_node: ClusterNode, *args: Any, **options: Any) -> Any:
        node, is_asking, redirections = target_node, False, 0
        give_up_at_s = asyncio.get_running_loop().time() + TRY_AGAIN_FOR_S
        while True:
            try:
                with as_connection_error():
                    if is_asking:
                        return await _send_asking(node, args, options)
                    return await node.execute_command(*args, **options)
            except AskError as error:
                redirections += 1
                if redirections > REDIRECTIONS_MAX:
                    raise
                node, is_asking = await self._redirect_target(error), not isinstance(error, MovedError)
            except TryAgainError:
                # Redis refuses a command with several keys until all of them are on one node again.
                # Source: Redis docs, TRYAGAIN error; Redis Cluster specification, "Multiple keys operations".
                if asyncio.get_running_loop().time() >= give_up_at_s:
                    raise
                await asyncio.sleep(TRY_AGAIN_AFTER_S)
                node, is_asking, redirections = self._owner(args), False, 0
            except MaxConnectionsError:
                raise  # ours are all in use, the node is well
            except _FAILURES:
                await self._invalidate_node(node)
                raise

    async def _exchange(
        self, commands: Sequence[PipelineCommand], on_answer: Callable[[int, Any], None] | None = None
    ) -> None:
        with as_connection_error():
            await self._ensure_slot_map()
        of_node: dict[ClusterNode, list[PipelineCommand]] = {}
        for command in commands:
            of_node.setdefault(self._owner(command.args), []).append(command)
        await asyncio.gather(*(self._send(node, own, on_answer) for node, own in of_node.items()))
        # One after the other: those of one key stay in their order.
        for command in commands:
            if isinstance(command.result, (AskError, TryAgainError)):
                try:
                    command.result = await self.execute_command(*command.args, **command.kwargs)
                except (*_FAILURES, AskError, TryAgainError) as error:
                    command.result = error

    async def _send(
        self, node: ClusterNode, commands: list[PipelineCommand], on_answer: Callable[[int, Any], None] | None
    ) -> None:
        try:
            with as_connection_error():
                await node.execute_pipeline(commands)
        except _FAILURES as error:
            for command in commands:
                command.result = error
        if on_answer is not None:
            for command in commands:
                if not isinstance(command.result, (AskError, TryAgainError)):
                    on_answer(command.position, command.result)
        results = (command.result for command in commands)
        if any(isinstance(one, _FAILURES) and not isinstance(one, MaxConnectionsError) for one in results):
            await self._invalidate_node(node)


class _Pipeline(ClusterPipeline):
    """Fails as that of a single server does: as a whole, when nobody knows what has been done."""

    #: redis-py asks for it by its type and never uses it here.
    _event_dispatcher: Any = None

    def __init__(self, client: ClusterClient) -> None:
        super().__init__(client, transaction=False)
        self._client = client
        self._commands: list[PipelineCommand] = []

    def __len__(self) -> int:
        return len(self._commands)

    def execute_command(self, *args: Any, **kwargs: Any) -> "_Pipeline":
        """Appends a command."""
        self._commands.append(PipelineCommand(len(self._commands), *args, **kwargs))
        return self

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        """Sends them; see redis-py. Redirections are always followed."""
        del allow_redirections
        commands, self._commands = self._commands, []
        await self._client._exchange(commands)  # noqa: SLF001
        answers = [command.result for command in commands]
        worst: Exception | None = next(
            (one for one in answers if isinstance(one, (*_FAILURES, AskError, TryAgainError))), None
        )
        if worst is None and raise_on_error:
            worst = next((one for one in answers if isinstance(one, Exception)), None)
        if worst is not None:
            raise worst
        return answers


class _KeyPositions:
    """In place of redis-py's: where a command has its keys is known, so no node is asked."""

    async def initialize(self, _node: ClusterNode | None = None) -> None:
        """Needs nothing."""

    async def get_keys(self, *args: Any) -> tuple[Any, ...]:
        """The first key; the others of a command are in the same slot, or Redis refuses it."""
        return (key_of(args),)


def key_of(args: Sequence[Any]) -> Any:
    """The first key of a command of ours, its name in front.

    >>> key_of(("XREAD", "COUNT", 1, b"STREAMS", "a", "0")), key_of(("GET", "a"))
    ('a', 'a')
    """
    if args[0] in SCRIPT_COMMANDS:
        return args[3]
    if args[0] == "XREAD":
        return args[args.index(b"STREAMS") + 1]
    return args[1]


async def _send_asking(node: ClusterNode, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """A command to a node that is being given the slot: on the same connection behind what allows it."""
    command = PipelineCommand(1, *args, **options)
    await node.execute_pipeline([PipelineCommand(0, "ASKING"), command])
    if isinstance(command.result, Exception):
        raise command.result
    return command.result
