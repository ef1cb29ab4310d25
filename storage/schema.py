"""The level at which records are written: what all processes write has to be understood by all that run.

`schema` in `PREFIX:config` is that level. A newer version writes at the old one until `conferral upgrade` raises it,
when no process runs any more that is below. Within a level changes only add fields: what a version does not know, it
keeps.
"""

#: What is written from each level on, that the level before does not understand.
SCHEMA_VERSIONS = {
    1: "everything of the first version",
    2: "the event conference_found: the sweep adopts conferences of ours that no session knows",
}
#: The newest level that this version knows.
SCHEMA_VERSION = max(SCHEMA_VERSIONS)
#: The oldest at which it can still write.
SCHEMA_VERSION_MIN = min(SCHEMA_VERSIONS)
#: From here on the sweep may adopt.
RECOVERY_SINCE = 2


class SchemaVersion:
    """The level at which this process writes, as Redis told last."""

    def __init__(self, supported: int = SCHEMA_VERSION) -> None:
        """Begins with what this version knows.

        Args:
            supported: The newest level that it knows; less than `LEVEL` only where an older version is played.
        """
        self.supported = supported
        self.written = supported

    @property
    def is_too_new(self) -> bool:
        """Whether records may be there that this version does not understand: it must decide nothing."""
        return self.written > self.supported

    @property
    def writes_at(self) -> int:
        """At which level this process writes, and what it tells a Redis that has forgotten the level."""
        return min(self.written, self.supported)

    @property
    def problem(self) -> str:
        """What to tell whoever asks why this process does nothing; empty where nothing is wrong."""
        if not self.is_too_new:
            return ""
        return f"schema: Redis is at level {self.written}, this version knows {self.supported}: update it"

    def allows(self, version: int) -> bool:
        """Whether what belongs to a level may be written."""
        return version <= self.writes_at
