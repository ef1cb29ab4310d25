"""Finds the one server that has all keys.

It is the server that the URL names, the primary that Sentinels name, or the node of a cluster that has the prefix's
slot. Connections ask when they connect, and connect again after their server has refused a command because it is not
the primary. No other module knows that the primary may change.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.driver_info import DriverInfo
from redis.exceptions import MovedError, RedisError

from conferral.storage.connection.errors import (
    CLUSTER_SETTING_WRONG,
    SENTINEL_SETTING_WRONG,
    NoPrimaryError,
    NoSentinelError,
    UnknownNameError,
    WrongTopologyError,
    as_connection_error,
)
from conferral.storage.connection.replication import Replication
from conferral.storage.connection.url import Address, RedisUrl, Topology

#: Minimum interval between two questions, and between reconnects, seconds: the answer may be the old one for a while.
ASK_EVERY_S = 0.5
#: How often a Sentinel is asked while nothing seems wrong, seconds.
REFRESH_EVERY_S = 1.0
#: Timeout of a question to one Sentinel or node, seconds: a silent one must not use up a command's time.
ASK_TIMEOUT_S = 0.5
#: Options of every connection. By default, redis-py retries, and reads its version from a file for each connection.
OPTIONS: dict[str, Any] = {
    "retry": Retry(NoBackoff(), 0),
    "driver_info": DriverInfo(),
    "protocol": 2,
    "decode_responses": False,
}
#: Hosts that stand for "the one you asked". Source: Redis docs, CLUSTER SLOTS.
_UNKNOWN_HOSTS = ("", "?")

#: Returns the primary's address; None for the server that the URL names.
Find = Callable[[], Awaitable[Address | None]]
#: Makes it ask another Sentinel first.
AskAnother = Callable[[], None]
#: Connects to a Sentinel or a node for one question.
Connect = Callable[[Address], Redis]


class PrefixError(ValueError):
    """The prefix does not keep all keys in one slot of a cluster."""


class Primary:
    """Where the primary is: one for all connections of a process."""

    def __init__(
        self, find: Find, topology: Topology = Topology.SERVER, ask_another: AskAnother = lambda: None
    ) -> None:
        self.topology = topology
        self.replication = Replication(is_expected=topology is not Topology.SERVER)
        #: Where it was found last; None before, and if the URL names it.
        self.address: Address | None = None
        #: Connections of an earlier generation connect again before their next use.
        self.generation = 0
        self._find, self._ask_another = find, ask_another
        #: The last answer was of no use: it may be of a Sentinel that is cut off from the others.
        self._is_suspected = False
        self._question: asyncio.Future[None] | None = None
        self._asked_at_s = self._left_at_s = float("-inf")

    async def find(self) -> None:
        """Find the primary; raise redis-py's `ConnectionError` if that fails.

        Callers at the same moment share one question, and its failure.
        """
        await asyncio.shield(self._ask(ASK_EVERY_S))

    def refresh(self) -> None:
        """Ask Sentinels in the background, if that was not done just now.

        Each use of a connection calls this. When they name another primary, the former one may take writes for seconds,
        all of which will be lost.
        """
        if self.topology is Topology.SENTINEL:
            self._ask(REFRESH_EVERY_S)

    def leave(self, generation: int, error: Exception) -> None:
        """Make a generation's connections connect again.

        One of them has met another server. MOVED names the primary's address. Otherwise, do nothing if that was done
        just now.
        """
        if generation != self.generation:
            return  # another connection has reported it
        self._is_suspected = True
        loop = asyncio.get_running_loop()
        follows = self.topology is Topology.CLUSTER
        if follows and isinstance(error, MovedError) and error.host not in _UNKNOWN_HOSTS:
            self._question, self._asked_at_s = loop.create_future(), loop.time()
            self._question.set_result(None)
            self.address = (error.host, error.port)
        elif loop.time() - self._left_at_s < ASK_EVERY_S:
            return
        self._left_at_s = loop.time()
        self.generation += 1

    def suspect(self, generation: int) -> None:
        """Make the next question go to another Sentinel.

        The server that the last one named can't be reached, or takes no writes.
        """
        if generation == self.generation:  # otherwise another server has been named since
            self._is_suspected = True

    def _ask(self, every_s: float) -> "asyncio.Future[None]":
        now_s = asyncio.get_running_loop().time()
        if self._question is None or (self._question.done() and now_s - self._asked_at_s >= every_s):
            self._asked_at_s = now_s
            self._question = asyncio.ensure_future(self._find_and_note())
            # No one else may await it, and an error that is never retrieved would be logged.
            self._question.add_done_callback(lambda question: question.cancelled() or question.exception())
        return self._question

    async def _find_and_note(self) -> None:
        if self._is_suspected:
            self._is_suspected = False
            self._ask_another()
        found = await self._find()
        if self._question is not asyncio.current_task():
            return  # MOVED is newer
        if self.address is not None and found != self.address:
            self.generation += 1
            self._is_suspected = False  # what was refused meanwhile was refused by the former one
        self.address = found


def primary_of(url: str, prefix: str) -> Primary:
    """Return what finds it; may raise RedisUrlError or PrefixError."""
    parsed = RedisUrl.parse(url)
    if parsed.topology is Topology.SENTINEL:
        sentinels = Sentinels(parsed)
        return Primary(sentinels, Topology.SENTINEL, sentinels.ask_another)
    if parsed.topology is Topology.CLUSTER:
        if not re.search(r"\{[^}]+\}", prefix):
            raise PrefixError("must be in braces on a cluster, such as {conferral}: they keep all keys in one slot")
        return Primary(ClusterNodes(parsed, key_slot(prefix.encode())), Topology.CLUSTER)
    return Primary(_named_by_url)


async def _named_by_url() -> None:
    """Leave it to redis-py, which resolves the name for each connection."""


class Sentinels:
    """Asks Sentinels for the primary, first the one that answered last.

    While none answers, it is where it was: open connections stay there, too, and each new one checks the role.
    """

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._hosts = list(url.hosts)
        self._found: Address | None = None

    async def __call__(self) -> Address:
        """Return the primary's address, or raise NoPrimaryError.

        `SENTINEL MASTERS`, which redis-py's own `Sentinel` reads, shows a failover seconds later.
        """
        try:
            found = await self._first_answer("SENTINEL GET-MASTER-ADDR-BY-NAME", self._url.name)
        except NoSentinelError:
            if self._found is None:
                raise
        else:
            self._found = _text(found[0]), int(found[1])
        return self._found

    def ask_another(self) -> None:
        """Ask the one that answered last after all others."""
        self._hosts.append(self._hosts.pop(0))

    async def _first_answer(self, *command: str) -> Any:
        """Return the first answer that is not empty, or raise NoPrimaryError."""
        failure: Exception | None = None
        is_unknown = False
        for host in list(self._hosts):
            try:
                answer = await _ask(self._connect(host), *command)
            except (RedisError, OSError) as error:
                failure = error
            else:
                if answer:
                    return answer
                is_unknown = True
            self.ask_another()
        if is_unknown:
            raise UnknownNameError(f"no Sentinel knows a primary with the name {self._url.name}")
        if "unknown command" in str(failure):
            raise WrongTopologyError(SENTINEL_SETTING_WRONG) from failure
        raise NoSentinelError("no Sentinel answers") from failure

    def _connect(self, address: Address) -> Redis:
        login = {"username": None, "password": None} | self._url.sentinel_login
        return _connect(self._url, address, **login)


class ClusterNodes:
    """Asks nodes for the primary of a slot, each time another one first."""

    def __init__(self, url: RedisUrl, slot: int) -> None:
        self._url, self._slot = url, slot
        self._nodes = list(url.hosts)

    async def __call__(self) -> Address:
        """Return the primary's address, or raise NoPrimaryError."""
        failure: Exception | None = None
        is_unowned = False
        for asked in list(self._nodes):
            try:
                # Not `CLUSTER SHARDS`, which some managed services do not know.
                ranges = await _ask(_connect(self._url, asked), "CLUSTER SLOTS")
            except (RedisError, OSError) as error:
                failure = error
                self._nodes.append(self._nodes.pop(0))
                continue
            primary = None
            known = dict.fromkeys(self._url.hosts)
            for first, last, *nodes in ranges:
                addresses = [(_host(node, asked), int(node[1])) for node in nodes]
                known |= dict.fromkeys(addresses)
                if first <= self._slot <= last:
                    primary = addresses[0]
            self._nodes = [*(one for one in known if one != asked), asked]
            if primary is not None:
                return primary
            is_unowned = True
        if is_unowned:
            raise NoPrimaryError("no node of the cluster has the prefix's slot")
        if "cluster support disabled" in str(failure):
            raise WrongTopologyError(CLUSTER_SETTING_WRONG) from failure
        raise NoPrimaryError("no node of the cluster answers") from failure


def _connect(url: RedisUrl, address: Address, **options: Any) -> Redis:
    pool = ConnectionPool.from_url(url.plain)
    # For one question: nothing has to be closed at the end, and the host's name is resolved each time.
    pool.connection_kwargs |= {
        **OPTIONS,
        "host": address[0],
        "port": address[1],
        "db": 0,
        "socket_timeout": ASK_TIMEOUT_S,
        "socket_connect_timeout": ASK_TIMEOUT_S,
        **options,
    }
    return Redis.from_pool(pool)


async def _ask(client: Redis, *command: str) -> Any:
    with as_connection_error():
        async with client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]


def _host(node: Sequence[Any], asked: Address) -> str:
    host = _text(node[0] or b"")
    return asked[0] if host in _UNKNOWN_HOSTS else host


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
