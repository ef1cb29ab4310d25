"""A partition's own lease key: the holder that every commit compares.

The coordinator says who owns a partition (`storage.coordinator`). The owner then writes its epoch and name here, in the
partition's slot, so that a former owner can't commit. The key also shows that Redis lost something: its server's run id
differs from what the owner stored, or it has fewer commits than the owner has made.
"""

from dataclasses import dataclass

from conferral.runtime.clock import Clock
from conferral.runtime.errors import ConferralError, LeaseLostError
from conferral.storage import scripts
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys

#: How long everything is verified after Redis may have lost something, seconds.
VERIFY_S = 60.0


class RolledBackError(ConferralError):
    """Redis lacks what this holder has seen there, or has another holder."""


class EpochUsedError(ConferralError):
    """The partition's key has this epoch or a higher one."""

    def __init__(self, epoch: int) -> None:
        super().__init__("the epoch is used up")
        self.epoch = epoch


@dataclass(slots=True)
class Lease:
    """A partition that this worker holds."""

    #: Epoch and name of the worker: `7:host-81-4f1c`.
    holder: str
    #: Number of the last commit.
    commit: int
    #: Redis's time when it was claimed, Unix milliseconds.
    claimed_at_ms: int
    #: Name of the worker that held it last; empty if it gave the partition back, or there was none.
    last_holder: str
    #: Until when Redis may lack what was sent before, monotonic seconds.
    verify_until_s: float
    #: Id of the newest entry when a rollback was last noticed: later ones are of Redis as it is now.
    newest_id: str = "0-0"
    #: Undecided entries, as last seen (count).
    waiting: int = 0

    def is_verifying(self, clock: Clock) -> bool:
        """Whether Redis may lack what was sent before."""
        return clock.monotonic_s() < self.verify_until_s


async def claim(
    client: Client, keys: Keys, partition: int, holder: str, clock: Clock, *, is_rolled_back: bool = False
) -> Lease:
    """Make `holder` the partition's holder, or raise EpochUsedError.

    `is_rolled_back`: whether this worker has noticed a rollback that the key doesn't show.
    """
    requested_at_s = clock.monotonic_s()
    answer = await _hold(client, keys, partition, [holder, "", int(is_rolled_back), round(VERIFY_S * 1000), 0])
    if int(answer[0]) == 0:
        raise EpochUsedError(int(answer[1]))
    commit, now_ms, verify_until_ms = map(int, answer[1:4])
    return Lease(
        holder,
        commit,
        claimed_at_ms=now_ms,
        last_holder=answer[4].decode(errors="replace").partition(":")[2],
        verify_until_s=requested_at_s + (verify_until_ms - now_ms) / 1000,
        newest_id=answer[6].decode(),
        waiting=int(answer[5]),
    )


async def confirm(client: Client, keys: Keys, partition: int, lease: Lease, *, gives_back: bool = False) -> None:
    """Compare a partition with its key; raise RolledBack- or LeaseLostError.

    `gives_back`: note that this worker has not died of anything in the partition.
    """
    known = lease.commit
    answer = await _hold(client, keys, partition, [lease.holder, known, 0, round(VERIFY_S * 1000), int(gives_back)])
    if int(answer[0]) == 0:
        raise LeaseLostError("another worker owns the partition")
    if int(answer[0]) != 1:
        raise RolledBackError
    lease.waiting = int(answer[5])


async def _hold(client: Client, keys: Keys, partition: int, arguments: list[scripts.Argument]) -> list[bytes]:
    with store_errors():
        answer: list[bytes] = await scripts.hold_partition(
            client, [keys.lease(partition), keys.events(partition)], arguments
        )
    return answer
