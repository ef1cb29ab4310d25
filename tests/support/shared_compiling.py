"""In a fresh clone, each process of xdist compiles a part of the code. Otherwise each would compile all, at once.

pytest rewrites the assertions of a module before it compiles it, which takes longer than all else in a collection.
"""

import importlib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
OF_SANDBOX = TESTS.parent / "sandbox" / "tests"


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Before a run of all tests, import this process's part.

    What these modules import is compiled with them: other libraries than those of the other parts.
    """
    given = getattr(session.config, "workerinput", None)
    if given is None or session.config.args != ["tests", "sandbox/tests"]:
        return
    paths = sorted([*TESTS.rglob("test_*.py"), *OF_SANDBOX.glob("test_*.py")])
    number, count = int(given["workerid"].removeprefix("gw")), int(given["workercount"])
    for path in paths[len(paths) * number // count : len(paths) * (number + 1) // count]:
        root = OF_SANDBOX if path.is_relative_to(OF_SANDBOX) else TESTS.parent
        try:
            importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        except (ImportError, SyntaxError, NameError):
            return  # the collection reports it
        except pytest.skip.Exception:
            continue  # it needs a library that is not installed
