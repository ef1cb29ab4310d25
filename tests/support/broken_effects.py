"""The execution of an effect breaks off, as if its process had died."""

from conferral.statemachine.effects import Effect


class Death(BaseException):  # no error of an effect: boundaries let it pass, as they do the end of a process
    """The end of the process that executes an effect."""


class Breaking:
    """A checkpoint at which the execution of an effect breaks off once."""

    def __init__(self, point: str, kind: str) -> None:
        self._at = (point, kind)
        self.broke = False

    async def __call__(self, point: str, effect: Effect) -> None:
        if (point, effect.kind) == self._at and not self.broke:
            self.broke = True
            raise Death

    async def has_broken(self) -> bool:
        return self.broke
