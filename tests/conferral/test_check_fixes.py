"""`check`: what it advises when Redis answers with an error."""

import pytest
from redis.exceptions import BusyLoadingError, MovedError, NoPermissionError, ResponseError

from conferral.check import redis_server
from conferral.runtime.settings import ServiceSettings
from conferral.storage.connection.errors import set_redis_node


class _Refusing:
    """A Redis that answers every command with an error."""

    def __init__(self, error, node=""):
        set_redis_node(error, node)
        self._error = error

    async def hmget(self, *_arguments):
        raise self._error

    info = script_load = hmget


NOT_RUNNING = "check that {} is running and can be reached"


@pytest.mark.parametrize(
    ("error", "node", "fixes"),
    [
        (TimeoutError(), "10.0.0.2:7000", [NOT_RUNNING.format("node 10.0.0.2:7000")] * 3),
        (TimeoutError(), "", ["start it, or set REDIS_URL", NOT_RUNNING.format("it"), NOT_RUNNING.format("it")]),
        (MovedError("1 10.0.0.2:7000", status_code="MOVED"), "", ["add ?cluster=true to REDIS_URL"] * 3),
        (
            NoPermissionError("this user has no permissions", status_code="NOPERM"),
            "",
            [
                "allow INFO (or CLUSTER SLOTS)",
                "allow SCRIPT and EVALSHA for this user",
                "allow all commands on keys with the prefix conferral for this user",
            ],
        ),
        (
            ResponseError("WRONGTYPE of the key"),
            "",
            ["check its log", "check its log", "check whether another program uses this prefix"],
        ),
        (ResponseError("DB index is out of range"), "", ["correct the database number in REDIS_URL"] * 3),
        (BusyLoadingError("loading", status_code="LOADING"), "", ["check its log"] * 3),
    ],
    ids=["silent node", "silent", "cluster", "permission", "type", "database", "loading"],
)
async def test_a_fix_fits_the_error(error, node, fixes):
    client = _Refusing(error, node)
    settings = ServiceSettings.model_construct(prefix="conferral")

    lines = [
        (await redis_server.check_reachable(client, "redis://here"))[0],
        await redis_server.check_scripts(client),
        (await redis_server.check_keys(client, settings))[0],
    ]

    assert [line.fix for line in lines] == fixes
