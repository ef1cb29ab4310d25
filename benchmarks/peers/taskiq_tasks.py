"""taskiq with its Redis stream broker, without any of a worker's guarantees.

The handler reads a session, applies a table, and writes the session. There is no log, deduplication, fencing, timer,
or order within a session. `taskiq worker` runs it; `python -m benchmarks.peers.taskiq_tasks COUNT` publishes events.
"""

import asyncio
import os
import sys

import orjson
from redis.asyncio import Redis
from taskiq_redis import RedisStreamBroker

# It takes 100 messages at a time; Conferral takes 20, so that its commits hold up Redis for less.
broker = RedisStreamBroker(os.environ["REDIS_URL"], xread_count=100)
redis = Redis.from_url(os.environ["REDIS_URL"])
_STATES = {"initiated": "ringing", "ringing": "ringing", "in-progress": "connected", "completed": "ended"}
_STATUSES = ("received", "initiated", "ringing", "in-progress", "completed", "dial-ended", "completed")
_CALLS_AT_ONCE = 1_000


@broker.task(task_name="event")
async def event(body: str) -> None:
    """Decide one event."""
    form = orjson.loads(body)
    key = f"session:{form['CallSid']}"
    stored = await redis.get(key)
    session = orjson.loads(stored) if stored else {"id": form["CallSid"], "version": 0, "parties": {}}
    session["state"] = _STATES.get(form["CallStatus"], session.get("state", "ringing"))
    session["version"] += 1
    session["parties"]["customer"] = {"status": form["CallStatus"], "address": form["From"]}
    await redis.set(key, orjson.dumps(session))


def body(number: int) -> str:
    """Return the event with this number, of ordinary calls: JSON with 25 parameters, as Twilio sends."""
    group, place = divmod(number, _CALLS_AT_ONCE * len(_STATUSES))
    step, call = divmod(place, _CALLS_AT_ONCE)
    form = {f"Parameter{index}": "SAN FRANCISCO" for index in range(21)}
    form |= {"CallSid": f"CA{group * _CALLS_AT_ONCE + call:032x}", "CallStatus": _STATUSES[step]}
    form |= {"SequenceNumber": str(step), "From": "+14155550123"}
    return orjson.dumps(form).decode()


async def publish(count: int) -> None:
    """Publish events."""
    await broker.startup()
    for start in range(0, count, 100):
        await asyncio.gather(*(event.kiq(body(number)) for number in range(start, min(count, start + 100))))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(publish(int(sys.argv[1])))
