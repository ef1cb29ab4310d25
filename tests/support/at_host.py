"""Runs `conferral` as if on another machine: it connects from an address of loopback of its own.

Run as `python -m tests.support.at_host 127.0.0.2 worker`.
"""

import asyncio
import sys
from functools import partial

from conferral.main import main

if __name__ == "__main__":
    host, *arguments = sys.argv[1:]
    asyncio.open_connection = partial(asyncio.open_connection, local_addr=(host, 0))  # what redis-py connects with
    sys.exit(main(arguments))
