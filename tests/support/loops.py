"""The event loop of all tests, the sandbox's own included: its time stands still while the machine does other work.

Where calls are played, time also passes faster while no one has anything to do. Redis, HTTP, and workers are real, and
work takes as long as it takes. `make test-more` and `make soak` play calls at real pace.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest

from conferral.storage.connection import client
from tests.support.fair_time import FairLoop
from tests.support.tiers import is_paced

#: How many times as fast time passes there.
PACE = float(os.environ.get("CONFERRAL_TEST_PACE", "4"))
_BLOCK_MS = client.BLOCK_MS


def _pace(item: pytest.Item) -> float:
    return PACE if is_paced(item) else 1.0


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Gives each test such a loop."""
    return {"fair": partial(FairLoop, pace=_pace(item))}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Has Redis end a read that waits there as early as the loop expects it."""
    client.BLOCK_MS = round(_BLOCK_MS / _pace(item))
    try:
        return (yield)
    finally:
        client.BLOCK_MS = _BLOCK_MS
