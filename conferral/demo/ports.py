"""Choose the demo's ports: the default ones, or the next free ones."""

import socket
from dataclasses import dataclass

HOST = "127.0.0.1"
WEBHOOKS_PORT = 8080
SANDBOX_PORT = 8081
CONSOLE_PORT = 8082
ATTEMPTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Ports:
    """The demo's ports."""

    webhooks: int = WEBHOOKS_PORT
    sandbox: int = SANDBOX_PORT
    console: int = CONSOLE_PORT


def is_free(port: int) -> bool:
    """Whether this process can listen on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose(wanted: int, *, taken: frozenset[int]) -> int:
    """Return the first free port from `wanted` on; 0 if there is none."""
    for port in range(wanted, min(wanted + ATTEMPTS_MAX, 65536)):
        if port not in taken and is_free(port):
            return port
    return 0
