"""Garbage collection: less often than Python's default. Loads nothing else, for the command line's start."""

import gc


def collect_rarely() -> None:
    """Let the collector run less often: reference counting frees what requests and decisions leave behind."""
    gc.set_threshold(20_000, 20, 20)
