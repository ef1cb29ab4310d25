"""Schema version: every process must be able to read what others write.

`schema` in `PREFIX:config` holds it. A newer release writes at the old schema version until `conferral upgrade` raises
it, once no process below it runs. Within a schema version, sessions keep their attributes; other records may gain some.
"""

#: What each schema version adds that the previous one can't read; `conferral upgrade` prints it.
SCHEMA_VERSIONS = {1: "the first version"}
SCHEMA_VERSION = max(SCHEMA_VERSIONS)


class SchemaVersion:
    """The schema version that this process writes, as last read from Redis."""

    def __init__(self, supported: int = SCHEMA_VERSION) -> None:
        #: Another than `SCHEMA_VERSION` only in a test.
        self.supported = supported
        self.written = supported

    @property
    def is_too_new(self) -> bool:
        """Whether Redis may hold unreadable data; if so, decide nothing."""
        return self.written > self.supported

    @property
    def writes_at(self) -> int:
        """The version to write, and to store in a Redis that has lost it."""
        return min(self.written, self.supported)

    @property
    def problem(self) -> str:
        """Why this process is idle, for `/readyz`; empty if nothing is wrong."""
        if not self.is_too_new:
            return ""
        return f"schema: Redis has version {self.written}, this release supports {self.supported}: update it"
