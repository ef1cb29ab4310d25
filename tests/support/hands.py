"""A clock that is set by hand."""


class Hands:
    """Its time passes only when a test says so."""

    def __init__(self, now_s: float = 100.0, wall_ms: int = 0) -> None:
        self.now_s, self.now_ms = now_s, wall_ms

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return self.now_ms
