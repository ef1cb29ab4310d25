"""What views have in common, and how a page's wishes are read."""

from collections.abc import Mapping
from typing import Any, Protocol


class BadMessageError(ValueError):
    """A message of the page that can't be understood, with the reason in words."""


class View(Protocol):
    """Something that one page looks at. It knows what the page has been told."""

    #: Whether sessions that have ended belong to it.
    with_ended: bool

    async def new_messages(self) -> list[bytes]:
        """What is to be told now; what is returned counts as told.

        Raises:
            StoreError: Redis is away; nothing is lost by it.
        """
        ...


def read_text(message: Mapping[str, Any], name: str, most: int = 64) -> str:
    """A text of a message, empty where there is none.

    Raises:
        BadMessageError: it is no text, or too long.
    """
    value = message.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise BadMessageError(f"{name}: must be a text of at most {most} characters")
    return value


def read_flag(message: Mapping[str, Any], name: str) -> bool:
    """Yes or no, no where it is not given.

    Raises:
        BadMessageError: it is neither.
    """
    value = message.get(name, False)
    if not isinstance(value, bool):
        raise BadMessageError(f"{name}: must be true or false")
    return value


def read_count(message: Mapping[str, Any], name: str) -> int | None:
    """A number from 0, None where it is not given.

    Raises:
        BadMessageError: it is none.
    """
    value = message.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**15):
        raise BadMessageError(f"{name}: must be a whole number from 0")
    return value
