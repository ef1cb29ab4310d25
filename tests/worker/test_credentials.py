"""Twilio refuses one worker's credentials, or all workers': who owns nothing, and who goes on."""

import asyncio
from functools import partial
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from pydantic import SecretStr
from twilio.rest import Client

from conferral.runtime.errors import ProviderError
from conferral.runtime.metrics import Metrics
from conferral.storage.coordinator import TASKS
from conferral.telephony.http_client import RequestResult
from conferral.worker import credentials
from conferral.worker.credentials import (
    FIRST_ANSWER_S,
    PROBE_EVERY_S,
    CredentialsWatch,
    accepts_credentials,
    probe_credentials,
)
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.each import each
from tests.support.local_system import LocalSystem, settings_for
from tests.support.people import AGENT, CUSTOMER
from tests.support.redis_server import RedisServer
from tests.telephony.scripted_http import ACCOUNT, BASE, ScriptedHttp, page
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, Work, WorkerCluster, running_cluster

#: What the contract promises, seconds.
OWNS_NOTHING_AFTER_S = 15.0
REFUSED = "twilio: credentials refused (20003)"


@each("status, code, expected", [
    (200, 0, True), (404, 20404, True), (429, 20429, True), (401, 20003, False), (403, 20003, False),
    (401, 0, False), (403, 0, False), (403, 21215, True), (403, 20403, True), (404, 0, None),
    (500, 20500, None), (0, 0, None), (299, 0, True), (300, 0, None), (400, 20001, True), (499, 20001, True),
])  # fmt: skip
def test_an_answer_says_whether_the_credentials_are_accepted(status: int, code: int, expected: bool | None) -> None:
    assert accepts_credentials(RequestResult(status, code)) is expected


@each("given, asked", [({}, f"GET {BASE[:-1]}"), ({"api_key": "SK1", "api_secret": SecretStr("secret")}, "GET Calls")])
async def test_what_any_valid_credentials_may_read_is_asked_for(given: dict[str, Any], asked: str) -> None:
    """A standard API key may not read the account."""
    http = ScriptedHttp({f"GET {BASE[:-1]}": {}, "GET Calls": page("calls")})
    settings = settings_for("redis://localhost", None, "https://example.com")
    client = Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http)
    await probe_credentials(client, settings.model_copy(update={"account_sid": ACCOUNT, **given}))
    assert [(name, sent.get("PageSize")) for name, sent in http.requests] == [(asked, 1 if given else None)]


# ---- when a refusal counts -------------------------------------------------------------------------------------------


