"""What a command says at a terminal when it can't do what was asked."""

from runtime.errors import ConferralError


class NotDoneError(ConferralError):
    """Refused or failed: the reason goes to standard error, the exit code is 1.

    Attributes:
        reason: In words, one sentence.
        allowed: Commands that would be taken now.
        command_id: The command's id, where one was given.
        status: How far that command has come; empty while nobody has decided it.
        details: Lines that go with it.
        told: The command's own reason, as every other way of giving one tells it; empty where there is none.
    """

    def __init__(
        self,
        reason: str,
        *,
        allowed: tuple[str, ...] = (),
        command_id: str = "",
        status: str = "",
        details: tuple[str, ...] = (),
        told: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.allowed = allowed
        self.command_id = command_id
        self.status = status
        self.details = details
        self.told = told
