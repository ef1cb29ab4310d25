"""Connection watch: tells killed workers, whose connections to Redis are closed, from slow or suspended ones."""

from collections.abc import Set as AbstractSet

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.outage import log_unreachable
from conferral.storage.connection.client import Client
from conferral.storage.partition.connections import list_open

log = structlog.get_logger()

#: Pause after Redis refused CLIENT LIST, seconds; some managed servers do. Meanwhile only the leases' time counts.
RETRY_REFUSED_S = 60.0


class ConnectionWatch:
    """The connections over which other workers renew their leases."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._refused_until_s = float("-inf")

    async def find_closed(self, suspects: AbstractSet[str]) -> set[str]:
        """Return which of these connections are closed; leases were not renewed over them in time.

        Each holder has checked that Redis listed its own (`connections.own_name`).
        """
        now_s = self._clock.monotonic_s()
        if not suspects or now_s < self._refused_until_s:
            return set()
        try:
            is_open = await list_open(self._client, suspects)
        except StoreUnreachableError as error:
            log_unreachable(error, task="connections")
            return set()
        except StoreError as error:
            self._refused_until_s = now_s + RETRY_REFUSED_S
            log.info("client_list_unavailable", reason=str(error))
            return set()
        return {name for name in suspects if is_open.get(name) is False}
