"""Real time that no test stops."""

import time


def monotonic_s() -> float:
    """Return real seconds from any moment on.

    Libraries that freeze time for a test, such as freezegun and time-machine, replace `time.monotonic`, and with it the
    time of event loops.
    """
    return time.clock_gettime(time.CLOCK_MONOTONIC)
