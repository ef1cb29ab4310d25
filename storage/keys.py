"""The names of all keys in Redis; nobody else formats one.

The braces are literal: they keep what one script touches on one node of a cluster.
"""

import zlib
from dataclasses import dataclass

#: The consumer group that shows people position and lag.
GROUP = "workers"


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys under one prefix."""

    prefix: str
    #: Number of partitions (count).
    partitions: int

    def partition_of(self, session_id: str) -> int:
        """The partition of a session: CRC-32 of its id, modulo their number."""
        return zlib.crc32(session_id.encode()) % self.partitions

    def _in(self, partition: int, name: str) -> str:
        return f"{self.prefix}:{{{partition}}}:{name}"

    def events(self, partition: int) -> str:
        """Stream of the undecided events."""
        return self._in(partition, "events")

    def lease(self, partition: int) -> str:
        """Hash: who owns the partition."""
        return self._in(partition, "lease")

    def outbox(self, partition: int) -> str:
        """Hash of effects that are not done yet, by effect id."""
        return self._in(partition, "outbox")

    def timers(self, partition: int) -> str:
        """Sorted set of timers by due time in ms."""
        return self._in(partition, "timers")

    def live(self, partition: int) -> str:
        """Set of the live sessions' ids."""
        return self._in(partition, "live")

    def ended(self, partition: int) -> str:
        """Sorted set of the ended sessions' ids by end in ms."""
        return self._in(partition, "ended")

    def suspects(self, partition: int) -> str:
        """Hash: how many workers have died over an entry or an effect, by its id; and the last mark of an entry."""
        return self._in(partition, "suspects")

    def session(self, session_id: str) -> str:
        """Hash: the session."""
        return self._in(self.partition_of(session_id), f"session:{session_id}")

    def log(self, session_id: str) -> str:
        """Stream of what happened to the session."""
        return self._in(self.partition_of(session_id), f"log:{session_id}")

    def gates(self, session_id: str) -> str:
        """Hash: which call has which dial of the session, and which dial has won or lost a contest."""
        return self._in(self.partition_of(session_id), f"gates:{session_id}")

    def call(self, call_sid: str) -> str:
        """Text: the newest session of a call; expires `CONFERRAL_REPLAY_WINDOW` after its end."""
        return f"{self.prefix}:call:{call_sid}"

    def identity(self, digest: str) -> str:
        """Sorted set: the calls that a browser identity, told by a digest, has placed within the last minute."""
        return f"{self.prefix}:identity:{digest}"

    @property
    def dial_rate(self) -> str:
        """Hash: when the next call may be placed by REST, and which workers wait for it."""
        return f"{self.prefix}:dial-rate"

    @property
    def request_shares(self) -> str:
        """Hash: what each worker holds of the requests that all together may have under way at Twilio."""
        return f"{self.prefix}:request-shares"

    @property
    def commands(self) -> str:
        """Stream that commands are published to."""
        return f"{self.prefix}:commands"

    @property
    def commands_lease(self) -> str:
        """Hash: who routes commands."""
        return f"{self.prefix}:lease:commands"

    @property
    def sweep_lease(self) -> str:
        """Hash: who sweeps the account."""
        return f"{self.prefix}:lease:sweep"

    def command(self, command_id: str) -> str:
        """Hash: a command's outcome, who gave it, the entry that it belongs to, and a digest of what was asked for."""
        return f"{self.prefix}:command:{command_id}"

    @property
    def outcomes(self) -> str:
        """Stream for other systems: finished transfers and ended sessions."""
        return f"{self.prefix}:outcomes"

    @property
    def dead(self) -> str:
        """Stream of entries that could not be understood or kept failing."""
        return f"{self.prefix}:dead"

    @property
    def probe(self) -> str:
        """Text that is written to see whether Redis takes writes."""
        return f"{self.prefix}:probe"

    @property
    def workers(self) -> str:
        """Sorted set of the workers alive, by their last sign of life in ms."""
        return f"{self.prefix}:workers"

    @property
    def processes(self) -> str:
        """Hash: the processes that run, by name: kind, level, version, what it has done in numbers, last sign."""
        return f"{self.prefix}:processes"

    @property
    def rebalance_channel(self) -> str:
        """No key, a channel of Pub/Sub: a worker's name, as a hint that it has come, or gone, or given a lease back."""
        return f"{self.prefix}:rebalance"

    @property
    def config(self) -> str:
        """Hash: number of partitions, schema."""
        return config_key(self.prefix)


def config_key(prefix: str) -> str:
    """Hash: number of partitions, schema; the one key that is needed before the number of partitions is known."""
    return f"{prefix}:config"
