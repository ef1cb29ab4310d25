"""A script that fails ends its test at once, with Redis's text.

A worker takes such an error for damage: it gives up the partition, takes it over again, and fails again. Its test would
wait until its deadline without the text, a simulation forever.
"""

import asyncio
import re
import weakref
from typing import Any

from redis.exceptions import ResponseError

from conferral.runtime.errors import StoreError
from conferral.storage.connection import client

#: An error of the script itself, in every Redis; a refused command shows the place differently.
_SCRIPT_FAILED = re.compile(r"(?<!@)user_script:\d+: ")

#: What each loop was started for: a test, or one of its fixtures.
_main_tasks: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Future[Any]]" = weakref.WeakKeyDictionary()
_run_until_complete = asyncio.BaseEventLoop.run_until_complete
_to_store_error = client.to_store_error


def _run_and_remember(loop: asyncio.BaseEventLoop, work: Any) -> Any:
    _main_tasks[loop] = asyncio.ensure_future(work, loop=loop)
    return _run_until_complete(loop, _main_tasks[loop])


def _or_end_test(error: Exception, key: str = "") -> StoreError:
    if isinstance(error, ResponseError) and _SCRIPT_FAILED.search(str(error)):
        task = _main_tasks.get(asyncio.get_running_loop())
        if isinstance(task, asyncio.Task) and not task.cancelling():
            task.cancel(f"a script failed: {error}")
    return _to_store_error(error, key)


asyncio.BaseEventLoop.run_until_complete = _run_and_remember  # type: ignore[method-assign]
client.to_store_error = _or_end_test
