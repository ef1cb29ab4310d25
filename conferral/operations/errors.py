"""Errors of commands, of session names, and of the command line."""

from dataclasses import KW_ONLY, dataclass

from conferral.runtime.errors import ConferralError, StoreUnreachableError


class CommandError(ConferralError):
    """A command that isn't done; no text of it holds a number or a name."""

    outcome_word = "not done"

    def __init__(
        self,
        kind: str,
        reason: str,
        *,
        allowed: tuple[str, ...] = (),
        command_id: str = "",
        session: str = "",
        code: int | None = None,
    ) -> None:
        super().__init__(f"{kind} {self.outcome_word}: {reason}{f' (Twilio error {code})' if code else ''}")
        self.kind = kind
        self.reason = reason
        self.allowed = allowed  # what the session would accept now; empty if unknown
        self.command_id = command_id  # of the stored result; empty if the command was never published
        self.session = session
        self.code = code  # Twilio's error code, if there was one


class CommandRejected(CommandError):  # noqa: N818  # the status is the name
    """Nothing happened: a field is invalid, or the state doesn't allow it."""

    outcome_word = "rejected"


class CommandIdConflict(CommandRejected):
    """The id of the command, or of a `call`'s session, is already in use."""


class CommandStreamFull(CommandRejected):
    """Too many commands wait to be routed, so no more are accepted."""


class PublishUnconfirmedError(StoreUnreachableError):
    """The command may have been published; repeated with its id, it runs once."""

    def __init__(self, kind: str, command_id: str, error: StoreUnreachableError) -> None:
        super().__init__(str(error))
        self.kind = kind
        self.command_id = command_id
        self.state = error.state


class CommandFailed(CommandError):  # noqa: N818
    """The command was accepted but couldn't be done."""

    outcome_word = "failed"


class CommandPending(CommandError):  # noqa: N818
    """The wait timed out; the result can be read later by the command's id."""

    outcome_word = "pending"


class UnknownSession(ConferralError):  # noqa: N818
    """No session and no call of one has this id; it may have ended long ago."""


class AmbiguousSession(ConferralError):  # noqa: N818
    """Several sessions match a name; the text lists some, without numbers."""

    def __init__(self, reason: str, session_ids: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.session_ids = session_ids


@dataclass(eq=False, repr=False)
class CommandNotDoneError(ConferralError):
    """What was typed was rejected, has failed, or is still in progress."""

    reason: str
    _: KW_ONLY
    #: Commands that the session would accept now.
    allowed: tuple[str, ...] = ()
    #: Empty if no command was submitted.
    command_id: str = ""
    #: The command's status; empty before a worker has processed it.
    status: str = ""
    details: tuple[str, ...] = ()
    #: The command's own reason, as on every other surface; empty if there is none.
    command_reason: str = ""
    #: Twilio's error code, if there was one.
    code: int | None = None
    exit_code: int = 1
