"""The event loop of all tests, the sandbox's own included: its time stands still while the machine does other work."""

import asyncio
from collections.abc import Callable, Mapping

from tests.support.fair_time import FairLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Gives each test such a loop."""
    return {"fair": FairLoop}
