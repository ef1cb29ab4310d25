"""What a coroutine may await where others block."""

from collections.abc import Awaitable, Iterator


class AlreadyDone(Awaitable[None]):
    """What a coroutine may await although nothing is left to wait for."""

    def __await__(self) -> Iterator[None]:  # type: ignore[override]
        """Return at once."""
        return iter(())
