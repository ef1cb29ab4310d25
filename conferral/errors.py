"""The errors of CLI commands."""

from dataclasses import KW_ONLY, dataclass

from conferral.runtime.errors import ConferralError


@dataclass(eq=False, repr=False)
class CommandNotDoneError(ConferralError):
    """A command was rejected, has failed, or is still in progress."""

    reason: str
    _: KW_ONLY
    #: Commands that the session would accept now.
    allowed: tuple[str, ...] = ()
    #: Empty if no command was submitted.
    command_id: str = ""
    #: The command's; empty while no worker has decided on it.
    status: str = ""
    details: tuple[str, ...] = ()
    #: The command's own reason, as on every other surface; empty if there is none.
    command_reason: str = ""
    exit_code: int = 1
