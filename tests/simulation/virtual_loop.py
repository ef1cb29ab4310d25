"""An event loop in virtual time: when no one has anything to do, the clock jumps to the next timer.

Nothing sleeps and nothing depends on the machine: the same inputs run the same callbacks in the same order. Tasks and
futures hash by a running number, since the product iterates over sets of them.

What runs in the loop belongs to a `Process`, or to the world around them. A process can be killed between any two of
its callbacks, and then nothing of it runs any more; or be paused and woken, as a machine is suspended.
"""

import asyncio
import contextvars
import heapq
import inspect
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, NoReturn, TypeVar

from redis.exceptions import RedisError

from conferral.runtime.errors import ConferralError

_T = TypeVar("_T")
#: How often a coroutine of a killed process is closed at most (count): each time it may wait for something else.
_CLOSES_MAX = 50
#: Timers that were cancelled are thrown away when there are so many, and they are more than half of all (count).
_CANCELLED_MAX = 1_000

#: What a coroutine may say on its way out; it is dead.
_LAST_WORDS = (
    asyncio.CancelledError, ConferralError, RedisError, OSError, AssertionError, AttributeError, LookupError, TypeError,
    ValueError,
)  # fmt: skip

_process: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)


class DeadlockError(AssertionError):
    """Nothing can run, and no timer is set: every waiting task would wait forever."""


class RealWorkError(AssertionError):
    """Something reached for the real world: a thread, a socket, a signal."""


class KilledError(ConnectionError):
    """The process that was asked is dead."""


