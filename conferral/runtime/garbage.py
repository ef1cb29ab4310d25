"""Garbage collection; imports nothing else, for a fast start of the CLI."""

import gc


def collect_rarely() -> None:
    """Collect rarely: reference counting frees what requests leave behind."""
    gc.set_threshold(20_000, 20, 20)
