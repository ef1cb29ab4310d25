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
import sys
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
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


class _Callback(asyncio.Handle):
    """What is to be called at a moment, and in which process."""

    def __init__(
        self, when_s: float, callback: Callable[..., Any], args: tuple[Any, ...], loop: "VirtualLoop", context: Any
    ) -> None:
        self.context: contextvars.Context = contextvars.copy_context() if context is None else context
        self.callback = callback
        self.args = args
        self.is_timer = False
        self.when_s = when_s
        self._virtual = loop
        super().__init__(callback, args, loop, self.context)

    def __lt__(self, other: "_Callback") -> bool:
        return self.when_s < other.when_s

    def when(self) -> float:
        """See `asyncio.TimerHandle`."""
        return self.when_s

    def cancel(self) -> None:
        """See asyncio."""
        if self.is_timer and not self.cancelled():
            self._virtual.cancelled_timers += 1
        super().cancel()

    def __str__(self) -> str:
        """In words that are the same in every run."""
        owner = getattr(self.callback, "__self__", None)
        if isinstance(owner, NumberedTask):
            return f"task {owner.number} {getattr(owner.get_coro(), '__qualname__', '')}"
        return str(getattr(self.callback, "__qualname__", type(self.callback).__name__))


class _Noting:
    """Notes what a callback raises, which ends no loop."""

    def __init__(self, note: Callable[[dict[str, Any]], None]) -> None:
        self._note = note

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        if isinstance(error, Exception):
            self._note({"message": "a callback has failed", "exception": error})
        return isinstance(error, Exception)


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in virtual time; of what else there is in a loop, it has nothing.

    Attributes:
        steps: Callbacks run so far (count).
        faults: What was complained about that no one awaited, oldest first.
        trace: Called with every callback before it runs, for comparing runs; None costs nothing.
        cancelled_timers: Those that still wait for their time (count).
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        self._numbers = 0
        self._ready: deque[_Callback] = deque()
        self._timers: list[_Callback] = []
        self.cancelled_timers = 0
        self._is_stopping = self._is_running = self._is_closed = False
        self.steps = 0
        self.faults: list[dict[str, Any]] = []
        self.trace: Callable[[str], None] | None = None
        self._noting = _Noting(self.call_exception_handler)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    def create_future(self) -> asyncio.Future[Any]:
        """A future that hashes by its number."""
        self._numbers += 1
        return NumberedFuture(self._numbers, self)

    def create_task(self, coro: Any, **options: Any) -> NumberedTask:
        """A task that hashes by its number."""
        self._numbers += 1
        return NumberedTask(self._numbers, coro, loop=self, **options)

    # ---- callbacks ------------------------------------------------------------------------------------------------

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        """See asyncio."""
        assert not self._is_closed
        handle = _Callback(self._now_s, callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> _Callback:
        """See asyncio."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> _Callback:
        """See asyncio."""
        assert not self._is_closed
        timer = _Callback(when, callback, args, self, context)
        timer.is_timer = True
        heapq.heappush(self._timers, timer)
        return timer

    def resume(self, held_up: Iterable[asyncio.Handle]) -> None:
        """Runs callbacks that were due while their process was paused."""
        self._ready.extend(handle for handle in held_up if isinstance(handle, _Callback) and not handle.cancelled())

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keeps what no one awaited."""
        owner = context.get("task", context.get("future"))
        if isinstance(owner, NumberedTask) and owner.is_apart:
            return
        process = owner.process if isinstance(owner, NumberedTask | NumberedFuture) else None
        if process is None or not process.is_dead:  # no one asks any more what came of a dead one's tasks
            self.faults.append(context)

    # ---- one turn -------------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        self._forget_cancelled()
        ready, timers = self._ready, self._timers
        if not ready and not self._is_stopping:
            if not timers:
                raise DeadlockError(f"at {self._now_s:.3f} s nobody has anything to do, and no timer is set")
            self._now_s = max(self._now_s, timers[0].when_s)
        now_s = self._now_s
        while timers and timers[0].when_s <= now_s:
            timer = self._next_timer()
            if not timer.cancelled():
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            process = handle.context.get(_process)
            if process is None or process.admits(handle):
                self.steps += 1
                if self.trace is not None:
                    self.trace(f"{now_s:.6f} {process.name if process else ''} {handle}")
                with self._noting:
                    handle.context.run(handle.callback, *handle.args)

    def _next_timer(self) -> _Callback:
        timer = heapq.heappop(self._timers)
        timer.is_timer = False
        self.cancelled_timers -= timer.cancelled()
        return timer

    def _forget_cancelled(self) -> None:
        if self.cancelled_timers > _CANCELLED_MAX and self.cancelled_timers * 2 > len(self._timers):
            self._timers = [timer for timer in self._timers if not timer.cancelled()]
            heapq.heapify(self._timers)
            self.cancelled_timers = 0
        while self._timers and self._timers[0].cancelled():
            self._next_timer()

    # ---- from its start to its end --------------------------------------------------------------------------------

    @contextmanager
    def current(self) -> Iterator[None]:
        """Makes it the loop that runs, for what asks for its loop."""
        hooks = sys.get_asyncgen_hooks()
        # When the collector finds one is not repeatable; only those of killed processes are found at all.
        sys.set_asyncgen_hooks(firstiter=None, finalizer=lambda _generator: None)
        self._is_running = True
        # A SelectorEventLoop whose selector lets time pass would do this by itself, but takes a quarter longer.
        asyncio.events._set_running_loop(self)  # noqa: SLF001  # in `__all__`, "intended to be used by event loops"
        try:
            yield
        finally:
            asyncio.events._set_running_loop(None)  # noqa: SLF001  # see above
            self._is_running = False
            sys.set_asyncgen_hooks(*hooks)

    def run_forever(self) -> None:
        """See asyncio."""
        with self.current():
            while not self._is_stopping:
                self._run_once()
            self._is_stopping = False

    def run_until_complete(self, future: Any) -> Any:
        """See asyncio."""
        done = asyncio.ensure_future(future, loop=self)
        done.add_done_callback(lambda _done: self.stop())
        self.run_forever()
        return done.result()

    def stop(self) -> None:
        """See asyncio."""
        self._is_stopping = True

    def close(self) -> None:
        """See asyncio."""
        self._is_closed = True
        self._ready.clear()
        self._timers.clear()

    def is_running(self) -> bool:
        """See asyncio."""
        return self._is_running

    def is_closed(self) -> bool:
        """See asyncio."""
        return self._is_closed

    def get_debug(self) -> bool:
        """See asyncio."""
        return False

    # ---- what there is none of ------------------------------------------------------------------------------------

    def run_in_executor(self, *_args: Any) -> NoReturn:
        """There are no threads here."""
        raise RealWorkError("a thread was asked for")

    def call_soon_threadsafe(self, *_args: Any, **_options: Any) -> NoReturn:
        """There are no threads here."""
        raise RealWorkError("another thread wants something")


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
            self._loop.resume(held_up)

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
        with loop.current():
            while left := [task for task in tasks_of(loop) if not task.is_apart]:
                for task in left:
                    task.take_apart()
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
