"""Connection watch: tells killed workers, whose connections to Redis are closed, from slow or suspended ones."""

from collections.abc import Set as AbstractSet

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.outage import log_unreachable
from conferral.storage.connection.client import Client
from conferral.storage.partition.connections import list_open

log = structlog.get_logger()

#: Interval at which the connections of live workers are verified, seconds.
VERIFY_EVERY_S = 3.0
#: How recently this worker must have seen a connection open for its absence to count, seconds. A proxy may name
#: connections that Redis does not list, or change the connection behind a worker's.
SEEN_WITHIN_S = 10.0
#: Pause after Redis refused CLIENT LIST, seconds; some managed servers do. Meanwhile only the leases' time counts.
RETRY_REFUSED_S = 60.0


class ConnectionWatch:
    """The connections over which other workers renew their leases."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        #: When each known connection was last seen open, monotonic seconds; None if not yet.
        self._seen_at_s: dict[str, float | None] = {}
        self._verified_at_s = float("-inf")
        self._refused_until_s = float("-inf")

    async def find_closed(self, connections: AbstractSet[str], suspects: AbstractSet[str]) -> set[str]:
        """Return the suspects that were open and are closed now.

        Args:
            connections: The connections in all current leases.
            suspects: Those whose leases were not renewed in time.
        """
        now_s = self._clock.monotonic_s()
        is_new = not connections <= self._seen_at_s.keys()
        self._seen_at_s = {name: self._seen_at_s.get(name) for name in connections}
        is_due = is_new or bool(suspects) or now_s - self._verified_at_s >= VERIFY_EVERY_S
        if not connections or not is_due or now_s < self._refused_until_s:
            return set()
        try:
            is_open = await list_open(self._client, connections)
        except StoreUnreachableError as error:
            log_unreachable(error, task="connections")
            return set()
        except StoreError as error:
            self._refused_until_s = now_s + RETRY_REFUSED_S
            log.info("client_list_unavailable", reason=str(error))
            return set()
        self._verified_at_s = now_s
        for name in connections:
            if is_open.get(name):
                self._seen_at_s[name] = now_s
        return {name for name in suspects if is_open.get(name) is False and self._was_seen(name, now_s)}

    def _was_seen(self, name: str, now_s: float) -> bool:
        seen_at_s = self._seen_at_s.get(name)
        return seen_at_s is not None and now_s - seen_at_s <= SEEN_WITHIN_S
