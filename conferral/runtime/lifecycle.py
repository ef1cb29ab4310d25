"""Process lifecycle: SIGTERM, SIGHUP, and tasks that end too early."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from conferral.runtime.errors import SettingsError

log = structlog.get_logger()


def process_name() -> str:
    """Make a new name for this process; unique even across restarts."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Draining:
    """The time after SIGTERM in which a process still serves."""

    def __init__(self, duration_s: float) -> None:
        self.duration_s = duration_s
        self.has_begun = False

    def begin(self, stop: asyncio.Event) -> None:
        """Set `stop` after the time; immediately if it has begun before."""
        if self.has_begun:
            stop.set()
        self.has_begun = True
        asyncio.get_running_loop().call_later(self.duration_s, stop.set)


def run(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, int]],
    *,
    on_hangup: Callable[[], None] | None = None,
    draining: Draining | None = None,
) -> int:
    """Run a process until it ends or gets SIGTERM or SIGINT; return its code.

    Uses uvloop if installed. A signal only sets the event that `main` gets, so a running commit or REST call finishes.
    With `draining`, SIGTERM sets it later. `on_hangup` runs on SIGHUP; without it, SIGHUP ends the process.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run_with_signals(main, on_hangup, draining))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not available on every platform; the standard loop works as well
        return None
    return uvloop.new_event_loop


async def _run_with_signals(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, int]],
    on_hangup: Callable[[], None] | None,
    draining: Draining | None,
) -> int:
    """Run `main`; a signal, or an error such as MemoryError, stops it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    fatal_errors: list[BaseException] = []

    def on_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error that no one awaits; stop for fatal ones (MemoryError)."""
        error = context.get("exception")
        if error is None or isinstance(error, OSError):  # a peer disconnected during a send
            log.warning("event_loop_error", reason=str(context.get("message")), error_type=type(error).__name__)
        elif isinstance(error, Exception | asyncio.CancelledError) and not isinstance(error, MemoryError):
            log.error("unexpected_error", where="task", error_type=type(error).__name__, exc_info=error)
        else:
            log.error("task_failed", error_type=type(error).__name__, exc_info=error)
            fatal_errors.append(error)
            stop.set()

    loop.set_exception_handler(on_loop_error)

    def on_signal(number: signal.Signals) -> None:
        log.info("stop_requested", signal=number.name)
        if draining is not None and number is signal.SIGTERM:
            draining.begin(stop)
        else:
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
    try:
        code = await main(stop)
        return 1 if fatal_errors else code
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


async def wait_at_most(until: asyncio.Event, wait_s: float | None) -> None:
    """Wait for these seconds, or until an event, such as the process's stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await until.wait()


async def gather(*requests: Coroutine[Any, Any, Any]) -> list[Any]:
    """Return the results of requests; the first error cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(request) for request in requests]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def run_until_stopped(stop: asyncio.Event, tasks: dict[str, Awaitable[None]]) -> int:
    """Run tasks until the stop; return 1 if one failed or ended early, else 0.

    Each task must end once `stop` is set. One that ends earlier, even without an error, stops the process: a dead timer
    task next to a live reader is the worst state of all. A task's SettingsError is raised, and nothing else is logged.
    """
    running = {asyncio.ensure_future(task): name for name, task in tasks.items()}
    waiter = asyncio.ensure_future(stop.wait())
    await asyncio.wait({*running, waiter}, return_when=asyncio.FIRST_COMPLETED)
    failed = not stop.is_set()
    # The other tasks end because of the stop, not by themselves.
    ended_first = [] if stop.is_set() else [task for task in running if task.done()]
    stop.set()
    waiter.cancel()
    results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        if isinstance(result, SettingsError):
            raise result
    for task, result in zip(running, results, strict=True):
        if isinstance(result, BaseException):
            failed = True
            log.error("task_failed", task=running[task], error_type=type(result).__name__, exc_info=result)
        elif task in ended_first:
            log.error("task_ended", task=running[task])
    return 1 if failed else 0
