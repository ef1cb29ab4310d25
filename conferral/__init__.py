"""The `conferral` package: CLI, demo, setup check, and Python client.

Imports are lazy, so that `--help` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conferral.client.client import Client as Client
    from conferral.client.client import Command as Command
    from conferral.operations.errors import CommandError as CommandError
    from conferral.operations.errors import CommandFailed as CommandFailed
    from conferral.operations.errors import CommandPending as CommandPending
    from conferral.operations.errors import CommandRejected as CommandRejected
    from conferral.operations.errors import PublishUnconfirmedError as PublishUnconfirmedError
    from conferral.operations.errors import UnknownSession as UnknownSession
    from conferral.outcomes.outcome import OutcomeRecord as OutcomeRecord
    from conferral.runtime.errors import ConferralError as ConferralError
    from conferral.runtime.errors import SettingsError as SettingsError
    from conferral.runtime.errors import StoreError as StoreError
    from conferral.runtime.errors import StoreUnreachableError as StoreUnreachableError
    from conferral.storage.codecs.log_codec import LogEntry as LogEntry

_MODULES = {
    name: module
    for module, names in {
        "conferral.client.client": "Client Command",
        "conferral.operations.errors": (
            "CommandError CommandFailed CommandPending CommandRejected PublishUnconfirmedError UnknownSession"
        ),
        "conferral.outcomes.outcome": "OutcomeRecord",
        "conferral.runtime.errors": "ConferralError SettingsError StoreError StoreUnreachableError",
        "conferral.storage.codecs.log_codec": "LogEntry",
    }.items()
    for name in names.split()
}

if not TYPE_CHECKING:  # type checkers can't evaluate it; they read the imports above
    __all__ = tuple(sorted(_MODULES))


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
