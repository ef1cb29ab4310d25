"""Deduplicates events in bounded space: a duplicate changes nothing."""

from collections.abc import Mapping

from msgspec import field

from conferral.statemachine.record import BaseRecord

#: Width of the window below the highest sequence number.
WINDOW_BITS = 256
#: Tokens kept; the oldest is dropped first. The table's guards refuse events whose token was dropped.
TOKENS_MAX = 128
#: Calls and conferences kept; a session has at most 250 participants at a time.
SOURCES_MAX = 512


class SeenEvents(BaseRecord, frozen=True):
    """Seen sequence numbers per call or conference, and the last tokens."""

    #: The highest SequenceNumber, and a bit for each of the `WINDOW_BITS` numbers up to it (bit 0 is the highest), as
    #: little-endian bytes: most formats hold no integers of this size.
    windows: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()

    def contains(self, source: str, sequence: int | None, token: str) -> bool:
        """Whether this event was applied. Numbers below the window count as seen."""
        if sequence is not None and source in self.windows:
            highest, bits = self.windows[source]
            behind = highest - sequence
            return behind >= WINDOW_BITS or (behind >= 0 and bool(int.from_bytes(bits, "little") >> behind & 1))
        return bool(token) and token in self.tokens

    def has_gap(self, source: str, after: int) -> bool:
        """Whether an event above `after`, still in the window, is missing."""
        highest, bits = self.windows.get(source, (0, b""))
        # One bit for each of these numbers.
        expected = (1 << max(0, highest - max(after, highest - WINDOW_BITS))) - 1
        return (int.from_bytes(bits, "little") & expected) != expected

    def highest(self, source: str) -> int:
        """Return the highest sequence number seen of a call or conference, or 0."""
        return self.windows.get(source, (0, b""))[0]

    def with_event(self, source: str, sequence: int | None, token: str) -> "SeenEvents":
        """Return a copy that contains this event."""
        if sequence is None or not source:
            return SeenEvents(self.windows, (*self.tokens, token)[-TOKENS_MAX:]) if token else self
        highest, stored_bits = self.windows.get(source, (sequence, b""))
        bits = int.from_bytes(stored_bits, "little")
        if sequence > highest:
            bits = (bits << min(sequence - highest, WINDOW_BITS)) % (1 << WINDOW_BITS)
            highest = sequence
        if highest - sequence < WINDOW_BITS:
            bits |= 1 << (highest - sequence)
        window = (highest, bits.to_bytes(-(-bits.bit_length() // 8), "little"))
        if self.windows.get(source) == window:
            return self
        windows = dict(self.windows)
        windows.pop(source, None)  # to the end: the oldest source is dropped first
        windows[source] = window
        while len(windows) > SOURCES_MAX:
            del windows[next(iter(windows))]
        return SeenEvents(windows, self.tokens)
