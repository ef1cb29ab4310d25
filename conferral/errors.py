"""What a command says at a terminal when it can't do what was asked."""

from conferral.runtime.errors import ConferralError


class CommandNotDoneError(ConferralError):
    """Refused, failed, or still in progress: the reason goes to standard error.

    Attributes:
        reason: In words, one sentence.
        allowed: Commands that would be taken now.
        command_id: The command's id, where one was given.
        status: How far that command has come; empty while nobody has decided it.
        details: Lines that go with it.
        told: The command's own reason, as every other way of giving one tells it; empty where there is none.
        exit_code: Of the program.
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
        exit_code: int = 1,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.allowed = allowed
        self.command_id = command_id
        self.status = status
        self.details = details
        self.is_reported = told
        self.exit_code = exit_code
