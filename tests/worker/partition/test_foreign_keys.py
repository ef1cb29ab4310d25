"""Another program writes under our prefix, to each key that docs/reference/redis.md lists, while calls run.

No process ends, other calls go on, and the log names the key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.storage.keys import AgentKey, Key, Keys, NamedKey, PartitionKey, SessionKey
from tests.support.local_system import LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.timeout(300)]
KEYS = {name: key for name, key in vars(Keys).items() if isinstance(key, Key)}
#: A key's text begins with its type; as Redis's TYPE returns it.
WORDS = {"Stream": "stream", "Sorted set": "zset", "Set": "set", "String": "string", "Hash": "hash", "List": "list"}
TYPES = {name: next(kind for word, kind in WORDS.items() if key.about.startswith(word)) for name, key in KEYS.items()}
#: In `make test`, because this once stopped whole tasks, or failed unexpectedly. The others are in the long run.
ALWAYS = ("owners", "timers", "lease", "processes", "config", "session")
#: What cannot be read in a key of each type: commands, after whose names the key follows.
RECORDS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "stream": (("XADD", "*", b"\xff", b"\xff"), ("XADD", "*", "type", "9" * 5_000)),
    "zset": tuple(("ZADD", score, member) for score in ("-inf", "+inf", "1") for member in (b"\xff", "lone|s", "x")),
    "set": (("SADD", b"\xff"), ("SADD", "")),
    "string": (("SET", b"\xff"), ("SET", "")),
    "list": (("LPUSH", b"\xff"), ("LPUSH", "")),
    "hash": (("HSET", b"\xff", b"\xff"), ("HSET", "0", "9" * 5_000), ("HSET", "worker:x y", "1")),
}
#: With another type here, nothing can be commanded, or no one owns anything: those go on once the key is removed.
NEEDED_BY_ALL = ("commands", "owners")
#: Nothing that runs here reads these.
UNREAD = ("digits", "identity", "new_log", "gates", "call", "undelivered",
          "sending", "sending_due", "sending_state", "call_dials", "dials", "command", "outcomes", "log",
          "session", "agents", "agent_away", "agent_calls", "agent_sessions", "agent_talked", "offer", "presence",
          "sign_ins", "ring", "dead", "probe", "workers")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A key, and what another program does to it."""

    name: str
    kind: str
    commands: tuple[tuple[Any, ...], ...]
    is_wrong_type: bool = False

    def key(self, keys: Keys, session: str) -> str:
        made: Callable[[Any], str] | str = getattr(keys, self.name)
        if isinstance(made, str):
            return made
        if isinstance(KEYS[self.name], PartitionKey):
            return made(keys.partition_of(session))
        assert isinstance(KEYS[self.name], SessionKey | NamedKey | AgentKey)
        return made(session)


def cases() -> Iterator[Any]:
    for name, kind in TYPES.items():
        wrong = ("SADD", "x") if kind == "string" else ("SET", "another program's")
        marks = [] if name in ALWAYS else [pytest.mark.soak]
        yield pytest.param(Case(name, kind, RECORDS[kind]), id=f"{name}-records", marks=marks)
        yield pytest.param(Case(name, kind, (wrong,), is_wrong_type=True), id=f"{name}-type", marks=marks)


@pytest.fixture
async def system(redis_server):
    async with LocalSystem(redis_server.url) as system:
        yield system


async def in_another_partition(system: LocalSystem, session: str) -> str:
    """A call that has nothing to do with this session's partition."""
    while True:
        other, _ = await system.talking()
        if system.keys.partition_of(other.sid) != system.keys.partition_of(session):
            return other.sid


@pytest.mark.parametrize("case", list(cases()))
async def test_what_another_program_writes_ends_no_process(system: LocalSystem, case: Case) -> None:
    customer, agent = await system.talking()
    other = await in_another_partition(system, customer.sid)
    await system.done("convert", other)
    key, client = case.key(system.keys, customer.sid), system.client
    saved = await client.dump(key)
    with capture_logs() as lines:
        if case.is_wrong_type:
            await client.delete(key)
        for command, *arguments in case.commands:
            await client.execute_command(command, key, *arguments)
        agent.hang_up()  # so that something must be decided there
        if not (case.is_wrong_type and case.name in NEEDED_BY_ALL):
            await system.done("hold", other, party="customer")
            await system.done("unhold", other, party="customer")
        if case.is_wrong_type and case.name not in UNREAD:
            await system.eventually(lambda: has_named(lines, key), f"the log names {key}")
    await client.delete(key)
    if saved is not None:
        await client.restore(key, 0, saved)
    await system.done("hold", other, party="customer")
    assert not [line for line in lines if line["event"] in ("unexpected_error", "task_failed")]
    assert await system.stop_worker() == 0, "it ran until now"


async def has_named(lines: list[Any], key: str) -> bool:
    return any(key in str(line) for line in lines)
