"""The ACL rules in docs/operating.md, generated from the commands that the code uses."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_WHY = "<!-- not run: rules, which tests/processes/test_redis_users.py gives to a redis-server -->"
_BLOCK = re.compile(r"(<!-- acl -->\n).*?(<!-- /acl -->)", re.DOTALL)
#: Commands with subcommands, of which a rule names one.
_CONTAINERS = frozenset({"ACL", "CLIENT", "CONFIG", "SCRIPT", "XGROUP", "XINFO"})
#: Names of redis-py's methods that differ from the command's.
_RENAMED = {"DELETE": "DEL", "SCAN_ITER": "SCAN"}
#: What a call's receiver is named if it is a Redis client or a pipeline.
_CLIENTS = frozenset({"client", "_client", "_probe_client", "pipeline", "pipe", "channel"})
#: Each connection needs these: redis-py sends them.
_CONNECTION = frozenset({"PING", "SELECT"})
#: `check` reads settings if it may; they include passwords.
_LEFT_OUT = frozenset({"CONFIG|GET"})
#: What an operator may run of the commands that the queries use. Scripts may run no more than their user.
_READS = frozenset({
    "EVAL", "EVALSHA", "EXISTS", "GET", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "INFO", "PING", "PTTL", "SCAN",
    "SCARD", "SELECT", "SISMEMBER", "SMEMBERS", "TIME", "TYPE", "XINFO|GROUPS", "XINFO|STREAM", "XLEN", "XRANGE",
    "XREAD", "XREVRANGE", "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZSCORE",
})  # fmt: skip
_SERVICE = (
    "conferral/storage",
    "conferral/operations",
    "worker",
    "webhooks",
    "conferral/console",
    "conferral/check",
    "conferral/cli",
    "conferral/processes",
)
_OPERATOR = (
    "conferral/storage/queries",
    "conferral/storage/config.py",
    "conferral/operations",
    "conferral/redis_access.py",
)
_WORD = re.compile(r"[A-Z]{3,}(?: [A-Z]{2,})?")


def _known() -> frozenset[str]:
    from redis.commands.cluster import RedisClusterCommands
    from redis.commands.core import CoreCommands

    names = {name.upper() for owner in (CoreCommands, RedisClusterCommands) for name in dir(owner) if name[0] != "_"}
    names.discard("EXECUTE_COMMAND")
    return frozenset(_RENAMED.get(name, name) for name in names) | {"SUBSCRIBE", "UNSUBSCRIBE", "DEL"}


def _as_rule(words: Iterable[str]) -> str:
    """Return a command as ACL rules name it, such as XGROUP|CREATE."""
    command, *more = words
    return f"{command}|{more[0]}" if command in _CONTAINERS and more else command


def _in_python(text: str, known: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = node.func.value
            name = receiver.attr if isinstance(receiver, ast.Attribute) else getattr(receiver, "id", "")
            method = _RENAMED.get(node.func.attr.upper(), node.func.attr.upper())
            container, _, subcommand = method.partition("_")
            if name in _CLIENTS and container in _CONTAINERS and subcommand:
                yield f"{container}|{subcommand.removesuffix('_')}"
            elif name in _CLIENTS and method in known:
                yield method
        first = node.elts[0] if isinstance(node, ast.Tuple) and node.elts else None
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "execute_command" and node.args:
            first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and _WORD.fullmatch(first.value):
            words = first.value.split()
            if words[0] in known | _CONTAINERS:
                yield _as_rule(words)


def _in_lua(text: str, known: frozenset[str]) -> Iterator[str]:
    code = re.sub(r"--[^\n]*", "", text.partition("]]")[2])  # each script begins with a comment
    for command, subcommand in re.findall(r"'([A-Z]{3,})'(?:, *'([A-Z]+)')?", code):
        if command in known | _CONTAINERS:
            yield _as_rule([command, subcommand] if subcommand else [command])


def _files(places: Iterable[str]) -> Iterator[Path]:
    for place in places:
        path = ROOT / place
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def commands_of(places: Iterable[str], scripts: str) -> set[str]:
    """Return the commands that code uses, and Lua scripts whose names match."""
    known = _known()
    found = {command for path in _files(places) for command in _in_python(path.read_text("utf-8"), known)}
    for path in sorted((ROOT / "conferral/storage/scripts").glob(scripts)):
        found |= set(_in_lua(path.read_text("utf-8"), known))
    return found | _CONNECTION | {"EVAL", "EVALSHA"}


def rules(prefix: str = "conferral") -> dict[str, str]:
    """Return each user's ACL rules, without its password."""
    service = commands_of(_SERVICE, "*.lua") - _LEFT_OUT
    operator = commands_of(_OPERATOR, "read_*.lua") & _READS
    return {
        "conferral": f"resetchannels ~{prefix}:* &{prefix}:* {_allow(service)}",
        "publisher": f"resetchannels ~{prefix}:commands +xadd",
        "operator": f"resetchannels ~{prefix}:* {_allow(operator)}",
    }


def _allow(commands: set[str]) -> str:
    return " ".join(f"+{command.lower()}" for command in sorted(commands))


def filled(name: str) -> str:
    """Return a page with its current ACL rules."""
    lines = "\n".join(f"ACL SETUSER {user} on >PASSWORD {allowed}" for user, allowed in rules().items())
    return _BLOCK.sub(rf"\1{_WHY}\n```text\n{lines}\n```\n\2", (ROOT / name).read_text("utf-8"))
