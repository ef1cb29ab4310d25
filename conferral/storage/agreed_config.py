"""Compares the configuration in Redis with a running process's settings."""

import structlog

from conferral.runtime.errors import SettingsError
from conferral.storage import config
from conferral.storage.connection.client import Client

log = structlog.get_logger()


class AgreedConfig:
    """The configuration in Redis, which a process compares with its settings."""

    def __init__(self, client: Client, prefix: str, partitions: int, account_sid: str) -> None:
        self._client = client
        self._prefix, self._partitions, self._account_sid = prefix, partitions, account_sid
        self._has_agreed = False
        #: How Redis differs from what the process started with, and keeps; empty if it doesn't.
        self.contradiction = ""

    async def store_or_compare(self) -> None:
        """Store what is absent; compare the rest.

        Raise SettingsError if they differ at the start; later, only log it.

        Someone may write anything there. A running process must not end because of it.
        """
        problem = ""
        try:
            await config.ensure(self._client, self._prefix, self._partitions, account_sid=self._account_sid)
        except SettingsError as error:
            if not self._has_agreed:
                raise
            problem = str(error)
        self._has_agreed = True
        if problem != self.contradiction and problem:
            log.error("config_contradicted", reason=problem)
        self.contradiction = problem