class NumberedFuture(asyncio.Future[Any]):
    """A future whose hash is the same in every run."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        self.process = _process.get()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash is the same in every run, and that knows its process."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, Any], **options: Any) -> None:
        self.number = number
        self.is_apart = False
        context = options.get("context")
        self.process: Process | None = _process.get() if context is None else context.get(_process)
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number

    def take_apart(self) -> None:
        """Closes the coroutine of one that will never run again, so that no memory is kept."""
        self.is_apart = True
        self._log_destroy_pending = False
        coro: Any = self.get_coro()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # what it had in hand was never begun
            for _ in range(_CLOSES_MAX):
                try:
                    coro.close()
                except RuntimeError:  # it waits for something else on its way out
                    continue
                except _LAST_WORDS:
                    return
                return


def tasks_of(loop: asyncio.AbstractEventLoop) -> "list[NumberedTask]":
    """The tasks that are not done, in the order in which they were made."""
    found = [task for task in asyncio.all_tasks(loop) if isinstance(task, NumberedTask)]
    return sorted(found, key=lambda task: task.number)


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in virtual time.

    Attributes:
        steps: Callbacks run so far (count).
        faults: What was complained about that no one awaited, oldest first.
        trace: Called with every callback before it runs, for comparing runs; None costs nothing.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._numbers = 0
        self.steps = 0
        self.faults: list[dict[str, Any]] = []
        self.trace: Callable[[str], None] | None = None
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]  # the stubs know no context
        self.set_exception_handler(self._note_fault)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    def create_future(self) -> asyncio.Future[Any]:
        """A future that hashes by its number."""
        self._numbers += 1
        return NumberedFuture(self._numbers, self)

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> NumberedTask:
        self._numbers += 1
        return NumberedTask(self._numbers, coro, loop=loop, **options)

    def _note_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        owner = context.get("task", context.get("future"))
        process = owner.process if isinstance(owner, NumberedTask | NumberedFuture) else None
        if process is None or not process.is_dead:  # no one asks any more what came of a dead one's tasks
            self.faults.append(context)

    # ---- one turn -------------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        self._forget_cancelled()
        ready = self._ready
        if not ready and not self._stopping:
            if not self._scheduled:
                raise DeadlockError(f"at {self._now_s:.3f} s nobody has anything to do, and no timer is set")
            self._now_s = max(self._now_s, self._scheduled[0]._when)
        scheduled, now_s = self._scheduled, self._now_s
        while scheduled and scheduled[0]._when <= now_s:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if timer._cancelled:
                self._timer_cancelled_count -= 1
            else:
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(_process)
            if process is None or process.admits(handle):
                self.steps += 1
                if self.trace is not None:
                    self.trace(f"{now_s:.6f} {process.name if process else ''} {_named(handle)}")
                handle._run()

    def _forget_cancelled(self) -> None:
        scheduled = self._scheduled
        if self._timer_cancelled_count > _CANCELLED_MAX and self._timer_cancelled_count * 2 > len(scheduled):
            kept = []
            for timer in scheduled:
                if timer._cancelled:
                    timer._scheduled = False
                else:
                    kept.append(timer)
            heapq.heapify(kept)
            self._scheduled = kept
            self._timer_cancelled_count = 0
        while scheduled is self._scheduled and scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
            self._timer_cancelled_count -= 1

    # ---- what there is none of ------------------------------------------------------------------------------------

    def run_in_executor(self, *_args: Any) -> NoReturn:
        """There are no threads here."""
        raise RealWorkError("a thread was asked for")

    def call_soon_threadsafe(self, *_args: Any, **_options: Any) -> NoReturn:
        """There are no threads here."""
        raise RealWorkError("another thread wants something")

    def _write_to_self(self) -> None:
        """No one is to be woken: there is no other thread."""

    def _process_events(self, _events: Any) -> None:
        """There are none."""

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        # When the collector finds one is not repeatable; only those of killed processes are found at all.
        self._asyncgens.discard(agen)


def _named(handle: asyncio.Handle) -> str:
    """A callback in words that are the same in every run."""
    callback: Any = getattr(handle, "_callback", None)
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, NumberedTask):
        return f"task {owner.number} {getattr(owner.get_coro(), '__qualname__', '')}"
    return str(getattr(callback, "__qualname__", type(callback).__name__))


class Process:
    """A process in the simulation: whatever is started in it, and whatever that starts.

    Attributes:
        name: For traces and reports.
        is_dead: Killed, or done.
    """

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.is_dead = False
        self._loop = loop
        self._is_paused = False
        #: What was due while it was paused.
        self._held_up: list[asyncio.Handle] = []
        #: Callbacks until it dies; None: it lives.
        self._steps_left: int | None = None
        #: Others who wait for an answer of this process.
        self._asked: dict[asyncio.Future[Any], None] = {}
        self._when_dead: list[Callable[[], None]] = []
        self._context = contextvars.copy_context()
        self._context.run(_process.set, self)

    def __repr__(self) -> str:
        return f"<Process {self.name} {'dead' if self.is_dead else 'paused' if self._is_paused else 'alive'}>"

    @staticmethod
    def current() -> "Process | None":
        """Whose code runs now."""
        return _process.get()

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Runs something in it."""
        return self._loop.create_task(work, context=self._context.copy())

    async def ask(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Lets it do something for someone outside, who waits for the answer.

        Raises:
            KilledError: it is dead, or dies before it has answered.
        """
        if self.is_dead:
            work.close()
            raise KilledError(self.name)
        answer: asyncio.Future[_T] = self._loop.create_future()
        self._asked[answer] = None
        task = self.start(work)
        task.add_done_callback(lambda done: _hand_over(done, answer), context=contextvars.copy_context())
        try:
            return await answer
        finally:
            self._asked.pop(answer, None)

    def admits(self, handle: asyncio.Handle) -> bool:
        """Whether a callback of this process may run now; for the loop."""
        if self.is_dead:
            return False
        if self._is_paused:
            self._held_up.append(handle)
            return False
        if self._steps_left is not None:
            if self._steps_left == 0:
                self.kill()
                return False
            self._steps_left -= 1
        return True

    def kill_after(self, steps: int) -> None:
        """Lets it die after so many more of its callbacks; at once if it is paused, since SIGKILL does not wait."""
        if self._is_paused:
            self.kill()
        self._steps_left = steps

    def when_dead(self, on_death: Callable[[], None]) -> None:
        """Calls this, outside of the process, once it is dead."""
        self._when_dead.append(on_death)

    def pause(self) -> None:
        """Stops it as SIGSTOP does: its timers run out, and nothing of it runs."""
        self._is_paused = True

    def wake(self) -> None:
        """Lets it go on with whatever was due meanwhile."""
        self._is_paused = False
        held_up, self._held_up = self._held_up, []
        if not self.is_dead:
            self._loop._ready.extend(handle for handle in held_up if not handle._cancelled)

    def kill(self) -> None:
        """Ends it as SIGKILL does, between two of its callbacks.

        Its coroutines are taken apart, so that no memory is kept; nothing that they do then has any effect, since
        whatever they start is dropped and whomever they ask refuses.
        """
        if self.is_dead:
            return
        self.is_dead = True
        self._held_up.clear()
        while own := [task for task in tasks_of(self._loop) if task.process is self and not task.is_apart]:
            for task in own:  # which may begin others on their way out
                self._context.copy().run(task.take_apart)
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(KilledError(self.name))
        for on_death in self._when_dead:
            self._loop.call_soon(on_death, context=contextvars.Context())


def _hand_over(done: asyncio.Task[Any], answer: asyncio.Future[Any]) -> None:
    if answer.done():
        return
    if done.cancelled():
        answer.cancel()
    elif error := done.exception():
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, _T]]) -> _T:
    """Runs something to its end in a new loop."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        # What ends may ask for its loop, `asyncio.gather` for one; without this one it makes one that no one closes.
        asyncio.events._set_running_loop(loop)
        try:
            while left := [task for task in tasks_of(loop) if not task.is_apart]:
                for task in left:
                    task.take_apart()
        finally:
            asyncio.events._set_running_loop(None)
        loop.close()


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test in a new loop, which it gets as `loop` if it asks for that."""
    parameters = inspect.signature(test).parameters

    @wraps(test)
    def in_loop(**fixtures: Any) -> None:
        run(lambda loop: test(**fixtures, **({"loop": loop} if "loop" in parameters else {})))

    fixtures = [parameter for name, parameter in parameters.items() if name != "loop"]
    in_loop.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]
    return in_loop
