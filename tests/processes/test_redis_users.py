"""The Redis users of docs/redis.md: each does its work, and nothing else, on every redis-server there is."""

import re
from collections.abc import Iterator

import pytest
import redis as redis_py

from tests.docs.generated import ROOT
from tests.support.command_line import CommandLine
from tests.support.local_system import LocalSystem
from tests.support.redis_server import RedisServer, found_programs

pytestmark = [pytest.mark.redis, pytest.mark.processes]
PASSWORD = "a-password"
USERS = dict(re.findall(r"^ACL SETUSER (\w+) (.*)$", (ROOT / "docs" / "redis.md").read_text("utf-8"), re.MULTILINE))


#: The first redis-server in every run, others in the long one.
PROGRAMS = [
    pytest.param(name, marks=[pytest.mark.soak] if number else []) for number, name in enumerate(found_programs())
]


@pytest.fixture(params=PROGRAMS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(found_programs()[request.param]) as server:
        with server.client() as admin:
            for name, rules in USERS.items():
                admin.execute_command("ACL", "SETUSER", name, *rules.replace("PASSWORD", PASSWORD).split())
        yield server


def url_of(server: RedisServer, user: str) -> str:
    return f"unix://{user}:{PASSWORD}@{server.socket}"


#: How redis-py introduces itself; it ignores a refusal. Redis 6.2 names the command alone.
SET_INFO = {"client", "client|setinfo"}


def denied(server: RedisServer) -> set[tuple[str, str]]:
    """What was forbidden: user and command, or key."""
    with server.client() as admin:
        entries = admin.execute_command("ACL LOG")
    return {(entry["username"], entry["object"]) for entry in entries if entry["object"] not in SET_INFO}


async def test_redis_users_do_their_work_and_nothing_else(server: RedisServer) -> None:
    async with LocalSystem(url_of(server, "conferral"), workers=2) as system:
        customer, _ = await system.talking()
        publisher = redis_py.Redis.from_url(url_of(server, "publisher"))
        publisher.xadd(system.keys.commands, {"type": "convert", "session": customer.sid, "id": "c1"})
        assert (await system.result_of("c1")).status == "done"
        await system.done("hold", customer.sid, party="customer")
        await system.done("unhold", customer.sid, party="customer")
        await system.client.xadd(system.keys.commands, {"odd": "1"})
        await system.client.xadd(system.keys.events(0), {"odd": "1"})
        assert await system.publisher.warnings() == []
        assert await system.workers[0].problems() == await system.workers[0].warnings() == []
        await system.stop_worker()

        async with CommandLine(REDIS_URL=url_of(server, "operator")) as line:
            for command in ("sessions", "show"):
                code, out, err = await line.type(command, *([] if command == "sessions" else [customer.sid]))
                assert code == 0, err
                assert customer.sid[:8] in out
        assert not denied(server), "a command is missing"

        for refused in (
            lambda: publisher.xlen(system.keys.commands),
            lambda: publisher.xadd(system.keys.events(0), {"type": "x"}),
            lambda: publisher.execute_command("EVAL", "return 1", 0),
            lambda: publisher.get(system.keys.call(customer.sid)),
        ):
            with pytest.raises(redis_py.exceptions.NoPermissionError):
                refused()
        operator = redis_py.Redis.from_url(url_of(server, "operator"))
        for refused in (
            lambda: operator.xadd(system.keys.commands, {"type": "end", "session": customer.sid}),
            lambda: operator.hset(system.keys.session(customer.sid), "state", "ended"),
            lambda: operator.delete(system.keys.session(customer.sid)),
            lambda: operator.get("another program's"),
        ):
            with pytest.raises(redis_py.exceptions.NoPermissionError):
                refused()
        with pytest.raises(redis_py.exceptions.ResponseError):
            operator.eval("return redis.call('DEL', KEYS[1])", 1, system.keys.session(customer.sid))
        publisher.close()
        operator.close()
        assert (await system.command("end", customer.sid)).status == "done"
        await system.settled()


async def test_service_user_passes_the_check(server: RedisServer) -> None:
    settings = {
        "TWILIO_ACCOUNT_SID": "AC" + "a1" * 16, "TWILIO_AUTH_TOKEN": "token", "TWILIO_NUMBER": "+14155550100",
        "CONFERRAL_PUBLIC_URL": "http://127.0.0.1:9", "CONFERRAL_AGENT": "client:alice",
        "REDIS_URL": url_of(server, "conferral"),
    }  # fmt: skip
    async with CommandLine(**settings) as line:
        _, out, err = await line.type("check", "--offline")
    assert "Traceback" not in err
    assert "fail" not in out.partition("Redis")[2].partition("setup")[0]
    assert {command for _, command in denied(server)} <= {"config|get", "config"}
