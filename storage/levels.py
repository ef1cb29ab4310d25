"""The level at which records are written: what all processes write has to be understood by all that run.

`schema` in `PREFIX:config` is that level. A newer version writes at the old one until `conferral upgrade` raises it,
when no process runs any more that is below. Within a level changes only add fields: what a version does not know, it
keeps.
"""

#: What is written from each level on, that the level before does not understand.
LEVELS = {
    1: "everything of the first version",
    2: "the event conference_found: the sweep adopts conferences of ours that no session knows",
}
#: The newest level that this version knows.
LEVEL = max(LEVELS)
#: The oldest at which it can still write.
LEVEL_MIN = min(LEVELS)
#: From here on the sweep may adopt.
ADOPTS = 2


class Level:
    """The level at which this process writes, as Redis told last."""

    def __init__(self, known: int = LEVEL) -> None:
        """Begins with what this version knows.

        Args:
            known: The newest level that it knows; less than `LEVEL` only where an older version is played.
        """
        self.known = known
        self.written = known

    @property
    def is_too_new(self) -> bool:
        """Whether records may be there that this version does not understand: it must decide nothing."""
        return self.written > self.known

    @property
    def writes_at(self) -> int:
        """At which level this process writes, and what it tells a Redis that has forgotten the level."""
        return min(self.written, self.known)

    @property
    def problem(self) -> str:
        """What to tell whoever asks why this process does nothing; empty where nothing is wrong."""
        if not self.is_too_new:
            return ""
        return f"schema: Redis is at level {self.written}, this version knows {self.known}: update it"

    def allows(self, level: int) -> bool:
        """Whether what belongs to a level may be written."""
        return level <= self.writes_at
