"""What `pip wheel` makes of a folder, made by the project's build backend alone: pip prepares everything twice."""

import subprocess
import sys
from pathlib import Path

BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


def build_wheel(source: Path, target: Path) -> Path:
    """Build the distribution of a folder; return the file."""
    built = subprocess.run(
        [sys.executable, "-c", BUILD, str(target)], cwd=source, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = target.glob("*.whl")
    return wheel
