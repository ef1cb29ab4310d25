"""Twilio refuses one worker's credentials, or all workers': who owns nothing, who stops, and who goes on."""

import asyncio
from functools import partial
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from twilio.rest import Client

from conferral.runtime.metrics import Metrics
from conferral.telephony.http_client import RequestResult
from conferral.worker import credentials, process
from conferral.worker.credentials import (
    FIRST_ANSWER_S,
    GIVE_UP_AFTER_S,
    CredentialsWatch,
    accepts_credentials,
    probe_credentials,
)
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.each import each
from tests.support.fair_time import LoopClock
from tests.support.local_system import LocalSystem, settings_for
from tests.support.redis_server import RedisServer
from tests.telephony.scripted_http import ACCOUNT, BASE, ScriptedHttp, page
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, running_cluster


@each("status, code, expected", [
    (200, 0, True), (404, 20404, True), (429, 20429, True), (401, 20003, False), (403, 20003, False),
    (401, 0, False), (403, 0, False), (403, 21215, True), (403, 20403, True), (404, 0, None),
    (500, 20500, None), (0, 0, None), (299, 0, True), (300, 0, None), (400, 20001, True), (499, 20001, True),
])  # fmt: skip
def test_an_answer_says_whether_the_credentials_are_accepted(status: int, code: int, expected: bool | None) -> None:
    assert accepts_credentials(RequestResult(status, code)) is expected


@pytest.mark.parametrize("status", [0, 500])
async def test_an_answer_that_says_nothing_does_not_end_a_refusal(status: int) -> None:
    core = Mock(twilio_accepts=None, clock=LoopClock())
    watch = CredentialsWatch(core, Mock(), Mock())
    watch.note_answer(RequestResult(401, 20003))
    watch.note_answer(RequestResult(status, 0))
    assert core.twilio_accepts is False
    watch.note_answer(RequestResult(200, 0))
    assert core.twilio_accepts is True


@each("given, asked", [({}, f"GET {BASE[:-1]}"), ({"api_key": "SK1", "api_secret": SecretStr("secret")}, "GET Calls")])
async def test_what_any_valid_credentials_may_read_is_asked_for(given: dict[str, Any], asked: str) -> None:
    """A standard API key may not read the account."""
    http = ScriptedHttp({f"GET {BASE[:-1]}": {}, "GET Calls": page("calls")})
    settings = settings_for("redis://localhost", None, "https://example.com")
    client = Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http)
    await probe_credentials(client, settings.model_copy(update={"account_sid": ACCOUNT, **given}))
    assert [(name, sent.get("PageSize")) for name, sent in http.requests] == [(asked, 1 if given else None)]


# ---- before the first tick -------------------------------------------------------------------------------------------


@each("answer, are_refused", [(401, True), (200, False), (500, False), (None, False)])
@in_virtual_time
async def test_only_a_refusal_keeps_a_worker_from_starting(
    answer: int | None, are_refused: bool, loop: VirtualLoop
) -> None:
    """No answer within two seconds counts as accepted."""
    core = Mock(twilio_accepts=None, clock=LoopClock())

    async def probe() -> None:
        if answer is None:
            await asyncio.Event().wait()
        watch.note_answer(RequestResult(answer or 0, 20003 if answer == 401 else 0))

    watch = CredentialsWatch(core, probe, Mock())
    assert await watch.ask_twilio() is not are_refused
    assert loop.time() == (FIRST_ANSWER_S if answer is None else 0.0)


@in_virtual_time
async def test_probe_that_fails_strangely_refuses_nothing(loop: VirtualLoop) -> None:
    core = Mock(twilio_accepts=None, clock=LoopClock(), metrics=Metrics())
    assert await CredentialsWatch(core, AsyncMock(side_effect=KeyError), Mock()).ask_twilio()