class Answers:
    """What Twilio answers a worker; None: nothing in time."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.probed_s: list[float] = []
        self.core = Mock(is_refused=False, metrics=Metrics())
        self.watch = CredentialsWatch(self.core, self._probe)

    def answer(self, status: int) -> None:
        """Something else is answered."""
        self.watch.note_answer(RequestResult(status, 20003 if status == 401 else 0))

    async def passes(self, time_s: float) -> None:
        """Time passes, which is virtual."""
        await asyncio.sleep(time_s)  # a delay: virtual time

    async def _probe(self) -> None:
        self.probed_s.append(asyncio.get_running_loop().time())
        if self.status is None:
            await asyncio.Event().wait()
        status = self.status or 0
        self.answer(status)
        if status != 200:
            raise ProviderError(http_status=status, code=20003 if status == 401 else 0)


@each("status, is_refused", [(401, True), (200, False), (500, False), (None, False)])
@in_virtual_time
async def test_only_a_refusal_at_the_start_counts(status: int | None, is_refused: bool, loop: VirtualLoop) -> None:
    """No answer within two seconds counts as accepted."""
    twilio = Answers()
    twilio.status = status
    await twilio.watch.probe_at_start()
    assert twilio.core.is_refused is is_refused
    assert loop.time() == (FIRST_ANSWER_S if status is None else 0.0)


@in_virtual_time
async def test_probe_that_fails_strangely_refuses_nothing(loop: VirtualLoop) -> None:
    core = Mock(is_refused=False, metrics=Metrics())
    await CredentialsWatch(core, AsyncMock(side_effect=KeyError)).probe_at_start()
    assert core.is_refused is False


@in_virtual_time
async def test_a_refusal_counts_once_a_probe_is_refused_and_until_anything_is_accepted(loop: VirtualLoop) -> None:
    twilio, stop = Answers(), asyncio.Event()
    running = asyncio.create_task(twilio.watch.run(stop))
    await twilio.passes(35.0)
    assert twilio.probed_s == [], "nothing was refused"
    twilio.answer(401)
    await twilio.passes(20.0)
    assert (twilio.core.is_refused, twilio.probed_s) == (False, [40.0]), "the key lacks one right alone"
    twilio.status = 401
    twilio.answer(401)
    await twilio.passes(16.0)
    assert (twilio.core.is_refused, twilio.probed_s) == (True, [40.0, 60.0, 70.0])
    twilio.status = 500
    await twilio.passes(20.0)
    assert (twilio.core.is_refused, twilio.probed_s[3:]) == (True, [80.0, 90.0]), "that says nothing"
    twilio.answer(200)
    assert twilio.core.is_refused is False
    await twilio.passes(20.0)
    assert twilio.probed_s[5:] == []
    stop.set()
    await running


# ---- what a refused worker owns --------------------------------------------------------------------------------------


class Account:
    """What Twilio answers two workers: their probes, and a request of each that is noted here."""

    def __init__(self, team: WorkerCluster) -> None:
        self._team = team
        self.refuses: set[str] = set()
        self._watches: dict[str, CredentialsWatch] = {}

    def join(self, work: Work | None = None) -> ClusterMember:
        member = self._team.join(work=work)
        watch = CredentialsWatch(member.core, partial(self._probe, member.name))
        self._watches[member.name] = watch
        member.process.start(watch.run(member.stop))
        return member

    def refuse(self, *members: ClusterMember) -> None:
        """From now on, and a request of each is refused at once."""
        self.refuses = {member.name for member in members}
        for name in self.refuses:
            self._watches[name].note_answer(RequestResult(401, 20003))

    async def _probe(self, name: str) -> None:
        if name in self.refuses:
            self._watches[name].note_answer(RequestResult(401, 20003))
            raise ProviderError(http_status=401, code=20003)
        self._watches[name].note_answer(RequestResult(200, 0))


@in_virtual_time_with("team", partial(running_cluster, partitions=4))
async def test_refused_worker_owns_nothing_within_15_s_and_its_share_after_an_acceptance(team: WorkerCluster) -> None:
    """Also not what has requests under way: they are refused."""
    account = Account(team)
    wrong, right = account.join(Work(busy_partitions={0, 1, 2, 3})), account.join()
    await team.passes(6.0)
    held = {*wrong.ownership.partitions}
    assert held == {0, 1, 2, 3}
    account.refuse(wrong)
    await team.passes(OWNS_NOTHING_AFTER_S)
    assert not wrong.ownership.partitions
    assert right.ownership.partitions.keys() == {0, 1, 2, 3}
    assert all(right.ownership.owns(task) and not wrong.ownership.owns(task) for task in TASKS)
    account.refuse()
    await team.passes(PROBE_EVERY_S)
    assert await team.until_fair(3.0) <= 3.0
    assert len(wrong.ownership.partitions) == 2


@in_virtual_time_with("team", partial(running_cluster, partitions=4))
async def test_all_refused_workers_own_nothing_and_go_on_after_an_acceptance(team: WorkerCluster) -> None:
    account = Account(team)
    one, two = account.join(), account.join()
    await team.until_fair(6.0)
    account.refuse(one, two)
    await team.passes(OWNS_NOTHING_AFTER_S)
    assert await team.owners() == {}
    await team.passes(120.0)
    assert not one.stop.is_set()
    assert not two.stop.is_set()
    assert one.ownership.problems == ["partitions unassigned"]
    account.refuse()
    await team.passes(PROBE_EVERY_S)
    assert await team.until_fair(3.0) <= 3.0


@pytest.mark.redis
async def test_worker_refused_at_its_start_owns_nothing_until_it_is_accepted(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that comes in meanwhile is connected, and its events wait."""
    monkeypatch.setattr(credentials, "PROBE_EVERY_S", 0.05)
    async with LocalSystem(redis_server.url, workers=0) as system:
        right, system.sandbox.auth_token = system.sandbox.auth_token, "another-token"
        worker = system.start_worker()
        await system.eventually(worker.problems, "it says all that is wrong", equals=["partitions unassigned", REFUSED])
        assert not await system.all_held()
        customer = await system.customer_calls()
        system.sandbox.auth_token = right
        await system.until(customer.sid, phase="connected")
        await system.done("convert", customer.sid)
        assert await worker.problems() == []
        await system.done("end", customer.sid)
        await system.settled()


