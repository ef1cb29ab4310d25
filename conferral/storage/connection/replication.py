"""Whether writes wait for a replica, and what is known of replicas.

A failover loses what no replica has. So nothing acts on a write before one has it: see
`ErrorMappingRedis.execute_durably`. A replica counts from its first acknowledgment until `COUNTS_S` after its last, as
Redis says (`INFO replication`), whatever the URL says. With Sentinels or a cluster, one is expected before Redis has
said so. Source: Redis docs, WAIT; INFO, "replication".
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

#: How often a lone server is asked for replicas, seconds.
ASK_EVERY_S = 5.0
#: How long a write waits before Redis is asked whether a replica still counts, and until it is asked again, seconds.
PATIENCE_S = 0.2
#: How long after its last acknowledgment a replica counts, seconds; one acknowledges each second. Redis counts in whole
#: seconds: the last one may be up to a second longer ago.
COUNTS_S = 10
#: After how long a write counts as lost although a replica counts, seconds. Most callers don't wait that long.
WAIT_MAX_S = 60.0
#: How many replicas must have a write before it counts. With 2, a primary with one would stop waiting.
REPLICAS_MIN = 1
ASK = ("INFO", "replication")
WAIT = ("WAIT", REPLICAS_MIN, int(WAIT_MAX_S * 1000))

#: A replica, as redis-py names it.
_REPLICA = re.compile(r"slave\d+")
#: How a service that has no WAIT, or does not permit it, refuses it.
_NO_WAIT = re.compile(r"unknown command|no permissions|not allowed|not supported|disabled", re.IGNORECASE)


def acknowledging(info: Mapping[str, Any]) -> list[str]:
    """Return the names of the replicas that count in `INFO replication`.

    One that is still being copied, or only reads, has acknowledged nothing. That of one that hangs is long ago.
    """
    replicas = {name: one for name, one in info.items() if _REPLICA.fullmatch(name) and isinstance(one, dict)}
    return [
        name
        for name, one in replicas.items()
        if one.get("state") == "online" and one.get("offset", 0) > 0 and one.get("lag", 0) < COUNTS_S
    ]


class Replication:
    """What is known of the primary's replicas, for a whole process."""

    def __init__(self, *, is_expected: bool) -> None:
        #: Whether the primary should have a replica: the URL says so, or one was connected.
        self.is_expected = is_expected
        #: Whether a replica counts, as Redis said last; None before.
        self.counts: bool | None = None
        #: Which server said so: its replication id, which changes with a failover and a restart.
        self.server = ""
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
        return not self.lacks_wait and (self.is_expected if self.counts is None else self.counts)

    def must_ask(self, server: str | None) -> bool:
        """Whether the next write to a server asks it for replicas, too.

        Each does while a replica is expected, but none counts: one that has just connected may still lag.
        """
        if server != self.server:
            return True
        is_alone = self.is_expected and not self.lacks_wait
        return not self.must_wait and (is_alone or self.begins_to_ask(ASK_EVERY_S))

    def begins_to_ask(self, every_s: float) -> bool:
        """Whether Redis was last asked so long ago; if so, the caller asks."""
        now_s = asyncio.get_running_loop().time()
        is_due = now_s - self._asked_at_s >= every_s
        if is_due:
            self._asked_at_s = now_s
        return is_due

    def note(self, info: object) -> str:
        """Note the answer to `INFO replication`; return which server it is.

        A refusal tells nothing.
        """
        if not isinstance(info, dict):
            return ""
        # A replica has its primary's.
        self.server = str(info.get("master_replid", "")) if info.get("role") == "master" else "replica"
        self.counts = bool(acknowledging(info))
        self.refuses_writes = info.get("min_slaves_good_slaves") == 0
        self.is_expected = self.is_expected or info.get("connected_slaves", 0) > 0
        return self.server

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
