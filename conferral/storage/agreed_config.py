"""Compares the configuration in Redis with a running process's settings."""

import structlog

from conferral.runtime.errors import SettingsError
from conferral.storage import config
from conferral.storage.connection.client import Client
from conferral.storage.keys import config_key

log = structlog.get_logger()


class AgreedConfig:
    """The configuration in Redis, which a process compares with its settings."""

    def __init__(
        self, client: Client, prefix: str, partitions: int, account_sid: str, schema: config.SchemaVersion
    ) -> None:
        self._client = client
        self._prefix, self._partitions, self._account_sid = prefix, partitions, account_sid
        self._schema = schema
        self._has_agreed = False

    async def ensure(self) -> None:
        """Compare; raise SettingsError only until both have agreed once.

        Someone may write anything there. A running process must neither end nor be idle because of it.
        """
        schema, problem = self._schema, ""
        try:
            found = await config.ensure(
                self._client,
                self._prefix,
                self._partitions,
                account_sid=self._account_sid,
                schema_version=schema.writes_at,
            )
        except SettingsError as error:
            if not self._has_agreed:
                raise
            problem = str(error)
        else:
            if self._has_agreed and found > schema.supported:
                problem = f"{config_key(self._prefix)}: {config.newer_schema(found, schema.supported)}"
            else:
                schema.written = found
                self._has_agreed = not schema.is_too_new
        if problem != schema.contradiction and problem:
            log.error("config_contradicted", reason=problem)
        schema.contradiction = problem
