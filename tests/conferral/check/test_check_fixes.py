"""`check`: what it advises when Redis answers with an error."""

import pytest
from redis.exceptions import BusyLoadingError, MovedError, NoPermissionError, ResponseError

from conferral.check import redis_server
from conferral.runtime.settings import ServiceSettings


class _Refusing:
    """A Redis that answers every command with an error."""

    def __init__(self, error):
        self._error = error

    async def hmget(self, *_arguments):
        raise self._error

    info = script_load = hmget


NOT_RUNNING = "check that it is running and can be reached"


@pytest.mark.parametrize(
    ("error", "fixes"),
    [
        (TimeoutError(), ["start it, or set REDIS_URL", NOT_RUNNING, NOT_RUNNING]),
        (ResponseError("CROSSSLOT Keys"), ["put CONFERRAL_PREFIX in braces, such as {conferral}"] * 3),
        (MovedError("1 10.0.0.2:7000", status_code="MOVED"), ["add ?cluster=true to REDIS_URL"] * 3),
        (
            NoPermissionError("this user has no permissions", status_code="NOPERM"),
            [
                "allow INFO, and CLUSTER SLOTS on a cluster; with Sentinels ROLE, and there SENTINEL",
                "allow SCRIPT and EVALSHA for this user",
                "allow all commands on keys with the prefix conferral for this user",
            ],
        ),
        (
            ResponseError("WRONGTYPE of the key"),
            ["check its log", "check its log", "check whether another program uses this prefix"],
        ),
        (ResponseError("DB index is out of range"), ["correct the database number in REDIS_URL"] * 3),
        (BusyLoadingError("loading", status_code="LOADING"), ["check its log"] * 3),
    ],
    ids=["silent", "several slots", "cluster", "permission", "type", "database", "loading"],
)
async def test_a_fix_fits_the_error(error, fixes):
    client = _Refusing(error)
    settings = ServiceSettings.model_construct(prefix="conferral")

    lines = [
        (await redis_server.check_reachable(client, "redis://here"))[0],
        await redis_server.check_scripts(client),
        (await redis_server.check_keys(client, settings))[0],
    ]

    assert [line.fix for line in lines] == fixes
