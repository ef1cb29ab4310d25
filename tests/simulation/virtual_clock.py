"""The clocks of a world's processes."""

from random import Random

from tests.simulation.virtual_loop import VirtualLoop

#: The world's Unix time at its beginning, seconds.
EPOCH_S = 1_800_000_000


class VirtualClock:
    """A process's clocks: its own zero, and a wall clock that is wrong by seconds."""

    def __init__(self, loop: VirtualLoop, chance: Random, wrong_s: float | None = None) -> None:
        self._loop = loop
        self._zero_s = chance.uniform(1_000.0, 1_000_000.0)
        self._wrong_ms = chance.randrange(-2_000, 2_000) if wrong_s is None else round(wrong_s * 1000)

    def monotonic_s(self) -> float:
        """Seconds that only grow."""
        return self._zero_s + self._loop.time()

    def wall_ms(self) -> int:
        """Unix milliseconds, more or less."""
        return round((EPOCH_S + self._loop.time()) * 1000) + self._wrong_ms
