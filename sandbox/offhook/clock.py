"""Real time that no test stops."""

import asyncio
import time


def monotonic_s() -> float:
    """Return real seconds from any moment on.

    Libraries that freeze time for a test, such as freezegun and time-machine, replace `time.monotonic`, and with it the
    time of event loops.
    """
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class UnfrozenLoop(asyncio.SelectorEventLoop):
    """An event loop that goes on while a test freezes time."""

    def time(self) -> float:
        """Return the time of its timers."""
        return monotonic_s()
