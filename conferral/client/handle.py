"""A submitted command and its outcome."""

from conferral.operations.command_submission import CommandSubmitter, SubmittedCommand
from conferral.operations.errors import CommandFailed, CommandPending, CommandRejected
from conferral.storage.commands.command_stream import CommandOutcome


class Command:
    """A command and its id.

    You can wait for its outcome repeatedly, or in another program that submits the same command with the same id.
    """

    def __init__(self, submitter: CommandSubmitter, submitted: SubmittedCommand) -> None:
        self._submitter = submitter
        self._submitted = submitted
        self._outcome = CommandOutcome(submitted.command_id, "", "", "")

    def __repr__(self) -> str:
        return f"Command({self.kind}, id={self.id!r}, status={self.status!r})"

    @property
    def id(self) -> str:
        """The id under which Redis keeps the outcome for a day."""
        return self._submitted.command_id

    @property
    def kind(self) -> str:
        """The command's name: `transfer`, `end`..."""
        return self._submitted.kind

    @property
    def status(self) -> str:
        """The last status: empty, `accepted`, `done`, `rejected`, or `failed`."""
        return self._outcome.status

    @property
    def reason(self) -> str:
        """The reason, if one was reported."""
        return self._outcome.reason

    @property
    def session(self) -> str:
        """The session's id; empty for a `call` without one until it is accepted."""
        return self._outcome.session or self._submitted.session

    async def refresh(self) -> str:
        """Read and return the status, without waiting or raising failures."""
        self._outcome = await self._submitter.wait_for_outcome(self._submitted, 0)
        return self.status

    async def done(self, timeout_s: float = 30.0) -> "Command":
        """Wait until the command is done; return the command itself.

        Raises:
            ValueError: `timeout_s` isn't a number of seconds, or is negative.
            CommandRejected: nothing happened.
            CommandFailed: it couldn't be done.
            CommandPending: the wait timed out; the command continues.
            StoreUnreachableError: Redis is unreachable; the command continues.
        """
        check_timeout(timeout_s)
        self._outcome = found = await self._submitter.wait_for_outcome(self._submitted, timeout_s)
        if found.status == "done":
            return self
        if not found.is_final:
            reason = f"still in progress when the wait timed out; its id is {self.id}"
            raise CommandPending(self.kind, reason, command_id=self.id, session=self.session)
        kind = CommandRejected if found.status == "rejected" else CommandFailed
        raise kind(
            self.kind,
            found.reason or "no reason was given",
            allowed=await self._submitter.allowed_commands(found.session),
            command_id=self.id,
            session=self.session,
        )


def check_timeout(timeout_s: object) -> None:
    """Raise ValueError if this is no time to wait; infinity is one."""
    if not isinstance(timeout_s, int | float) or not timeout_s >= 0:  # NaN is not
        raise ValueError("timeout_s must be a number of seconds, 0 or more")
