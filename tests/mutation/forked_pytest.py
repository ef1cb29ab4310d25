"""Runs tests against mutants in forks of one pytest that has collected all tests: no mutant waits for the imports.

A fork gets the mutant into the functions that it changes. It can't repeat what modules did when they were imported, so
a mutant that changes that needs a new process.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

#: `REQUESTS,ANSWERS`: the file descriptors of the plug-in.
DESCRIPTORS = "CONFERRAL_TEST_MUTANTS"
#: What `lru_cache` makes of a function.
_CACHED = type(lru_cache(lambda: None))
#: Tests that a mutant keeps busy for longer are killed; seconds.
TIMEOUT_S = 600


class ForkedPytest:
    """One pytest process, in a copy of the checkout, that has collected the tests and waits for mutants."""

    def __init__(self, copy: Path, options: Sequence[str]) -> None:
        requests, to_pytest = os.pipe()
        from_pytest, answers = os.pipe()
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "not soak", "--timeout", "60",
                   "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "tests.mutation.forked_pytest",
                   *options, "tests"]  # fmt: skip
        environ = {
            **os.environ,
            "PYTHONPATH": str(copy),
            "PYTHONDONTWRITEBYTECODE": "1",
            DESCRIPTORS: f"{requests},{answers}",
        }
        self._log = copy / "pytest.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=copy, env=environ, stdout=log, stderr=log, pass_fds=(requests, answers)
            )
        os.close(requests)
        os.close(answers)
        self._requests, self._answers = os.fdopen(to_pytest, "w"), os.fdopen(from_pytest)

    def failure(self, tests: Sequence[str], path: str = "", changed: str = "") -> str:
        """The first of these tests that fails; `time-out` or `crash` where there is none; empty when all pass.

        Args:
            tests: Node ids, in the order in which they run; those that pytest does not know are left out.
            path: Of the changed file, relative to the root; empty to change nothing.
            changed: The code of that file.

        Raises:
            RuntimeError: pytest ended.
        """
        self._requests.write(json.dumps([path, changed, tests]) + "\n")
        self._requests.flush()
        answer = self._answers.readline()
        if not answer:
            raise RuntimeError(f"pytest ended with exit code {self._process.wait()}:\n{self._log.read_text()[-2_000:]}")
        return str(json.loads(answer))

    def close(self) -> None:
        """Ends the process."""
        self._requests.close()
        self._process.wait()
        self._answers.close()


@contextmanager
def changed_file(file: Path, changed: str) -> Iterator[str]:
    """Give a file another text for a while; yield the one before."""
    before = file.read_text("utf-8")
    file.write_text(changed, "utf-8")
    try:
        yield before
    finally:
        file.write_text(before, "utf-8")


def changes_only_functions(before: str, after: str) -> bool:
    """Whether two versions of a module do the same when they are imported, apart from calls of its functions."""
    return _is_same_at_import(_compiled(before), _compiled(after))


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Serve requests instead of running the tests."""
    if DESCRIPTORS not in os.environ or session.testsfailed:
        return None
    requests, answers = map(int, os.environ[DESCRIPTORS].split(","))
    items = {item.nodeid: item for item in session.items}
    gc.unfreeze()
    loaded = _Loaded()
    gc.freeze()
    with os.fdopen(requests) as lines, os.fdopen(answers, "w") as writer:
        for line in lines:
            path, changed, tests = json.loads(line)
            chosen = [items[test] for test in tests if test in items]
            writer.write(json.dumps(_failure(session, chosen, path, changed, loaded)) + "\n")
            writer.flush()
    return True


class _Loaded:
    """All functions and caches, as they are after the tests have been collected."""

    def __init__(self) -> None:
        self._functions: dict[str, list[FunctionType]] = defaultdict(list)
        self._caches: list[Any] = []
        for found in gc.get_objects():
            if isinstance(found, _CACHED):
                self._caches.append(found)
            elif isinstance(found, FunctionType):
                self._functions[found.__code__.co_filename].append(found)

    def mutate(self, file: Path, before: str, changed: str) -> None:
        """Gives the functions of a file their changed code, and forgets results of the code before."""
        new = dict(_functions_of(_compiled(before), _compiled(changed)))
        for name, functions in self._functions.items():
            if name.endswith(file.name) and Path(name).resolve() == file:
                for function in functions:
                    code = new.get(_identity(function.__code__))
                    if code is not None:
                        function.__code__ = code.replace(co_filename=name)
        for cache in self._caches:
            cache.cache_clear()


def _failure(session: pytest.Session, items: list[pytest.Item], path: str, changed: str, loaded: _Loaded) -> str:
    if not path:
        return _fork(session, items)
    file = (session.config.rootpath / path).resolve()
    # The programs that tests start read the file.
    with changed_file(file, changed) as before:
        return _fork(session, items, lambda: loaded.mutate(file, before, changed))


def _fork(session: pytest.Session, items: list[pytest.Item], prepare: Callable[[], None] = lambda: None) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # A group of its own: what the tests have started ends with it.
            os.setsid()
            prepare()
            os.write(write, json.dumps(_first_failure(session, items)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as reader:
        is_done, _, _ = select.select([reader], [], [], TIMEOUT_S)
        answer = reader.readline() if is_done else json.dumps("time-out")
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return str(json.loads(answer or json.dumps("crash")))


class _FirstFailure:
    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self.test = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.test = self.test or report.nodeid
            self._session.shouldstop = "a test has failed"  # so that pytest tears all fixtures down


def _first_failure(session: pytest.Session, items: list[pytest.Item]) -> str:
    first = _FirstFailure(session)
    session.config.pluginmanager.register(first)
    for item, following in zip(items, [*items[1:], None], strict=True):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if first.test:
            break
    return first.test


def _compiled(source: str) -> CodeType:
    return compile(source, "", "exec", dont_inherit=True)


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _is_same_at_import(old: CodeType, new: CodeType) -> bool:
    plain = [[one for one in code.co_consts if not isinstance(one, CodeType)] for code in (old, new)]
    pairs = list(zip(_inner(old), _inner(new), strict=False))
    return (
        old.co_code == new.co_code
        and old.co_names == new.co_names
        and repr(plain[0]) == repr(plain[1])
        and all(a.co_flags & CO_OPTIMIZED or _is_same_at_import(a, b) for a, b in pairs)
    )


def _functions_of(old: CodeType, new: CodeType) -> Iterator[tuple[object, CodeType]]:
    for before, after in zip(_inner(old), _inner(new), strict=True):
        yield _identity(before), after
        yield from _functions_of(before, after)


def _identity(code: CodeType) -> object:
    return code.co_qualname, code.co_firstlineno, tuple(code.co_positions())
