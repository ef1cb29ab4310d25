"""What has become of a command that is not done, in the words of its status; and a session that nobody knows."""

from conferral.runtime.errors import ConferralError


class CommandError(ConferralError):
    """A command that is not done. No text of it holds a number or a name of a person.

    Attributes:
        kind: The command's name: `transfer`, `end`...
        reason: Why, in the words that every other way of giving a command has for it.
        allowed: Names of the commands that the session would take now; empty where nothing is known of it.
        command_id: Under which the outcome is kept; empty of a command that was never published.
        session: The session's id, empty where there is none.
    """

    #: What has become of it, in a word for people.
    outcome_word = "not done"

    def __init__(
        self, kind: str, reason: str, *, allowed: tuple[str, ...] = (), command_id: str = "", session: str = ""
    ) -> None:
        super().__init__(f"{kind} {self.outcome_word}: {reason}")
        self.kind = kind
        self.reason = reason
        self.allowed = allowed
        self.command_id = command_id
        self.session = session


class CommandRejected(CommandError):  # noqa: N818  # the status is the name
    """Nothing was done: a field is wrong, or the session's state does not allow it."""

    outcome_word = "rejected"


class CommandIdConflict(CommandRejected):
    """The command's id was given before, for another command."""


class SessionExists(CommandRejected):
    """A `call` names a session that there is already."""


class CommandStreamFull(CommandRejected):
    """So many commands wait for a worker that no more are taken."""


class CommandFailed(CommandError):  # noqa: N818
    """It was tried and could not be done."""

    outcome_word = "failed"


class CommandPending(CommandError):  # noqa: N818
    """The time to wait is up; the command goes on, and its outcome can be asked for by its id."""

    outcome_word = "pending"


class UnknownSession(ConferralError):  # noqa: N818
    """Neither a session nor a call of one has this id; perhaps it ended long ago."""


class AmbiguousSession(ConferralError):  # noqa: N818
    """Several sessions fit what somebody has named. The text names some of them, without a number.

    Attributes:
        session_ids: All of them.
    """

    def __init__(self, reason: str, session_ids: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.session_ids = session_ids
