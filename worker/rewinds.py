"""Whether Redis may have forgotten what it had acknowledged: it was restarted, or another one has taken its place."""

from runtime.clock import Clock
from streams.connection import Client, identity_of

#: How long orders are looked up before they are sent after Redis's history was, or may have been, rewound, seconds.
REWIND_CARE_S = 60.0


class RedisWatch:
    """Notices that Redis is another one.

    A rewound history shows by the number of a lease's last commit, but only to who holds the lease. When he dies before
    he has noticed, whoever takes over from him has nothing to go by but this.
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        """Has seen nothing yet.

        Args:
            client: For commands.
            clock: For durations.
        """
        self._client = client
        self._clock = clock
        self._identity = ""
        #: Until when its history counts as one that may have been rewound, monotonic seconds.
        self.care_until_s = 0.0

    async def look(self) -> None:
        """Asks Redis which one it is.

        Raises:
            StoreError: as of any command.
        """
        identity, _ = await identity_of(self._client)
        if self._identity not in ("", identity):
            self.care_until_s = self._clock.monotonic_s() + REWIND_CARE_S
        self._identity = identity
