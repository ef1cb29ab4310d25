"""The package behind the `conferral` command: CLI, demo, setup check, and Python client.

Imports are lazy, so that `--help` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conferral.client.client import Client
    from conferral.client.handle import Command
    from conferral.client.models import Attempt, LogEntry, OutcomeRecord, Party, Recording, Session, Transfer
    from conferral.operations.errors import (
        CommandError,
        CommandFailed,
        CommandPending,
        CommandRejected,
        PublishUnconfirmedError,
        UnknownSession,
    )
    from conferral.runtime.errors import ConferralError, SettingsError, StoreError, StoreUnreachableError

_MODULES = {
    "Client": "conferral.client.client",
    "Command": "conferral.client.handle",
    **dict.fromkeys(
        (
            "CommandError",
            "CommandFailed",
            "CommandPending",
            "CommandRejected",
            "PublishUnconfirmedError",
            "UnknownSession",
        ),
        "conferral.operations.errors",
    ),
    **dict.fromkeys(
        ("Attempt", "LogEntry", "OutcomeRecord", "Party", "Recording", "Session", "Transfer"), "conferral.client.models"
    ),
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
    "OutcomeRecord",
    "Party",
    "PublishUnconfirmedError",
    "Recording",
    "Session",
    "SettingsError",
    "StoreError",
    "StoreUnreachableError",
    "Transfer",
    "UnknownSession",
)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
