"""Redis key names; no other module formats one.

The braces are hash tags: they keep the keys of one script in one cluster slot.
"""

import zlib
from dataclasses import dataclass

#: The consumer group that shows operators position and lag.
GROUP = "workers"


class PrefixKey:
    """A key that a prefix has once; the reference page says what it is."""

    def __init__(self, name: str, about: str) -> None:
        self._name = name
        self.__doc__ = about

    def __get__(self, keys: "Keys", _class: type["Keys"]) -> str:
        return f"{keys.prefix}:{self._name}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys under one prefix."""

    prefix: str
    partitions: int

    def partition_of(self, session_id: str) -> int:
        """Return a session's partition: CRC-32 of its id, modulo the count."""
        return zlib.crc32(session_id.encode()) % self.partitions

    def _partition_key(self, partition: int, name: str) -> str:
        return f"{self.prefix}:{{{partition}}}:{name}"

    def events(self, partition: int) -> str:
        """Stream of unprocessed events."""
        return self._partition_key(partition, "events")

    def lease(self, partition: int) -> str:
        """Hash: the partition's lease."""
        return self._partition_key(partition, "lease")

    def outbox(self, partition: int) -> str:
        """Hash of unfinished effects, by effect id."""
        return self._partition_key(partition, "outbox")

    def timers(self, partition: int) -> str:
        """Sorted set of timers, by due time in ms."""
        return self._partition_key(partition, "timers")

    def live(self, partition: int) -> str:
        """Set of live session ids."""
        return self._partition_key(partition, "live")

    def ended(self, partition: int) -> str:
        """Sorted set of ended session ids, by end time in ms."""
        return self._partition_key(partition, "ended")

    def suspects(self, partition: int) -> str:
        """Hash: worker deaths by entry or effect id, and which was counted last."""
        return self._partition_key(partition, "suspects")

    def new_log(self, partition: int) -> str:
        """Stream that exists only while a commit runs."""
        return self._partition_key(partition, "new-log")

    def session(self, session_id: str) -> str:
        """Hash: the session."""
        return self._partition_key(self.partition_of(session_id), f"session:{session_id}")

    def log(self, session_id: str) -> str:
        """Stream: the session's log."""
        return self._partition_key(self.partition_of(session_id), f"log:{session_id}")

    def gates(self, session_id: str) -> str:
        """Hash: which call has which dial; which dials won or lost ring groups."""
        return self._partition_key(self.partition_of(session_id), f"gates:{session_id}")

    def call(self, call_sid: str) -> str:
        """String: the newest session of a call.

        Expires with the session, or after `CONFERRAL_REPLAY_WINDOW` if later.
        """
        return f"{self.prefix}:call:{call_sid}"

    def identity(self, digest: str) -> str:
        """Sorted set: a browser identity's calls in the last minute, by digest."""
        return f"{self.prefix}:identity:{digest}"

    dial_rate = PrefixKey("dial-rate", "Hash: when the next call may be placed by REST; which workers await a permit.")
    commands = PrefixKey("commands", "Stream to which commands are published.")
    owners = PrefixKey("owners", "Hash: the owner of each partition and task, and each worker's newest tick, as JSON.")

    def command(self, command_id: str) -> str:
        """Hash: a command's outcome, sender, stream entry, and request digest."""
        return f"{self.prefix}:command:{command_id}"

    outcomes = PrefixKey("outcomes", "Stream for other systems: finished transfers and ended sessions.")
    dead = PrefixKey("dead", "Stream of dead letters: entries that could not be read or kept failing.")
    probe = PrefixKey("probe", "String written to check whether Redis accepts writes.")
    workers = PrefixKey("workers", "Sorted set of live workers, by last heartbeat in ms.")
    processes = PrefixKey(
        "processes", "Hash: running processes by name: kind, schema version, version, statistics, last heartbeat."
    )

    @property
    def config(self) -> str:
        """Hash: partition count, a digest of the account's SID, schema version."""
        return config_key(self.prefix)


def config_key(prefix: str) -> str:
    """Return the key of the partition count and the schema, read before all."""
    return f"{prefix}:config"
