"""What needs no more of Redis than a client runs on the one in memory too: simulations lean on their being alike."""

import pytest

from conferral.runtime.clock import SystemClock
from tests.support.memory_redis import MemoryServer
from tests.support.redis_clients import AnyServer


@pytest.fixture(params=["redis", "memory"])
def any_redis(request: pytest.FixtureRequest) -> AnyServer:
    """A Redis without any key in it: a real one, and one in memory."""
    if request.param == "memory":
        return MemoryServer(SystemClock().wall_ms)
    server: AnyServer = request.getfixturevalue("redis_server")
    return server
