"""Base class of views, and validation of pages' messages."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class BadMessageError(ValueError):
    """A page's message is invalid; the text says why."""


class View(ABC):
    """What one page displays. It remembers what it has sent."""

    #: Whether it includes ended sessions.
    with_ended = False
    _sent = b""

    @abstractmethod
    async def new_messages(self) -> list[bytes]:
        """Return messages about changes; if it raises StoreError, none is lost."""

    def _if_changed(self, message: bytes) -> list[bytes]:
        if message == self._sent:
            return []
        self._sent = message
        return [message]


def read_text(message: Mapping[str, Any], name: str, most: int = 64) -> str:
    """Return a string field, empty if missing, or raise BadMessageError."""
    value = message.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise BadMessageError(f"{name}: must be text of at most {most} characters")
    return value


def read_flag(message: Mapping[str, Any], name: str) -> bool:
    """Return a boolean field, false if missing, or raise BadMessageError."""
    value = message.get(name, False)
    if not isinstance(value, bool):
        raise BadMessageError(f"{name}: must be true or false")
    return value


def read_count(message: Mapping[str, Any], name: str) -> int | None:
    """Return a count field, None if missing, or raise BadMessageError."""
    value = message.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**15):
        raise BadMessageError(f"{name}: must be an integer, 0 or more")
    return value
