"""Cleans up after a demo that was killed outright: waits until it is gone, then ends what it left behind.

The guard is the first process of the group that the demo's processes are in. It waits for the end of its standard
input, which the demo alone holds open: however the demo dies, the guard learns of it. It imports nothing of ours.
"""

import os
import shutil
import signal
import sys
import time

#: What the demo says when it has cleaned up itself.
DONE = b"done"
#: How long processes may take to stop when asked, seconds.
GRACE_S = 5.0


def main() -> int:
    """Waits, and cleans up if the demo did not."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = sys.argv[1]
    if sys.stdin.buffer.read() == DONE:
        return 0
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
    return 1  # never reached: the group's end is the guard's own


if __name__ == "__main__":
    sys.exit(main())
