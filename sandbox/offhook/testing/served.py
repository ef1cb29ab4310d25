"""A sandbox that runs in a thread of its own, for other threads."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from offhook.clock import UnfrozenLoop
from offhook.emptying import SPEED, empty
from offhook.model import messages
from offhook.service import Sandbox
from offhook.testing.already_done import AlreadyDone

T = TypeVar("T")

ANSWER_S = 30.0  #: A longer time means that the thread is stuck.
ACTS_MAX = 50

Act = (
    messages.PhoneAnswers | messages.PhoneRefuses | messages.PhoneHangsUp | messages.PhonePresses | messages.PhoneSpeaks
)


class ServedSandbox(Sandbox):
    """A sandbox that other threads observe."""

    thread: "LoopThread"  #: In which it runs.

    def __post_init__(self) -> None:
        super().__post_init__()
        self.acts: deque[tuple[float, Act]] = deque(maxlen=ACTS_MAX)  #: What people did, and when.

    def run(self, act: Callable[[], T]) -> T:
        """Run this in the sandbox's thread."""
        return self.thread.run(act)

    def empty(self, options: dict[str, Any]) -> None:
        """Remove everything, and set the options, if they are possible."""
        empty(self, {"clock": "waiting"} | options)
        self.acts.clear()

    def apply(self, input_: messages.Input) -> messages.Result:
        """Pass an input to the model; remember what people do."""
        if isinstance(input_, Act):
            call = self.model.state.calls.get(input_.call_sid)
            is_secret = isinstance(input_, messages.PhonePresses) and call is not None and call.activity == "paying"
            shown = messages.PhonePresses(input_.call_sid, "a card's keys") if is_secret else input_
            self.acts.append((self.now_s, shown))
        return super().apply(input_)

    def notify_of_read(self) -> None:
        """Count no change for other threads: a condition may read by REST itself."""
        self.pace.wake_up()

    def wait_for_change(self, known: int, timeout_s: float, since_s: float) -> None:
        """Block another thread until there are more changes than it knows of."""
        self.thread.wait(self.pace.next_change(known, timeout_s, since_s))


class LoopThread:
    """A thread with an event loop, for other threads."""

    def __init__(self, name: str) -> None:
        self._loop = UnfrozenLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, act: Callable[[], T]) -> T:
        """Run this in the thread; return its result, or raise its error."""

        async def run() -> T:
            return act()

        return act() if threading.current_thread() is self._thread else self.wait(run())

    def wait(self, work: Coroutine[Any, Any, T], timeout_s: float = ANSWER_S) -> T:
        """Run a coroutine in the thread; return its result, or raise its error."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def finish(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        """Run a coroutine in the thread: `finish(…)`, in one with `await`."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            future.result()
            return AlreadyDone()
        return asyncio.wrap_future(future)

    def end(self) -> None:
        """End the thread; what runs in its loop has to have ended."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class ServerThread(LoopThread):
    """A thread that serves a sandbox on loopback."""

    def __init__(self) -> None:
        super().__init__("offhook")
        self.sandbox = ServedSandbox(speed=SPEED)
        self.sandbox.thread = self
        self.wait(self.sandbox.start())

    def end(self) -> None:
        """Stop serving, and end the thread."""
        self.wait(self.sandbox.stop())
        super().end()
