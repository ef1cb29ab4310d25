"""Who is to be woken when: many thousands of timers, of which only the first is asked for."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

TimerKey = tuple[str, str]
"""Whose timer (the SID of a call, conference or recording) and which."""


class Timers:
    """Timers by their key; equal times come in the order of setting. Times are the exchange's seconds."""

    def __init__(self) -> None:
        self._due: dict[TimerKey, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, TimerKey]] = []  # holds stopped ones too, until they come first
        self._set = 0

    def set(self, key: TimerKey, at_s: float) -> None:
        """Wake the owner then; a running timer of this key is replaced."""
        self._set += 1
        self._due[key] = (at_s, self._set)
        heapq.heappush(self._heap, (at_s, self._set, key))

    def stop(self, key: TimerKey) -> None:
        """Forget the timer, if there is one."""
        self._due.pop(key, None)

    def first(self) -> tuple[float, TimerKey] | None:
        """The next one and its time; None where none runs."""
        while self._heap:
            at_s, number, key = self._heap[0]
            if self._due.get(key) == (at_s, number):
                return at_s, key
            heapq.heappop(self._heap)
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timers) and self._due == other._due

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __iter__(self) -> Iterator[TimerKey]:
        return iter(self._due)

    def __len__(self) -> int:
        return len(self._due)
