"""Tracks the status of commands submitted on a page."""

from dataclasses import dataclass

from conferral.console.messages import encode_message
from conferral.console.redis_access import RedisAccess
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_stream import CommandOutcome

#: Per page (count); beyond it, the oldest is dropped.
TRACKED_MAX = 50
#: Longer than any command takes.
TRACKED_FOR_S = 900.0


@dataclass(slots=True)
class _TrackedCommand:
    #: As the page named it; Redis doesn't store it.
    type: str
    until_s: float
    #: The outcome last sent to the page.
    reported: CommandOutcome | None = None


class CommandTracker:
    """The commands that one page tracks."""

    def __init__(self, redis: RedisAccess, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._tracked: dict[str, _TrackedCommand] = {}

    def __bool__(self) -> bool:
        return bool(self._tracked)

    def add(self, command_id: str, type_: str) -> None:
        """Track a command that the page submitted, to send its `type_` back."""
        self._tracked[command_id] = _TrackedCommand(type_, self._clock.monotonic_s() + TRACKED_FOR_S)
        while len(self._tracked) > TRACKED_MAX:
            del self._tracked[next(iter(self._tracked))]

    async def new_messages(self) -> list[bytes]:
        """Return unsent outcomes; if it raises StoreError, none is lost."""
        messages: list[bytes] = []
        for command_id, one in list(self._tracked.items()):
            try:
                found = await self._redis.run(
                    lambda reader, name=command_id: command_stream.read_outcome(reader.client, reader.keys, name)  # type: ignore[misc]
                )
            except StoreError:
                if messages:
                    break  # return the messages found; the next call raises the error
                raise
            if found.status and found != one.reported:
                one.reported = found
                shown = {"status": found.status, "reason": found.reason, "session": found.session}
                messages.append(encode_message("command", command=command_id, **shown, type=one.type))
            if found.is_final or self._clock.monotonic_s() >= one.until_s:
                self._tracked.pop(command_id, None)
        return messages
