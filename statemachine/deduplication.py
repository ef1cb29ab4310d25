"""What a session has taken already, in bounded space, so that repeated callbacks change nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from conferral.statemachine.events import Event

#: Sequence numbers below the highest that are still told apart; older ones count as taken.
WINDOW_BITS = 256
#: Tokens kept; the oldest is forgotten first. Meaning refuses what a token no longer can.
TOKENS_MAX = 128
#: Calls and conferences whose sequence is kept; a session has at most 250 participants at a time.
SOURCES_MAX = 512


@dataclass(frozen=True, slots=True)
class SeenEvents:
    """Sequence numbers per call or conference (the highest and a window below it) and the last tokens."""

    #: Highest SequenceNumber and a bit for each of the `WINDOW_BITS` numbers up to it (bit 0 is the highest).
    windows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()

    def contains(self, event: Event) -> bool:
        """Whether this very event was taken before."""
        if event.sequence is not None and event.source in self.windows:
            highest, bits = self.windows[event.source]
            behind = highest - event.sequence
            return behind >= WINDOW_BITS or (behind >= 0 and bool(bits >> behind & 1))
        return bool(event.token) and event.token in self.tokens

    def has_gap(self, source: str, after: int) -> bool:
        """Whether something of this conference or call was not heard that came between what was.

        Args:
            source: The conference or call.
            after: The number from which on that is asked. Nobody can tell of numbers that have left the window.
        """
        highest, bits = self.windows.get(source, (0, 0))
        count = highest - max(after, 0, highest - WINDOW_BITS)
        return count > 0 and (bits & (1 << count) - 1) != (1 << count) - 1

    def highest(self, source: str) -> int:
        """The highest number of this conference or call that was taken, 0 for none."""
        return self.windows.get(source, (0, 0))[0]

    def with_event(self, event: Event) -> "SeenEvents":
        """The same with this event taken.

        What decides nothing may come twice without harm. Its numbers would push those of what decides out of the
        window: somebody's leaving that comes late would count as taken.
        """
        if event.ignored_because:
            return self
        if event.sequence is not None and event.source:
            return self._with_sequence(event.source, event.sequence)
        if event.token:
            return SeenEvents(self.windows, (*self.tokens, event.token)[-TOKENS_MAX:])
        return self

    def _with_sequence(self, source: str, sequence: int) -> "SeenEvents":
        highest, bits = self.windows.get(source, (sequence, 0))
        if sequence > highest:
            bits = (bits << (sequence - highest)) & ((1 << WINDOW_BITS) - 1) if sequence - highest < WINDOW_BITS else 0
            highest = sequence
        if highest - sequence < WINDOW_BITS:
            bits |= 1 << (highest - sequence)
        windows = {name: window for name, window in self.windows.items() if name != source}
        windows[source] = (highest, bits)
        while len(windows) > SOURCES_MAX:
            del windows[next(iter(windows))]
        return SeenEvents(windows, self.tokens)
