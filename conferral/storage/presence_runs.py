"""Since when presence is kept, and which silence of a desk means gone.

Each webhooks process that serves says so, with or without desks: "no desk" differs from "nothing is known". A desk
that falls silent is gone only if others go on renewing: else their way to us may be broken while Twilio reaches them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from conferral.storage import scripts
from conferral.storage.connection.client import Client, Command
from conferral.storage.keys import Keys

#: How long a renewal counts, milliseconds.
PRESENCE_MS = 30_000
#: How long it counts if no other desk renews either, milliseconds.
SILENT_MS = 300_000
#: After how long without a word presence is not kept: Redis was away, or all webhooks. Milliseconds.
PAUSE_MS = 15_000
#: For how long presence must have been kept before it shows that an agent has no desk, milliseconds.
KEPT_MS = 45_000
#: Desks renew every 9 to 15 s. After how long without any renewal their way to us was broken; how much later than a
#: silent desk another must have renewed; and for how long they must renew again before silence shows absence: by then,
#: each has renewed, or tried to connect again. Milliseconds.
BROKEN_MS, MISSED_MS, AGAIN_MS = 20_000, 20_000, 15_000


class _Run(StrEnum):
    """What is said again and again."""

    WEBHOOKS = "webhooks"
    DESKS = "desks"


@dataclass(frozen=True, slots=True)
class PresenceRuns:
    """Both runs: since when without a pause, and the last time.

    All in Unix milliseconds by Redis's clock.
    """

    webhooks_since_ms: int = 0
    webhooks_ms: int = 0
    desks_since_ms: int = 0
    desks_ms: int = 0

    @classmethod
    def parse(cls, found: Sequence[bytes | None]) -> "PresenceRuns":
        """Return what `read_command` found."""
        return cls(*(int(one) if one and one.isdigit() else 0 for one in found))

    def is_kept(self, now_ms: int) -> bool:
        """Whether a desk that is not known is not there."""
        # Where the clock was set back, the last time is in the future, until the next one.
        is_said = 0 <= now_ms - self.webhooks_ms < PAUSE_MS
        return is_said and now_ms - self.webhooks_since_ms >= KEPT_MS

    def counts(self, renewed_ms: int, now_ms: int) -> bool:
        """Whether a desk that last renewed then counts as there."""
        age_ms = now_ms - renewed_ms
        if abs(age_ms) < PRESENCE_MS:  # one in the future was left when the clock was set back
            return True
        others_renew = (
            self.desks_ms - renewed_ms >= MISSED_MS and self.desks_ms - self.desks_since_ms >= AGAIN_MS
        )  # fmt: skip
        return 0 <= age_ms < SILENT_MS and not others_renew


def read_command(keys: Keys) -> Command:
    """Return the command that reads both runs."""
    return ("HMGET", keys.presence, *(f"{run}{end}" for run in _Run for end in ("_since_ms", "_ms")))


async def keep_presence(client: Client, keys: Keys) -> None:
    """Say that a webhooks process serves; may raise StoreError."""
    await scripts.extend_run(client, [keys.presence], [_Run.WEBHOOKS, PAUSE_MS, SILENT_MS])


def renewal_command(keys: Keys) -> Command:
    """Return the command that says that a desk renews its presence."""
    return scripts.extend_run.command([keys.presence], [_Run.DESKS, BROKEN_MS, SILENT_MS])
