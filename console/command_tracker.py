"""What becomes of commands that somebody on the page has given: told as Redis says it, never before."""

from dataclasses import dataclass

from conferral.console.messages import encode_message
from conferral.console.redis_access import RedisAccess
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.storage.commands import command_stream
from conferral.storage.commands.command_stream import CommandOutcome

#: Commands that one page follows at the same time (count); the oldest is let go.
TRACKED_MAX = 50
#: How long a command is followed, seconds: longer than any takes.
TRACKED_FOR_S = 900.0


@dataclass(slots=True)
class _TrackedCommand:
    #: As the page named it; Redis does not keep it.
    type: str
    until_s: float
    #: What the page was told last.
    reported: CommandOutcome | None = None


class CommandTracker:
    """The commands that one page follows."""

    def __init__(self, redis: RedisAccess, clock: Clock) -> None:
        """Follows none yet.

        Args:
            redis: Of Redis.
            clock: For how long.
        """
        self._redis = redis
        self._clock = clock
        self._tracked: dict[str, _TrackedCommand] = {}

    def __bool__(self) -> bool:
        """Whether any is followed."""
        return bool(self._tracked)

    def add(self, command_id: str, type_: str) -> None:
        """Follows one more."""
        self._tracked[command_id] = _TrackedCommand(type_, self._clock.monotonic_s() + TRACKED_FOR_S)
        while len(self._tracked) > TRACKED_MAX:
            del self._tracked[next(iter(self._tracked))]

    async def new_messages(self) -> list[bytes]:
        """What is to be told now; what is returned counts as told.

        Raises:
            StoreError: Redis is away; nothing is lost by it.
        """
        messages: list[bytes] = []
        for command_id, one in list(self._tracked.items()):
            try:
                found = await self._redis.run(
                    lambda reader, name=command_id: command_stream.read_outcome(reader.client, reader.keys, name)  # type: ignore[misc]
                )
            except StoreError:
                if messages:
                    break  # those count as told: the next look says that Redis is away
                raise
            if found.status and found != one.reported:
                one.reported = found
                messages.append(_message(command_id, one.type, found))
            if found.is_final or self._clock.monotonic_s() >= one.until_s:
                self._tracked.pop(command_id, None)
        return messages


def _message(command_id: str, type_: str, found: CommandOutcome) -> bytes:
    return encode_message(
        "command",
        command=command_id,
        status=found.status,
        reason=found.reason,
        session=found.session,
        type=type_,
    )
