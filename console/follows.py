"""What becomes of commands that somebody on the page has given: told as Redis says it, never before."""

from dataclasses import dataclass

from conferral.console.messages import told
from conferral.console.store import Store
from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.storage import commands
from conferral.storage.commands import CommandOutcome

#: Commands that one page follows at the same time (count); the oldest is let go.
FOLLOWED_MAX = 50
#: How long a command is followed, seconds: longer than any takes.
FOLLOWED_S = 900.0


@dataclass(slots=True)
class _Followed:
    #: As the page named it; Redis does not keep it.
    type: str
    until_s: float
    #: What the page was told last.
    told: CommandOutcome | None = None


class Follows:
    """The commands that one page follows."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Follows none yet.

        Args:
            store: Of Redis.
            clock: For how long.
        """
        self._store = store
        self._clock = clock
        self._followed: dict[str, _Followed] = {}

    def __bool__(self) -> bool:
        """Whether any is followed."""
        return bool(self._followed)

    def add(self, command_id: str, type_: str) -> None:
        """Follows one more."""
        self._followed[command_id] = _Followed(type_, self._clock.monotonic_s() + FOLLOWED_S)
        while len(self._followed) > FOLLOWED_MAX:
            del self._followed[next(iter(self._followed))]

    async def news(self) -> list[bytes]:
        """What is to be told now; what is returned counts as told.

        Raises:
            StoreError: Redis is away; nothing is lost by it.
        """
        messages: list[bytes] = []
        for command_id, one in list(self._followed.items()):
            try:
                found = await self._store.ask(
                    lambda reader, name=command_id: commands.outcome(reader.client, reader.keys, name)  # type: ignore[misc]
                )
            except StoreError:
                if messages:
                    break  # those count as told: the next look says that Redis is away
                raise
            if found.status and found != one.told:
                one.told = found
                messages.append(_message(command_id, one.type, found))
            if found.is_final or self._clock.monotonic_s() >= one.until_s:
                self._followed.pop(command_id, None)
        return messages


def _message(command_id: str, type_: str, found: CommandOutcome) -> bytes:
    return told(
        "command",
        command=command_id,
        status=found.status,
        reason=found.reason,
        session=found.session,
        type=type_,
    )
