"""Whether writes wait for a replica, and what is known of replicas.

A failover loses what no replica has. So nothing acts on a write before one has it: see
`ErrorMappingRedis.execute_durably`. Redis says whether a replica is connected (`INFO replication`), whatever the URL
says. With Sentinels or a cluster, one is expected before Redis has said so.
Source: Redis docs, WAIT; INFO, "replication".
"""

import asyncio
import re
from collections.abc import Callable

#: How often Redis is asked for its replicas, seconds.
ASK_EVERY_S = 5.0
#: How long one WAIT waits, milliseconds. It is repeated.
WAIT_MS = 200
#: After how long without a replica that has the write its result counts as unknown, seconds.
WAIT_MAX_S = 2.0
#: How many replicas must have a write before it counts: WAIT's number, and the threshold in `must_wait`. So with 2, a
#: primary with one replica would stop waiting.
REPLICAS_MIN = 1
ASK = ("INFO", "replication")
WAIT = ("WAIT", REPLICAS_MIN, WAIT_MS)

#: A replica, as redis-py names it; one that is still being copied can't confirm anything.
_REPLICA = re.compile(r"slave\d+")
#: How a service that has no WAIT, or does not permit it, refuses it.
_NO_WAIT = re.compile(r"unknown command|no permissions|not allowed|not supported|disabled", re.IGNORECASE)


class Replication:
    """What is known of the primary's replicas, for a whole process."""

    def __init__(self, *, is_expected: bool) -> None:
        #: Whether the primary should have a replica: the URL says so, or it had one.
        self.is_expected = is_expected
        #: As Redis said last (count); None before.
        self.replicas: int | None = None
        #: Whether Redis refuses writes because no replica follows closely enough.
        self.refuses_writes = False
        #: Whether the service has no WAIT: it counts as one server.
        self.lacks_wait = False
        #: Called for each write that counts although no replica has it, where one is expected.
        self.on_unreplicated: Callable[[], None] = lambda: None
        self._asked_at_s = float("-inf")

    @property
    def must_wait(self) -> bool:
        """Whether a write counts only once a replica has it."""
        if self.lacks_wait:
            return False
        return self.is_expected if self.replicas is None else self.replicas >= REPLICAS_MIN

    @property
    def must_ask(self) -> bool:
        """Whether Redis is to be asked for its replicas again.

        With each write while it lacks one that is expected: one that has just connected may still lag.
        """
        is_lacking = self.replicas is not None and self.replicas < REPLICAS_MIN
        is_alone = self.is_expected and is_lacking and not self.lacks_wait
        return is_alone or asyncio.get_running_loop().time() - self._asked_at_s >= ASK_EVERY_S

    def expire(self) -> None:
        """Ask Redis again with the next write: it may be another server."""
        self._asked_at_s, self.lacks_wait = float("-inf"), False

    def note(self, info: object) -> None:
        """Note what Redis answers to `INFO replication`; a refusal tells nothing."""
        self._asked_at_s = asyncio.get_running_loop().time()
        if not isinstance(info, dict):
            return
        replicas = (one for name, one in info.items() if _REPLICA.fullmatch(name) and isinstance(one, dict))
        self.replicas = sum(one.get("state") == "online" for one in replicas)
        self.refuses_writes = info.get("min_slaves_good_slaves") == 0
        self.is_expected = self.is_expected or self.replicas > 0

    def note_refusal(self, error: Exception) -> bool:
        """Note a refused WAIT; return whether the service has none."""
        self.lacks_wait = self.lacks_wait or _NO_WAIT.search(str(error)) is not None
        return self.lacks_wait

    def note_unreplicated(self) -> None:
        """Report a write that no replica has, unless none is expected.

        While Redis refuses writes, there is none to report.
        """
        if self.is_expected and not (self.lacks_wait or self.refuses_writes):
            self.on_unreplicated()
