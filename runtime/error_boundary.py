"""Error boundary: keeps an unexpected error as a value. Has no dependencies, so that light programs can use it."""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

#: How many chained errors are followed, count.
_LINKS_MAX = 20


@dataclass(frozen=True, slots=True)
class Unexpected:
    """An error that the code did not expect."""

    error: BaseException

    @property
    def reason(self) -> str:
        """The reason to report: the error's type. Its text may quote a phone number or a secret."""
        return f"unexpected {type(self.error).__name__}"


class catch_unexpected:  # noqa: N801  # used as a `with` statement, like contextlib.suppress
    """A boundary that only keeps the error, for callers that then retry in smaller parts.

    An unexpected error inside the block ends the block and is kept in `unexpected`. Errors in `passing` leave the
    block. So do a cancellation of this task and the errors that end a process (`SystemExit`, `KeyboardInterrupt`,
    `MemoryError`: only a new process has memory again). A cancellation that no one requested is a library's bug and is
    kept.
    """

    def __init__(self, *passing: type[BaseException]) -> None:
        """Prepare the boundary; the caller handles the errors in `passing` itself."""
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
    """Whether the error arose while its coroutine was being closed: no one waits for a result then."""
    link: BaseException | None = error
    for _ in range(_LINKS_MAX):
        if link is None:
            return False
        if isinstance(link, GeneratorExit):
            return True
        link = link.__context__
    return False


def _is_stray_cancellation(error: BaseException) -> bool:
    """Whether this is a cancellation that was not requested for the running task."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and not task.cancelling()
