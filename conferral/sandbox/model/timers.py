"""A timer queue: a heap with lazy deletion, for many thousands of timers."""

import heapq
from collections.abc import Iterator

TimerKey = tuple[str, str]  #: The SID of a call, conference, or recording, and the timer's name.


class Timers:
    """Timers by key, in sandbox time; equal times fire in order of setting."""

    def __init__(self) -> None:
        self._due: dict[TimerKey, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, TimerKey]] = []  # keeps stopped timers until they reach the top
        self._set_count = 0

    def set(self, key: TimerKey, at_s: float) -> None:
        """Start a timer; a running timer with this key is replaced."""
        self._set_count += 1
        self._due[key] = (at_s, self._set_count)
        heapq.heappush(self._heap, (at_s, self._set_count, key))

    def stop(self, key: TimerKey) -> None:
        """Stop the timer, if it runs."""
        self._due.pop(key, None)

    def first(self) -> tuple[float, TimerKey] | None:
        """Return the next timer and its time; None without any."""
        while self._heap:
            at_s, set_count, key = self._heap[0]
            if self._due.get(key) == (at_s, set_count):
                return at_s, key
            heapq.heappop(self._heap)  # it was stopped or replaced
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timers) and self._due == other._due

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __iter__(self) -> Iterator[TimerKey]:
        return iter(self._due)

    def __len__(self) -> int:
        return len(self._due)
