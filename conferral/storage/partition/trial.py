"""A trial of a commit, on keys of its own.

Redis applies the rules of our user (ACL) when a command runs. In the middle of a commit, a missing right would leave
half of it. So starting webhooks and workers try, and so does `conferral check`.
"""

from dataclasses import replace

from conferral.runtime.errors import StoreForbiddenError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.session import Session
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import scripts
from conferral.storage.agent_calls import AgentCall, CallResult, EndedCall
from conferral.storage.call_index import CallIndex
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.connection.client import Client, Command, as_store_errors, run_all
from conferral.storage.connection.errors import STATES, to_store_error
from conferral.storage.keys import trial_keys
from conferral.storage.partition.commit_store import Commit, CommitStore, SessionChange

#: Each command of the script, with what follows its key.
_SCRIPT_COMMANDS = (
    ("XADD", "1-1", "type", "trial"),
    ("XLEN",),
    ("XDEL", "1-1"),
    ("XGROUP CREATE", "trial", "0"),
    ("XGROUP SETID", "trial", "0"),
    ("HSET", "field", "value"),
    ("HMGET", "field"),
    ("HLEN",),
    ("HDEL", "field"),
    ("SADD", "member"),
    ("SCARD",),
    ("SREM", "member"),
    ("ZADD", "1", "member"),
    ("ZCARD",),
    ("ZREM", "member"),
    ("ZREMRANGEBYSCORE", "0", "0"),
    ("GET",),
    ("SET", "", "XX", "KEEPTTL"),
    ("EXPIRE", "60"),
    ("LREM", "0", "entry"),
    ("LPUSH", "entry"),
    ("LTRIM", "0", "0"),
)
_CALL = AgentCall("s", "", None, None, None, CallResult.MISSED, None)


async def try_commit(client: Client, prefix: str) -> None:
    """Raise StoreForbiddenError, with the command, if our user lacks a right.

    Other refusals pass: a full Redis takes commits that free memory, but no trial.
    """
    keys = trial_keys(prefix)
    store = CommitStore(
        client,
        keys,
        call_index=CallIndex(keys),
        outcomes_kept=1,
        metrics=Metrics(),
    )
    change = SessionChange(Session("s"))
    change.add_version(replace(change.before, version=1))
    change.log.append(LogEntry(event="trial"))
    commit = Commit(
        ["1-1"],
        [change],
        outbox_set={"e": b"{}"},
        timers={"t": 1},
        reports=[("s", CommandReport("c", CommandStatus.DONE))],
        outcomes=[{"id": "o"}],
        agent_calls=[EndedCall("a", _CALL, _CALL)],
        calls_over={"s": ("c",)},
    )
    names, arguments = store.encode(0, "1:trial", 1, commit)
    own = keys.events(0)
    commands: list[Command] = [
        ("DEL", *names),
        # One by one: of a script, Redis doesn't say which command it refused.
        *((name, own, *more) for name, *more in _SCRIPT_COMMANDS),
        ("COPY", own, own),
        ("RENAME", own, own),
        ("DEL", own),
        ("XADD", own, "1-1", "type", "trial"),
        ("HSET", keys.lease(0), "holder", "1:trial"),
        scripts.commit_batch.command(names, arguments),
        ("DEL", *names),
    ]
    with as_store_errors():
        answers = await run_all(client, commands)
    for (command, *_), answer in zip(commands, answers, strict=True):
        if isinstance(answer, Exception) and isinstance(to_store_error(answer), StoreForbiddenError):
            error = StoreForbiddenError(f"Redis forbids our user {command} on keys with the prefix {prefix}")
            error.state = STATES["NOPERM"]
            raise error
