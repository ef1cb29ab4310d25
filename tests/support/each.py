"""Many small cases in one test.

A test costs the processes of a run about 4 ms: each process makes it, one runs it and reports three times, and one
reads that. A case that takes microseconds is better run in a loop with the others.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any


def each(names: str, cases: Iterable[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Runs a test's function with each case, as `pytest.mark.parametrize` does, and names those that failed.

    All cases have the same fixtures.

    Args:
        names: The parameters, with commas between them.
        cases: A value for each run, or a tuple of values where there are several parameters.
    """
    taken = [name.strip() for name in names.split(",")]
    every_case = [dict(zip(taken, case if len(taken) > 1 else (case,), strict=True)) for case in cases]

    def decorate(check: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(check)
        def test(**fixtures: Any) -> None:
            failures: list[Exception] = []
            for values in every_case:
                with _Case(values, failures):
                    check(**values, **fixtures)
            _report(failures, len(every_case))

        @functools.wraps(check)
        async def test_in_loop(**fixtures: Any) -> None:
            failures: list[Exception] = []
            for values in every_case:
                with _Case(values, failures):
                    await check(**values, **fixtures)
            _report(failures, len(every_case))

        if inspect.iscoroutinefunction(check):
            test = test_in_loop
        signature = inspect.signature(check)
        fixtures = [parameter for name, parameter in signature.parameters.items() if name not in taken]
        test.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return test

    return decorate


def _report(failures: list[Exception], count: int) -> None:
    assert count, "no case"
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {count} cases failed", failures)


class _Case:
    """Notes the case in what it raises, and keeps that if an assertion failed."""

    def __init__(self, values: dict[str, Any], failures: list[Exception]) -> None:
        self._values = values
        self._failures = failures

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        if error is None:
            return False
        error.add_note(", ".join(f"{name}: {value}" for name, value in self._values.items()))
        if isinstance(error, AssertionError | ExceptionGroup):
            self._failures.append(error)
            return True
        return False
