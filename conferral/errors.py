"""The errors of CLI commands."""

from conferral.runtime.errors import ConferralError


class OutputError(ConferralError):
    """Standard output can't be written (disk full); not for a closed pipe."""


class CommandNotDoneError(ConferralError):
    """A command was rejected, has failed, or is still in progress.

    Attributes:
        allowed: Commands that the session would accept now.
        command_id: Empty if no command was submitted.
        status: The command's; empty while no worker has decided on it.
        command_reason: The command's own reason, as on every other surface; may be empty.
    """

    def __init__(
        self,
        reason: str,
        *,
        allowed: tuple[str, ...] = (),
        command_id: str = "",
        status: str = "",
        details: tuple[str, ...] = (),
        command_reason: str = "",
        exit_code: int = 1,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.allowed = allowed
        self.command_id = command_id
        self.status = status
        self.details = details
        self.command_reason = command_reason
        self.exit_code = exit_code
