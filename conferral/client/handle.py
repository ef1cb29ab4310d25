"""A command that was given, and what has come of it."""

from conferral.operations.command_submission import CommandSubmitter, SubmittedCommand
from conferral.operations.errors import CommandFailed, CommandPending, CommandRejected
from conferral.storage.commands.command_stream import CommandOutcome


class Command:
    """A command under its id.

    Its outcome can be waited for as often as one likes, at the same time, or later by another program that gives the
    same command under the same id.
    """

    def __init__(self, submitter: CommandSubmitter, submitted: SubmittedCommand) -> None:
        self._submitter = submitter
        self._submitted = submitted
        self._outcome = CommandOutcome(submitted.command_id, "", "", "")

    def __repr__(self) -> str:
        return f"Command({self.kind}, id={self.id!r}, status={self.status!r})"

    @property
    def id(self) -> str:
        """Under which the outcome is kept, for a day."""
        return self._submitted.command_id

    @property
    def kind(self) -> str:
        """Its name: `transfer`, `end`..."""
        return self._submitted.kind

    @property
    def status(self) -> str:
        """How far it had come at the last look: empty, `accepted`, `done`, `rejected` or `failed`."""
        return self._outcome.status

    @property
    def reason(self) -> str:
        """Why, where one was told."""
        return self._outcome.reason

    @property
    def session(self) -> str:
        """The session's id; of a `call` that names none empty until it was taken up."""
        return self._outcome.session or self._submitted.session

    async def refresh(self) -> str:
        """The status as it is now, without waiting and without an error for one that has failed."""
        self._outcome = await self._submitter.wait_for_outcome(self._submitted, 0)
        return self.status

    async def done(self, timeout_s: float = 30.0) -> "Command":
        """Waits until it is done; returns the command itself.

        Args:
            timeout_s: How long is waited, seconds.

        Raises:
            CommandRejected: nothing was done.
            CommandFailed: it could not be done.
            CommandPending: the time is up; it goes on.
            StoreUnreachableError: Redis can't be reached; it goes on.
        """
        self._outcome = found = await self._submitter.wait_for_outcome(self._submitted, timeout_s)
        if found.status == "done":
            return self
        if not found.is_final:
            # Rounded: what the publishing has taken was taken off.
            reason = f"still under way after {round(timeout_s, 1):g} s; its id is {self.id}"
            raise CommandPending(self.kind, reason, command_id=self.id, session=self.session)
        kind = CommandRejected if found.status == "rejected" else CommandFailed
        raise kind(
            self.kind,
            found.reason or "no reason was told",
            allowed=await self._submitter.allowed_commands(found.session),
            command_id=self.id,
            session=self.session,
        )
