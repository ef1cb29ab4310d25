"""The errors of CLI commands."""

from conferral.runtime.errors import ConferralError


class OutputError(ConferralError):
    """Standard output can't be written, as on a full disk; a closed pipe is no error."""


class CommandNotDoneError(ConferralError):
    """Rejected, failed, or still in progress; the reason goes to standard error.

    Attributes:
        reason: One sentence for people.
        allowed: Commands that the session would accept now.
        command_id: The command's id, if one was submitted.
        status: The command's status; empty while no worker has decided on it.
        details: Further lines.
        command_reason: The command's own reason, as on every other surface; empty if there is none.
        exit_code: The program's exit code.
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
