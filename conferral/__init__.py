"""The front door: the command line, the demo, the check, and the Python client.

Nothing is imported before it is used: the command line's help would wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conferral.client import Client
    from conferral.facts import Attempt, LogEntry, Outcome, Party, Recording, Session, Transfer
    from conferral.handle import Command
    from conferral.operations.errors import CommandError, CommandFailed, CommandPending, CommandRejected, UnknownSession
    from conferral.runtime.errors import ConferralError, SettingsError, StoreError, StoreUnreachableError

_HOMES = {
    "Client": "conferral.client",
    "Command": "conferral.handle",
    **dict.fromkeys(
        ("CommandError", "CommandFailed", "CommandPending", "CommandRejected", "UnknownSession"),
        "conferral.operations.errors",
    ),
    **dict.fromkeys(("Attempt", "LogEntry", "Outcome", "Party", "Recording", "Session", "Transfer"), "conferral.facts"),
    **dict.fromkeys(
        ("ConferralError", "SettingsError", "StoreError", "StoreUnreachableError"), "conferral.runtime.errors"
    ),
}

__all__ = (
    "Attempt",
    "Client",
    "Command",
    "CommandError",
    "CommandFailed",
    "CommandPending",
    "CommandRejected",
    "ConferralError",
    "LogEntry",
    "Outcome",
    "Party",
    "Recording",
    "Session",
    "SettingsError",
    "StoreError",
    "StoreUnreachableError",
    "Transfer",
    "UnknownSession",
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
