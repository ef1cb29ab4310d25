"""How much longer something may take because workers have died."""

from collections.abc import Iterable, Mapping

from conferral.storage.codecs.text_codec import from_iso

#: How many owners of a partition may die within a limit, and how long each further one takes, seconds.
DEATHS_INCLUDED, TAKEOVER_S = 2, 2.0


def excused_s(log: Iterable[Mapping[bytes, bytes]], since_s: float, until_s: float) -> float:
    """How much longer something may take if more owners died than a limit includes, by a session's log (seconds)."""
    takeovers = [entry for entry in log if b'"writes-lost"' in entry.get(b"details", b"")]
    meanwhile = sum(since_s <= from_iso(entry[b"at"].decode()) / 1000 <= until_s for entry in takeovers)
    return TAKEOVER_S * max(0, meanwhile - DEATHS_INCLUDED)