@pytest.mark.redis
async def test_what_a_refused_worker_is_asked_waits_until_it_is_accepted(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "PROBE_EVERY_S", 0.05)
    async with LocalSystem(redis_server.url) as system:
        customer, _ = await system.talking()
        worker, right = system.workers[0], system.sandbox.auth_token
        system.sandbox.auth_token = "another-token"
        convert = asyncio.create_task(system.command("convert", customer.sid, 30))
        await system.eventually(lambda: len(worker.ownership.partitions), "it owns nothing", equals=0)
        end = asyncio.create_task(system.command("end", customer.sid, 30))
        await system.eventually(worker.problems, "it says all that is wrong", equals=["partitions unassigned", REFUSED])
        assert not end.done()
        system.sandbox.auth_token = right
        assert (await end).status == "done"
        assert (await convert).status in {"done", "failed"}, "it may have been too late"
        assert await worker.problems() == []
        await system.settled()


@pytest.mark.redis
async def test_command_for_a_call_that_began_while_all_were_refused_is_decided_after_it(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its partitions take longer to be taken over than the commands to be routed."""
    monkeypatch.setattr(credentials, "PROBE_EVERY_S", 0.05)
    async with LocalSystem(redis_server.url, workers=0) as system:

        async def until_all_are_routed(point: str, _partition: int) -> None:
            while point == "after_read" and await system.client.xlen(system.keys.commands):
                await asyncio.sleep(0.01)

        system.worker_options = {"checkpoint": until_all_are_routed}
        right, system.sandbox.auth_token = system.sandbox.auth_token, "another-token"
        worker = system.start_worker()
        await system.eventually(worker.problems, "it says all that is wrong", equals=["partitions unassigned", REFUSED])
        given = {"session": "order-7", "agent": AGENT, "customer": CUSTOMER}
        call = asyncio.create_task(system.command("call", **given))
        await system.eventually(lambda: system.client.xlen(system.keys.commands), "it waits", equals=1)
        end = asyncio.create_task(system.command("end", "order-7"))
        unknown = asyncio.create_task(system.command("end", "order-8"))
        await system.eventually(lambda: system.client.xlen(system.keys.commands), "they wait", equals=3)
        system.sandbox.auth_token = right
        assert (await end).status == "done"
        assert (await call).status in {"done", "failed"}, "it was ended"
        assert ((await unknown).status, (await unknown).reason) == ("rejected", "no call order-8 found")
        await system.settled()


@pytest.mark.redis
async def test_one_of_two_workers_with_a_wrong_key_leaves_all_to_the_other(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone deletes the API key that one of them uses."""
    monkeypatch.setattr(credentials, "PROBE_EVERY_S", 0.05)
    async with LocalSystem(redis_server.url, workers=0, lease_ms=2_000) as system:
        system.sandbox.api_keys = {"SK" + "1" * 32: "secret"}
        of_token = system.settings
        key = {"api_key": "SK" + "1" * 32, "api_secret": SecretStr("secret")}
        system.settings = of_token.model_copy(update=key)
        wrong = system.start_worker()
        await system.eventually(system.all_held, "it holds everything")
        system.settings = of_token
        right = system.start_worker()
        await system.eventually(lambda: right.ownership.partitions, "both share")
        system.sandbox.api_keys = {}
        customer, _ = await system.talking()
        await system.command("convert", customer.sid)
        await system.eventually(lambda: len(right.ownership.partitions), "the other takes over", equals=2)
        assert await wrong.problems() == [REFUSED]
        assert await right.problems() == []
        await system.done("end", customer.sid)
        await system.settled()
