"""Error boundaries: keep an unexpected error; retry Redis's errors."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from conferral.runtime.errors import StoreError, StoreUnreachableError

#: Chained errors that are followed, count.
_LINKS_MAX = 20


class catch_unexpected:  # noqa: N801  # used as a `with` statement, like contextlib.suppress
    """A boundary that ends the block and keeps the error in `unexpected`.

    The caller tests it after the block: it is true if there was an error.

    Errors in `passing` leave the block. So do a cancellation of this task and the errors that end a process
    (`SystemExit`, `KeyboardInterrupt`, `MemoryError`: only a new process has memory again). A cancellation that no one
    requested is a library's bug and is kept.
    """

    unexpected: BaseException | None = None

    def __init__(self, *passing: type[BaseException]) -> None:
        self._passing = passing

    def __bool__(self) -> bool:
        """Whether an unexpected error has ended the block."""
        return self.unexpected is not None

    @property
    def reason(self) -> str:
        """The error's type, as its text may quote a number or a secret, or empty."""
        return f"unexpected {type(self.unexpected).__name__}" if self else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, (*self._passing, MemoryError)) or _arose_while_closing(error):
            return False
        if not isinstance(error, Exception) and not _is_stray_cancellation(error):
            return False
        self.unexpected = error
        return True


def _arose_while_closing(error: BaseException) -> bool:
    """Whether the error was raised while its coroutine was being closed.

    `close` raises GeneratorExit in it, and needs an error to come out; so does one raised by a cleanup meanwhile.
    """
    link: BaseException | None = error
    for _ in range(_LINKS_MAX):
        if link is None:
            return False
        if isinstance(link, GeneratorExit):
            return True
        link = link.__context__
    return False


def _is_stray_cancellation(error: BaseException) -> bool:
    """Whether this is a cancellation that no one requested for this task."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


_T = TypeVar("_T")


async def retry_unreachable(
    request: Callable[[], Awaitable[_T]],
    pause_s: float,
    *,
    pause_max_s: float = 0.0,
    deadline_s: float = math.inf,
    errors: type[StoreError] = StoreUnreachableError,
    on_error: Callable[[StoreError], None] = lambda _error: None,
) -> _T:
    """Run a request until it succeeds, or fails otherwise than with `errors`.

    Each pause doubles, up to `pause_max_s`. It gives up at `deadline_s`, by the loop's clock, and if `on_error` raises.
    """
    while True:
        try:
            return await request()
        except errors as error:
            if asyncio.get_running_loop().time() + pause_s >= deadline_s:
                raise
            on_error(error)
        await asyncio.sleep(pause_s)
        pause_s = max(pause_s, min(pause_max_s, pause_s * 2))
