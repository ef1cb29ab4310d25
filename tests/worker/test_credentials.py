"""Twilio refuses one worker's credentials: it gives its partitions up if another worker's are accepted."""

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from twilio.rest import Client

from conferral.runtime.metrics import Metrics
from conferral.telephony.http_client import RequestResult
from conferral.worker.credentials import CredentialsWatch, accepts_credentials, probe_credentials
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.each import each
from tests.support.local_system import LocalSystem, settings_for
from tests.support.metric_values import value_of
from tests.support.redis_server import RedisServer
from tests.telephony.scripted_http import ACCOUNT, BASE, ScriptedHttp, page


@each("status, code, expected", [
    (200, 0, True), (404, 20404, True), (429, 20429, True), (401, 20003, False), (403, 20003, False),
    (401, 0, False), (403, 0, False), (403, 21215, True), (403, 20403, True), (404, 0, None),
    (500, 20500, None), (0, 0, None), (299, 0, True), (300, 0, None), (400, 20001, True), (499, 20001, True),
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


@each("given, asked", [({}, f"GET {BASE[:-1]}"), ({"api_key": "SK1", "api_secret": SecretStr("secret")}, "GET Calls")])
async def test_what_any_valid_credentials_may_read_is_asked_for(given: dict[str, Any], asked: str) -> None:
    """A standard API key may not read the account."""
    http = ScriptedHttp({f"GET {BASE[:-1]}": {}, "GET Calls": page("calls")})
    settings = settings_for("redis://localhost", None, "https://example.com")
    client = Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http)
    await probe_credentials(client, settings.model_copy(update={"account_sid": ACCOUNT, **given}))
    assert [(name, sent.get("PageSize")) for name, sent in http.requests] == [(asked, 1 if given else None)]


@in_virtual_time
async def test_refused_worker_asks_every_second_until_another_is_accepted_and_then_every_five(
    loop: VirtualLoop,
) -> None:
    core: Any = SimpleNamespace(is_accepted=False, is_on_standby=False, name="one", metrics=Metrics())
    ownership: Any = SimpleNamespace(is_other_accepted=False)
    asked, stop = [], asyncio.Event()

    async def probe() -> None:
        asked.append(loop.time())

    watching = asyncio.create_task(CredentialsWatch(core, probe, ownership).run(stop))
    with capture_logs() as lines:
        await asyncio.sleep(2.5)  # a delay: virtual time
        ownership.is_other_accepted = True
        await asyncio.sleep(10.0)  # a delay: virtual time
        assert asked == [0.0, 1.0, 2.0, 3.0, 8.0]
        ownership.is_other_accepted = False
        await asyncio.sleep(1.0)  # a delay: virtual time
    assert [line["event"] for line in lines] == ["standby_begun", "standby_ended"]
    stop.set()
    await watching


@in_virtual_time
async def test_standby_ends_also_after_another_request_was_accepted(loop: VirtualLoop) -> None:
    """A hang-up that is being retried may be the first request that Twilio accepts again."""
    core: Any = SimpleNamespace(is_accepted=False, is_on_standby=False, name="one", metrics=Metrics())
    watch, stop = CredentialsWatch(core, AsyncMock(), Mock(is_other_accepted=True)), asyncio.Event()
    watching = asyncio.create_task(watch.run(stop))
    await asyncio.sleep(1.0)  # a delay: virtual time
    assert core.is_on_standby
    watch.observe(RequestResult(204, 0, 0.0, 0.0))
    await asyncio.sleep(6.0)  # a delay: virtual time
    assert (core.is_on_standby, value_of(core.metrics.worker_standby)) == (False, 0)
    stop.set()
    await watching


@in_virtual_time
async def test_standby_ends_without_another_worker_though_the_probe_fails_strangely(loop: VirtualLoop) -> None:
    core: Any = SimpleNamespace(is_accepted=False, is_on_standby=True, name="one", metrics=Metrics())
    watch = CredentialsWatch(core, AsyncMock(side_effect=KeyError), Mock(is_other_accepted=False))
    stop = asyncio.Event()
    watching = asyncio.create_task(watch.run(stop))
    await asyncio.sleep(1.0)  # a delay: virtual time
    assert not core.is_on_standby
    stop.set()
    await watching


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
            return not wrong.ownership.partitions and await system.all_held()

        await system.eventually(holds_nothing, "the other worker holds every partition")
        assert value_of(wrong.metrics.worker_standby) == 1
        customer, _ = await system.converted()
        await system.done("end", customer.sid)
        await system.settled()
