"""What the entries of a partition's stream hold."""

from collections.abc import Mapping
from typing import Any

from conferral.storage.partition.partition_store import Entry


def event_in(fields: Mapping[bytes, bytes]) -> Any:
    """Return an entry's event."""
    return Entry("1-0", fields).event()
