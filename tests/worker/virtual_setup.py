"""Tests in virtual time that begin with the same set-up."""

import inspect
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import wraps
from typing import Any

from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time

Test = Callable[..., Coroutine[Any, Any, None]]


def in_virtual_time_with(
    names: str, set_up: Callable[[VirtualLoop], AbstractAsyncContextManager[Any]]
) -> Callable[[Test], Callable[..., None]]:
    """Runs a test in a new loop, within a set-up.

    Args:
        names: The parameters by which a test asks for what is set up, with commas between them.
        set_up: Yields a value, or a tuple of values where there are several parameters.
    """
    known = [name.strip() for name in names.split(",")]

    def decorate(test: Test) -> Callable[..., None]:
        parameters = inspect.signature(test).parameters

        @wraps(test)
        async def within(loop: VirtualLoop, **fixtures: Any) -> None:
            async with set_up(loop) as made:
                given = zip(known, made if len(known) > 1 else (made,), strict=True)
                await test(**{name: value for name, value in given if name in parameters}, **fixtures)

        fixtures = [parameter for name, parameter in parameters.items() if name not in known]
        loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
        within.__signature__ = inspect.Signature([*fixtures, loop])  # type: ignore[attr-defined]
        return in_virtual_time(within)

    return decorate
