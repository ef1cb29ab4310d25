"""In a fresh clone, each process of xdist compiles a part of the tests. Otherwise each would compile all, at once.

pytest rewrites the assertions of a module before it compiles it, which takes longer than all else in a collection.
"""

from pathlib import Path

import pytest
from _pytest.assertion import rewrite

TESTS = Path(__file__).parent.parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Compile this process's part before a run of all tests, unless a run before has."""
    given = getattr(session.config, "workerinput", None)
    if given is None or session.config.args != ["tests"]:
        return
    part = sorted(TESTS.rglob("test_*.py"))[int(given["workerid"].removeprefix("gw")) :: given["workercount"]]
    for path in part:
        compiled = rewrite.get_cache_dir(path) / (path.stem + rewrite.PYC_TAIL)
        if not compiled.exists() and rewrite.try_makedirs(compiled.parent):
            source_hash, code = rewrite._rewrite_test(path, session.config)
            rewrite._write_pyc(session.config.stash[rewrite.assertstate_key], code, source_hash, compiled)
