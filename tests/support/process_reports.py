"""The processes that tests have started: what a failed wait shows of each, its exit code and the end of its log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: What is shown of a log, characters: its end says why a process does not start.
LOG_SHOWN = 4_000

_RUNNING: dict[str, tuple[Callable[[], int | None], Callable[[], str]]] = {}


@contextmanager
def watched(name: str, exit_code: Callable[[], int | None], text: Callable[[], str]) -> Iterator[None]:
    """Shows a process in `described` until the block is left.

    Args:
        name: What the test calls it; unique among those that run.
        exit_code: Its exit code; None while it runs.
        text: Its log.
    """
    _RUNNING[name] = (exit_code, text)
    try:
        yield
    finally:
        del _RUNNING[name]


def described() -> str:
    """Every process that a test watches: whether it runs, its exit code, and the end of its log."""
    return "\n".join(shown(name, exit_code(), text()) for name, (exit_code, text) in _RUNNING.items())


def shown(name: str, exit_code: int | None, text: str) -> str:
    """One process, for the message of a failed test."""
    state = "is running" if exit_code is None else f"ended with exit code {exit_code}"
    return f"---- {name} {state}; its log ends with:\n{text[-LOG_SHOWN:]}"
