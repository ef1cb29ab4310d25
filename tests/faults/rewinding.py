"""Ways to bring Redis back with less than it had acknowledged, and calls that this happens to."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis

from tests.support.redis_server import RedisServer


def copy_of(server: RedisServer, folder: Path) -> Path:
    """The data of a server as it stands at this moment: what it has acknowledged is in there."""
    shutil.copytree(server.folder, folder, ignore=shutil.ignore_patterns("*.sock"))
    return folder


def restore(server: RedisServer, copy: Path) -> None:
    """Kills the server and starts it on an older copy of its data."""
    server.kill()
    for path in server.folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(copy, server.folder, dirs_exist_ok=True)
    server.start()


def tear(server: RedisServer, count: int) -> None:
    """Kills the server, cuts so many bytes off the end of its file, and starts it again."""
    server.kill()
    path = server.append_only_file
    with path.open("rb+") as file:
        file.truncate(max(0, path.stat().st_size - count))
    server.start()


def everything(client: "Redis[str]") -> dict[str, Any]:
    """Every key with its content."""
    read: dict[str, Callable[[str], Any]] = {
        "hash": client.hgetall,
        "stream": client.xrange,
        "string": client.get,
        "set": client.smembers,
        "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
    }
    return {key: read[str(client.type(key))](key) for key in sorted(client.keys("*"))}
