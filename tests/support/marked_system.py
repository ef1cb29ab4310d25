"""The system of a test, as its mark wants it: `pytest.mark.system(speed=20, CONFERRAL_CONFIRM="phones")`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from tests.support.local_system import LocalSystem

_S = TypeVar("_S", bound=LocalSystem)


@asynccontextmanager
async def running(kind: Callable[..., _S], redis: Any, request: pytest.FixtureRequest) -> AsyncIterator[_S]:
    """Starts a system with the options of the nearest mark: of the test, or else of its file.

    Args:
        kind: Its class.
        redis: What the class takes for Redis.
        request: Whose mark; `answered_by` in it names phones that are picked up, the rest are options of the class.
    """
    marker = request.node.get_closest_marker("system")
    options = dict(marker.kwargs) if marker is not None else {}
    phones = options.pop("answered_by", ())
    async with kind(redis, **options) as system:
        system.answered_by(*phones)
        yield system
