"""The boundary that keeps an unforeseen error as a value. It loads nothing, so that light programs can use it."""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

#: How far back the errors are followed that one error came up in, count.
_LINKS_MAX = 20


@dataclass(frozen=True, slots=True)
class Unexpected:
    """An error that no code foresaw."""

    error: BaseException

    @property
    def reason(self) -> str:
        """The reason to report: the error's type. Its text may quote a number or a secret."""
        return f"unexpected {type(self.error).__name__}"


class catch_unexpected:  # noqa: N801  # used as a `with` statement, like contextlib.suppress
    """A boundary that only keeps the error, for callers that then try again in smaller parts.

    An unforeseen error inside the block ends the block and is kept in `unexpected`. Errors in `passing` leave the
    block, and so do a cancellation of this task and the errors that end a process (`SystemExit`, `KeyboardInterrupt`,
    `MemoryError`: only a fresh process has memory again). A cancellation that no one asked for is a library's mistake
    and stays.
    """

    def __init__(self, *passing: type[BaseException]) -> None:
        """Prepare the boundary for errors that the caller does not handle itself, as it does those in `passing`."""
        self.unexpected: Unexpected | None = None
        self._passing = passing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, (*self._passing, MemoryError)):
            return False
        if not isinstance(error, Exception) and not _is_stray_cancellation(error):
            return False
        if _is_generator_exit(error):
            return False
        self.unexpected = Unexpected(error)
        return True


def _is_generator_exit(error: BaseException) -> bool:
    """Whether the coroutine is being thrown away: whatever it raises then has no item any more."""
    link: BaseException | None = error
    for _ in range(_LINKS_MAX):
        if link is None:
            return False
        if isinstance(link, GeneratorExit):
            return True
        link = link.__context__
    return False


def _is_stray_cancellation(error: BaseException) -> bool:
    """Whether this is a cancellation that was not asked of the running task."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and not task.cancelling()
