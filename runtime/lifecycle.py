"""Starting and stopping a process: signals set an event, tasks live in one group, and a task that ends is noticed."""

import asyncio
import gc
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from conferral.runtime.errors import SettingsError

log = structlog.get_logger()


def process_name() -> str:
    """The name by which others know this process: no two are alike, also after a restart."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def run(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, int]], *, on_hangup: Callable[[], None] | None = None
) -> int:
    """Runs a process until it ends by itself or SIGTERM or SIGINT asks it to.

    Uses uvloop where it is installed. The signal only sets the event that `main` is given: nothing is cancelled, so a
    commit or a REST call under way is finished.

    Args:
        main: The process; it is given the event.
        on_hangup: What SIGHUP asks for, such as to read a file again; in a thread, since nobody who waits for an answer
            shall wait for a disk. Without it SIGHUP ends the process as ever.

    Returns:
        What `main` returned, the exit code.
    """
    # What was loaded by now stays for good: the collector need not look at it again, and what a request or a decision
    # makes goes away by itself, so that it may look less often.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_with_signals(main, on_hangup))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not available on every platform; the standard loop serves as well
        return None
    return uvloop.new_event_loop


async def _with_signals(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, int]], on_hangup: Callable[[], None] | None
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    faults: list[BaseException] = []

    def on_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error of a task that no one awaits, or of a callback; without memory, end the process.

        What has to go on has a boundary of its own (`runtime.containment`): here, nothing is left that could stop.
        """
        error = context.get("exception")
        if error is None or isinstance(error, OSError):  # a peer that went away while something was being sent
            log.warning("event_loop_error", reason=str(context.get("message")), error_type=type(error).__name__)
        elif isinstance(error, Exception | asyncio.CancelledError) and not isinstance(error, MemoryError):
            log.error("unexpected_error", where="task", error_type=type(error).__name__, exc_info=error)
        else:
            log.error("task_failed", error_type=type(error).__name__, exc_info=error)
            faults.append(error)
            stop.set()

    loop.set_exception_handler(on_loop_error)

    def on_signal(name: str) -> None:
        log.info("stop_requested", signal=name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number.name)
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, _run_in_thread, on_hangup, set())
    try:
        code = await main(stop)
        return 1 if faults else code
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _run_in_thread(function: Callable[[], None], running: set[asyncio.Task[None]]) -> None:
    """Start work in a thread; a mistake in it is logged, as that of every task that no one awaits."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(asyncio.to_thread(function))
    running.add(task)

    def done(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler({"message": "work in a thread failed", "exception": error})

    task.add_done_callback(done)


async def pause(stop: asyncio.Event, wait_s: float) -> None:
    """Waits so long, or until the stop is asked for."""
    try:
        async with asyncio.timeout(wait_s):
            await stop.wait()
    except TimeoutError:
        return


async def run_until_stopped(stop: asyncio.Event, tasks: dict[str, Awaitable[None]]) -> int:
    """Runs tasks that shall never end until the stop is asked for, then waits for them.

    Each task has to end by itself once `stop` is set. A task that ends before, even without an error, stops the
    process: a dead timer task beside a live reader is the worst state of all.

    Returns:
        0 after a stop that was asked for, 1 when a task ended by itself or failed.

    Raises:
        SettingsError: a task found that a setting is wrong, such as a port that is taken. Nothing else is logged then.
    """
    running = {asyncio.ensure_future(task): name for name, task in tasks.items()}
    waiter = asyncio.ensure_future(stop.wait())
    await asyncio.wait({*running, waiter}, return_when=asyncio.FIRST_COMPLETED)
    failed = not stop.is_set()
    # The others end because of the stop, which is no fault of theirs.
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
