"""Twilio refuses one worker's credentials: it gives its partitions up if another worker's are accepted."""

from unittest.mock import Mock

import pytest
from pydantic import SecretStr

from conferral.telephony.http_client import RequestResult
from conferral.worker.credentials import CredentialsWatch, accepts_credentials
from tests.support.each import each
from tests.support.local_system import LocalSystem
from tests.support.metric_values import value_of
from tests.support.redis_server import RedisServer


@each("status, code, expected", [
    (200, 0, True), (404, 20404, True), (429, 20429, True), (401, 20003, False), (403, 20003, False),
    (401, 0, False), (403, 0, False), (403, 21215, True), (403, 20403, True), (404, 0, None),
    (500, 20500, None), (0, 0, None),
])  # fmt: skip
def test_an_answer_says_whether_the_credentials_are_accepted(status: int, code: int, expected: bool | None) -> None:
    assert accepts_credentials(RequestResult(status, code, 0.0, 0.0)) is expected


@pytest.mark.parametrize("status", [0, 500])
def test_an_answer_that_says_nothing_does_not_end_a_refusal(status: int) -> None:
    core = Mock(is_accepted=None)
    watch = CredentialsWatch(core, Mock(), Mock())
    watch.observe(RequestResult(401, 20003, 0.0, 0.0))
    watch.observe(RequestResult(status, 0, 0.0, 0.0))
    assert core.is_accepted is False
    watch.observe(RequestResult(200, 0, 0.0, 0.0))
    assert core.is_accepted is True


@pytest.mark.redis
async def test_worker_with_wrong_credentials_leaves_its_partitions_to_one_that_is_accepted(
    redis_server: RedisServer,
) -> None:
    """One wrong replica of several: it holds everything while it is alone, and nothing afterward."""
    async with LocalSystem(redis_server.url, workers=0) as system:
        right = system.settings
        system.settings = right.model_copy(update={"auth_token": SecretStr("wrong")})
        wrong = system.start_worker()
        await system.eventually(system.all_held, "the only worker holds every partition")
        system.settings = right
        system.start_worker()

        async def holds_nothing() -> bool:
            return not wrong.ownership.consumers and await system.all_held()

        await system.eventually(holds_nothing, "the other worker holds every partition")
        assert value_of(wrong.metrics.worker_standby) == 1
        customer, _ = await system.converted()
        await system.done("end", customer.sid)
        await system.settled()
