"""How to type commands of this program, for hints that can be copied."""

import os
import shlex
import shutil
import sys
from pathlib import Path

#: Tells the program that it is called by the demo's shell function of this name, which sets REDIS_URL.
CALLED_AS = "DEMO_CALLED_AS"


def own_command() -> str:
    """Return the shell command for this program, ready to copy.

    Without settings: the next command finds Redis where this one did.
    """
    if by_function := os.environ.get(CALLED_AS):
        return by_function
    called = Path(sys.argv[0])
    if called.name == "__main__.py" or not called.is_file():
        return f"{shell_path(Path(sys.executable))} -m conferral"
    found = shutil.which(called.name)
    return called.name if found and Path(found).absolute() == called.absolute() else shell_path(called)


def shell_path(path: Path) -> str:
    """Return a path for the shell, relative if that is shorter."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would leave the virtual environment
    relative = os.path.relpath(absolute)
    if os.sep not in relative:
        relative = os.path.join(".", relative)  # noqa: PTH118  # the shell would search PATH for a bare name
    return shlex.quote(min(relative, str(absolute), key=len))
