"""The event streams of a process's desks, by agent."""

from collections.abc import Callable

from aiohttp import web

from conferral.runtime.metrics import Metrics
from conferral.webhooks.api import desk_models
from conferral.webhooks.api.streams import Reader
from conferral.webhooks.desk.tokens import DeskToken


class DeskReader(Reader):
    """One desk's stream."""

    def __init__(self, request: web.Request, token: DeskToken, desk: str, must_end: Callable[[], bool]) -> None:
        super().__init__(request, token.identity, must_end)
        self.token = token
        self.desk = desk
        #: As last sent.
        self.presence: desk_models.OwnPresence | None = None


class DeskReaders:
    """All streams, by their agents' identities."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._readers: dict[str, set[DeskReader]] = {}

    def __bool__(self) -> bool:
        return bool(self._readers)

    def of(self, identity: str) -> tuple[DeskReader, ...]:
        """Return an agent's streams."""
        return tuple(self._readers.get(identity, ()))

    def all(self) -> list[DeskReader]:
        """Return all streams."""
        return [one for readers in self._readers.values() for one in readers]

    def add(self, reader: DeskReader) -> None:
        """Add a stream, which gets each change from now on."""
        self._readers.setdefault(reader.owner, set()).add(reader)

    def remove(self, reader: DeskReader) -> None:
        """Remove a stream."""
        readers = self._readers.get(reader.owner, set())
        readers.discard(reader)
        if not readers:
            self._readers.pop(reader.owner, None)

    def push(self, reader: DeskReader, event: bytes) -> None:
        """Send an event soon, or drop a reader who is too slow."""
        if reader.push(event):
            self.remove(reader)
            reader.end()
            self._metrics.streams_dropped.inc()
