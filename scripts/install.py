"""Install a lock file with progress: pip is silent for half a minute.

Usage: python scripts/install.py requirements.lock [options of pip]
"""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

NEXT_LINE_S = 5.0
HINT = (
    "The libraries could not be installed (pip's own words are above). They come from the package index alone: "
    "check the network, or the proxy and index settings of pip, then run the same command again."
)


def main(lock: Path, options: Sequence[str]) -> int:
    """Install; return pip's exit code."""
    total = len(re.findall(r"^[A-Za-z0-9][\w.-]*==", lock.read_text("utf-8"), re.MULTILINE))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off"]
    # A lock names every library. If pip resolved dependencies, an extra could make it look for a newer release.
    command = [*pip, "--no-deps", "--require-hashes", "--only-binary", ":all:", *options, "-r", str(lock)]
    line = Line()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stdout is not None
        done = 0
        for output in process.stdout:
            if found := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", output):
                done += 1
                line.show(f"  {done} of {total}: {found[1]}")
            elif output.startswith("Installing collected packages"):
                line.show("  unpacking them ...")
    line.close()
    if process.returncode:
        print(HINT, file=sys.stderr)
    return process.returncode


class Line:
    """A progress line on standard error, updated in place on a terminal."""

    def __init__(self) -> None:
        self._in_place = sys.stderr.isatty()
        self._shown_s = 0.0

    def show(self, text: str) -> None:
        """Update the line; without a terminal, print a new one now and then."""
        if self._in_place:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._shown_s >= NEXT_LINE_S:
            self._shown_s = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Clear the line."""
        if self._in_place:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
