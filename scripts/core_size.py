"""Count what a reader of the state machine must know, now and in the newest release."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Runs in a checkout's folder, and imports its packages.
_COUNT = """
import inspect, json, sys
sys.path.insert(0, "")
from msgspec.structs import fields
from conferral.statemachine import guards
from conferral.statemachine.session import Party, Session
from conferral.statemachine.table import ROWS

functions = (one for _, one in inspect.getmembers(guards, inspect.isfunction))
own = [one for one in functions if one.__module__.startswith(guards.__name__)]
count = len(fields(Session)) + len(fields(Party))
print(json.dumps({"rows": len(ROWS), "guards": len(own), "fields of Session and Party": count}))
"""


def main() -> int:
    """Print the sizes."""
    sys.stdout.write(f"{described()}\n")
    return 0


def described() -> str:
    """Return each size in words, with its growth since the newest release."""
    tag = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^"],
        cwd=ROOT, check=False, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    before: dict[str, int] = {}
    if tag:
        with suppress(subprocess.CalledProcessError):  # its code may be arranged in another way
            before = sizes_of(tag)
    return growth(sizes(ROOT), before, tag)


def growth(now: Mapping[str, int], before: Mapping[str, int], tag: str) -> str:
    """Say by how much each size has grown since a release, if there is one."""
    words = [f"{size} {what}" + (f" ({size - before[what]:+})" if before else "") for what, size in now.items()]
    return f"state machine: {', '.join(words)}" + (f" since {tag}" if before else "")


def sizes_of(commit: str) -> dict[str, int]:
    """Return the sizes of a commit."""
    with tempfile.TemporaryDirectory(prefix="core-size-") as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        return sizes(Path(folder))


def sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of the checkout in a folder."""
    ran = subprocess.run([sys.executable, "-c", _COUNT], cwd=folder, check=True, capture_output=True, text=True)
    found: dict[str, int] = json.loads(ran.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
