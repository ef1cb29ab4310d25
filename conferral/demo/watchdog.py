"""Watchdog: clean up after a demo that was killed with SIGKILL.

It is the first process of the demo's group, and imports nothing from Conferral. Only the demo holds its standard
input open, so end of file reports the demo's death in any case.
"""

import os
import shutil
import signal
import sys
import time

#: What the demo writes after cleaning up itself.
DONE = b"done"
GRACE_S = 5.0


def main() -> int:
    """Wait, and clean up if the demo didn't."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = sys.argv[1]
    if sys.stdin.buffer.read() == DONE:
        return 0
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
    return 1  # never reached: killing the group kills the watchdog, too


if __name__ == "__main__":
    sys.exit(main())
