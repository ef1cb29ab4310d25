"""All that stands in a Redis, as text: to see that something stands nowhere any more."""

from typing import Any

_READS = {
    "string": lambda client, key: client.get(key),
    "hash": lambda client, key: client.hgetall(key),
    "set": lambda client, key: client.smembers(key),
    "list": lambda client, key: client.lrange(key, 0, -1),
    "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    "stream": lambda client, key: client.xrange(key),
}


def everything_in(client: Any) -> str:
    """Every key with its value, a line each.

    Args:
        client: One that waits, and answers text.
    """
    return "\n".join(f"{key} {_READS[client.type(key)](client, key)}" for key in sorted(client.keys("*")))