@pytest.mark.redis
async def test_refused_worker_owns_nothing_until_it_is_accepted(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CREDENTIALS_PAUSE_S", 0.05)
    async with LocalSystem(redis_server.url, workers=0) as system:
        right, system.sandbox.auth_token = system.sandbox.auth_token, "another-token"
        worker = system.start_worker()

        async def is_refused() -> bool:
            return await worker.problems() == ["twilio: credentials refused (20003)"]

        await system.eventually(is_refused, "it says why it does not start")
        assert not await system.client.exists(system.keys.owners)
        system.sandbox.auth_token = right
        await system.eventually(system.all_held, "it holds everything")
        customer, _ = await system.converted()
        await system.done("end", customer.sid)
        await system.settled()


# ---- while it works --------------------------------------------------------------------------------------------------


class Account:
    """What Twilio answers two workers, and what they do: each asks for something else every 20 seconds."""

    def __init__(self, team: WorkerCluster) -> None:
        self._team = team
        self.refuses: set[str] = set()
        self.asked_s: dict[str, list[float]] = {}
        self.watches: dict[str, CredentialsWatch] = {}

    def join(self) -> ClusterMember:
        member = self._team.join()
        watch = CredentialsWatch(member.core, partial(self._ask, member.name), member.ownership)
        self.watches[member.name], self.asked_s[member.name] = watch, []
        member.process.start(watch.run(member.stop))
        return member

    async def _ask(self, name: str) -> None:
        self.asked_s[name].append(self._team.loop.time())
        self.watches[name].note_answer(RequestResult(401 if name in self.refuses else 200, 0))


@in_virtual_time_with("team", partial(running_cluster, partitions=4))
async def test_no_one_stops_while_all_are_refused(team: WorkerCluster) -> None:
    """One has asked nothing for a while, so its last answer was an acceptance: it learns more by itself."""
    account = Account(team)
    busy, idle = account.join(), account.join()
    await team.until_fair(6.0)
    await team.passes(20.0)
    assert {name: len(times) for name, times in account.asked_s.items()} == {busy.name: 1, idle.name: 1}
    account.refuses = {busy.name, idle.name}
    account.watches[busy.name].note_answer(RequestResult(401, 20003))
    await team.passes(120.0)
    assert not busy.stop.is_set()
    assert not idle.stop.is_set()
    assert await team.is_fair()
    account.refuses = set()
    await team.passes(10.0)
    assert busy.core.twilio_accepts
    assert idle.core.twilio_accepts


@in_virtual_time_with("team", partial(running_cluster, partitions=4))
async def test_worker_that_alone_is_refused_for_30_s_stops_and_another_takes_over(team: WorkerCluster) -> None:
    account = Account(team)
    wrong, right = account.join(), account.join()
    await team.until_fair(6.0)
    account.refuses = {wrong.name}
    account.watches[wrong.name].note_answer(RequestResult(401, 20003))
    with capture_logs() as lines:
        await team.passes(GIVE_UP_AFTER_S - 6.0)
        assert not wrong.stop.is_set()
        await team.passes(12.0)
    assert wrong.stop.is_set()
    assert account.watches[wrong.name].has_given_up
    assert [line["holder"] for line in lines if line["event"] == "worker_refused"] == [wrong.name]
    await team.leave(wrong)
    assert await team.until_fair(2.0) < 2.0
    assert right.ownership.partitions.keys() == {0, 1, 2, 3}
    assert not right.stop.is_set()


@in_virtual_time_with("team", partial(running_cluster, partitions=4))
async def test_refusals_that_are_not_the_only_answers_stop_no_one(team: WorkerCluster) -> None:
    account = Account(team)
    wrong, _ = account.join(), account.join()
    await team.until_fair(6.0)
    account.refuses = {wrong.name}
    for _ in range(3):
        await team.passes(25.0)
        account.watches[wrong.name].note_answer(RequestResult(200, 0))
    assert not wrong.stop.is_set()


@pytest.mark.redis
async def test_one_of_two_workers_with_a_wrong_key_exits_and_the_other_takes_over(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone deletes the API key that one of them uses."""
    monkeypatch.setattr(credentials, "CREDENTIALS_PAUSE_S", 0.05)
    monkeypatch.setattr(credentials, "GIVE_UP_AFTER_S", 0.5)
    async with LocalSystem(redis_server.url, workers=0, lease_ms=2_000) as system:
        system.sandbox.api_keys = {"SK" + "1" * 32: "secret"}
        of_token = system.settings
        key = {"api_key": "SK" + "1" * 32, "api_secret": SecretStr("secret")}
        system.settings = of_token.model_copy(update=key)
        system.start_worker()
        await system.eventually(system.all_held, "it holds everything")
        system.settings = of_token
        right = system.start_worker()
        await system.eventually(lambda: right.ownership.partitions, "both share")
        system.sandbox.api_keys = {}
        customer, _ = await system.talking()
        await system.command("convert", customer.sid)
        await system.eventually(lambda: len(right.ownership.partitions), "the other takes over", equals=2)
        assert await system.stop_worker(0) == 1
        await system.done("end", customer.sid)
        await system.settled()
