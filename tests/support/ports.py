"""Free ports of loopback for servers that a test starts later, or starts again.

A port that the system chooses may be gone by then: it also chooses those of outgoing connections, and other tests make
many. So these are below all that it chooses from (32,768 and up on Linux, 49,152 and up elsewhere), and each process of
pytest has its own.
"""

import itertools
import os
import random
import socket

HOST = "127.0.0.1"
_PORTS = range(11_000, 20_000)
_PROCESSES = 32
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def own_ports(ports: range) -> list[int]:
    """Those of a range that only this process of pytest uses, in random order; some may not be free."""
    own = list(ports[_process % _PROCESSES :: _PROCESSES])
    random.SystemRandom().shuffle(own)
    return own


_own = own_ports(_PORTS)
_next = itertools.cycle(_own)


def free_port() -> int:
    """Returns one that no one listens on, and not the same one soon again."""
    return next(port for port in itertools.islice(_next, len(_own)) if is_free(port))


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
